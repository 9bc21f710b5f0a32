"""Small pictures for test/data/image_test.cpp, and what Pillow makes of them.

  images.py [FOLDER]    writes test/golden/images (default) anew: NAME.png or NAME.jpg, and NAME.npy, u8 [H, W, C].
"""
import io
import pathlib
import struct
import sys
import zlib

import numpy as np
from PIL import Image, ImageOps

folder = pathlib.Path(sys.argv[1] if len(sys.argv) > 1 else pathlib.Path(__file__).parent / "images")
folder.mkdir(parents=True, exist_ok=True)
H, W = 11, 14
y, x = np.mgrid[0:H, 0:W]
colour = np.stack([x * 17, y * 21, (x * y * 3) % 256], axis=-1).astype(np.uint8)
alpha = ((x + y) * 9 % 256).astype(np.uint8)


def keep(name, data, pixels):
    (folder / name).write_bytes(data)
    pixels = np.asarray(pixels, np.uint8)
    np.save(folder / (name.rsplit(".", 1)[0] + ".npy"), pixels.reshape(pixels.shape[0], pixels.shape[1], -1))


def chunk(kind, data):
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


ADAM7 = [(0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2)]


def png(samples, depth, kind, interlaced=False, extra=b""):
    """samples [H, W, C] of `depth` bits; extra: chunks before the pixels."""
    height, width, _ = samples.shape
    passes = ADAM7 if interlaced else [(0, 0, 1, 1)]
    raw = b""
    for x0, y0, dx, dy in passes:
        part = samples[y0::dy, x0::dx]
        for row in part if part.size else []:
            flat = row.reshape(-1)
            if depth == 16:
                line = flat.astype(">u2").tobytes()
            elif depth == 8:
                line = flat.astype(np.uint8).tobytes()
            else:
                bits = "".join(format(int(v), f"0{depth}b") for v in flat)
                bits += "0" * (-len(bits) % 8)
                line = bytes(int(bits[i : i + 8], 2) for i in range(0, len(bits), 8))
            raw += b"\0" + line
    header = struct.pack(">IIBBBBB", width, height, depth, kind, 0, 0, int(interlaced))
    return (b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + extra + chunk(b"IDAT", zlib.compress(raw, 9)) + chunk(b"IEND", b""))


def opened(data):
    return Image.open(io.BytesIO(data))


gray = colour[..., :1]
bits = (gray > 100).astype(np.uint8)
for name, data, mode in [
    ("gray1", png(bits, 1, 0), "L"),
    ("gray2", png(gray >> 6, 2, 0), "L"),
    ("gray8", png(gray, 8, 0), "L"),
    ("gray_alpha", png(np.dstack([gray, alpha]), 8, 4), "LA"),
    ("rgb", png(colour, 8, 2), "RGB"),
    ("rgb_interlaced", png(colour, 8, 2, interlaced=True), "RGB"),
    ("rgba", png(np.dstack([colour, alpha]), 8, 6), "RGBA"),
    ("rgb_transparent", png(colour, 8, 2, extra=chunk(b"tRNS", struct.pack(">HHH", *map(int, colour[3, 4])))), "RGBA"),
]:
    keep(name + ".png", data, opened(data).convert(mode))
palette = bytes(range(0, 48))
places = (colour[..., :1] % 16).astype(np.uint8)
data = png(places, 4, 3, extra=chunk(b"PLTE", palette))
keep("palette.png", data, opened(data).convert("RGB"))
data = png(places, 8, 3, extra=chunk(b"PLTE", palette) + chunk(b"tRNS", bytes(range(0, 160, 10))))
keep("palette_alpha.png", data, opened(data).convert("RGBA"))
wide = (colour.astype(np.int64) * 256 + 77) % 65536
keep("rgb16.png", png(wide, 16, 2), np.round(wide * 255 / 65535))  # Pillow drops the lower byte; libpng rounds
tiff = b"MM\0*\0\0\0\x08\0\1" + struct.pack(">HHIHH", 0x0112, 3, 1, 6, 0) + b"\0\0\0\0"
data = png(colour, 8, 2, extra=chunk(b"eXIf", tiff))
keep("turned.png", data, ImageOps.exif_transpose(opened(data)))


def jpeg(image, **options):
    out = io.BytesIO()
    image.save(out, "JPEG", **options)
    return out.getvalue()


picture = Image.fromarray(colour)
for name, image, options in [
    ("gray", Image.fromarray(gray[..., 0]), {}),
    ("half_colour", picture, {"subsampling": "4:2:0"}),
    ("full_colour", picture, {"subsampling": "4:4:4", "quality": 95}),
    ("progressive", picture, {"progressive": True}),
]:
    data = jpeg(image, **options)
    keep(name + ".jpg", data, opened(data))
data = jpeg(picture.convert("CMYK"))
inks = np.asarray(opened(data)).astype(np.int64)  # Pillow gives 255 for full ink
keep("inks.jpg", data, ((255 - inks[..., :3]) * (255 - inks[..., 3:]) + 127) // 255)
for orientation in range(1, 9):
    exif = Image.Exif()
    exif[0x0112] = orientation
    data = jpeg(picture, exif=exif, subsampling="4:4:4")
    keep(f"turned{orientation}.jpg", data, ImageOps.exif_transpose(opened(data)))
