#!/usr/bin/env python3
"""Writes test/golden/layers/*.bin: what PyTorch gives in f64 for convolutions, pooling, normalizations over channels,
Fourier transforms and linear algebra, values and gradients. test/op/layers_test.cpp reads them.

    python3 test/golden/layers.py            # needs torch

A case is one line of text, "operation key=numbers ...", that both sides understand; inputs are not stored, they follow
from a formula of integers (value() below). A file is a sequence of cases: u32 length of the line, the line, u32 number
of arrays, and for each u32 count and f64 values: first the results, then the gradient of each input with respect to
sum over results k and elements i of value(100 + k, i) * result[k][i].
"""

import pathlib
import struct

import numpy
import torch
from torch.nn import functional

INPUTS = ("x", "w", "bias", "a", "b")


def value(stream, count):
    """Numbers in [-1, 1), exact in f64."""
    h = (numpy.arange(count, dtype=numpy.uint64) * 2654435761 + stream * 0x9E3779B9 + 12345) & 0xFFFFFFFF
    for _ in range(2):
        h ^= h >> numpy.uint64(16)
        h = (h * numpy.uint64(0x45D9F3B)) & numpy.uint64(0xFFFFFFFF)
    h ^= h >> numpy.uint64(16)
    return h.astype(numpy.float64) / 2.0**31 - 1


def spoil(x):
    """NaN and infinities at some places."""
    flat = x.reshape(-1)
    i = numpy.arange(flat.size)
    flat[i % 11 == 5] = numpy.inf
    flat[i % 13 == 6] = -numpy.inf
    flat[i % 7 == 3] = numpy.nan
    return x


def conv(function, axes):
    def run(t, o):
        return [function(t["x"], t["w"], t.get("bias"), **{k: v for k, v in o.items() if k in (
            "stride", "padding", "dilation", "groups", "output_padding")})]

    return run


def pool(function, names):
    def run(t, o):
        return [function(t["x"], **{k: v for k, v in o.items() if k in names})]

    return run


def group_norm(t, o):
    return [functional.group_norm(t["x"], o["groups"], t.get("w"), t.get("bias"), o["eps"])]


def batch_norm(t, o):
    channels = t["x"].shape[1]
    mean = torch.from_numpy(value(50, channels))
    variance = torch.from_numpy(value(51, channels) + 1.5)
    y = functional.batch_norm(t["x"], mean, variance, t.get("w"), t.get("bias"), bool(o["training"]), o["momentum"],
                              o["eps"])
    return [y, mean, variance]


def pairs(x):
    return torch.view_as_complex(x.contiguous())


def positive(a):
    return a @ a.mT + a.shape[-1] * torch.eye(a.shape[-1], dtype=a.dtype)


def sign_of_largest(x):
    """For each column, the sign of its element of largest magnitude."""
    return torch.sign(x.gather(-2, x.abs().argmax(-2, keepdim=True))).detach()


def qr(t, _):
    q, r = torch.linalg.qr(t["a"])
    s = torch.sign(torch.diagonal(r, dim1=-2, dim2=-1)).detach()
    return [q * s[..., None, :], r * s[..., :, None]]


def symmetric_eigen(t, _):
    values, vectors = torch.linalg.eigh(t["a"] + t["a"].mT)
    return [values, vectors * sign_of_largest(vectors)]


def svd(t, _):
    u, s, vt = torch.linalg.svd(t["a"], full_matrices=False)
    sign = sign_of_largest(u)
    return [u * sign, s, vt * sign.mT]


def triangular_solve(t, o):
    n = t["a"].shape[-1]
    return [torch.linalg.solve_triangular(t["a"] + 3 * torch.eye(n, dtype=t["a"].dtype), t["b"], upper=bool(o["upper"]),
                                          unitriangular=bool(o["unit"]))]


POOL = ("kernel_size", "stride", "padding", "dilation", "ceil_mode", "count_include_pad")
OPERATIONS = {
    "conv1d": conv(functional.conv1d, 1), "conv2d": conv(functional.conv2d, 2),
    "conv_transpose1d": conv(functional.conv_transpose1d, 1), "conv_transpose2d": conv(functional.conv_transpose2d, 2),
    "max_pool1d": pool(functional.max_pool1d, POOL), "max_pool2d": pool(functional.max_pool2d, POOL),
    "avg_pool1d": pool(functional.avg_pool1d, POOL), "avg_pool2d": pool(functional.avg_pool2d, POOL),
    "adaptive_max_pool1d": pool(functional.adaptive_max_pool1d, ("output_size",)),
    "adaptive_max_pool2d": pool(functional.adaptive_max_pool2d, ("output_size",)),
    "adaptive_avg_pool1d": pool(functional.adaptive_avg_pool1d, ("output_size",)),
    "adaptive_avg_pool2d": pool(functional.adaptive_avg_pool2d, ("output_size",)),
    "group_norm": group_norm, "batch_norm": batch_norm,
    "fft": lambda t, o: [torch.view_as_real(torch.fft.fft(pairs(t["x"])))],
    "ifft": lambda t, o: [torch.view_as_real(torch.fft.ifft(pairs(t["x"])))],
    "rfft": lambda t, o: [torch.view_as_real(torch.fft.rfft(t["x"]))],
    "irfft": lambda t, o: [torch.fft.irfft(pairs(t["x"]), o["n"])],
    "solve": lambda t, o: [torch.linalg.solve(t["a"] + 2 * torch.eye(t["a"].shape[-1], dtype=torch.float64), t["b"])],
    "triangular_solve": triangular_solve,
    "cholesky": lambda t, o: [torch.linalg.cholesky(positive(t["a"]))],
    "qr": qr, "symmetric_eigen": symmetric_eigen, "svd": svd,
}


def convolutions():
    yield "conv2d x=2,3,7,5 w=4,3,3,2 bias=4"
    yield "conv2d x=1,1,1,1 w=1,1,1,1"
    yield "conv2d x=3,2,5,6 w=3,2,1,1 bias=3"
    yield "conv2d x=2,2,6,5 w=3,2,3,3 padding=1,1"
    yield "conv2d x=2,2,9,8 w=3,2,3,3 bias=3 stride=2,2 padding=1,1"
    yield "conv2d x=1,2,11,10 w=2,2,3,2 bias=2 stride=3,2 padding=2,1"
    yield "conv2d x=1,2,9,10 w=2,2,3,3 padding=2,3 dilation=2,3"
    yield "conv2d x=2,2,10,9 w=3,2,2,3 bias=3 stride=2,3 padding=3,0 dilation=3,2"
    yield "conv2d x=2,6,5,4 w=4,3,3,3 bias=4 padding=1,1 groups=2"
    yield "conv2d x=2,5,6,5 w=5,1,3,3 bias=5 padding=1,1 groups=5"
    yield "conv2d x=1,3,5,7 w=6,1,2,3 stride=2,2 padding=1,1 groups=3"
    yield "conv2d x=1,2,4,4 w=3,2,1,1 stride=3,2"
    yield "conv2d x=1,1,3,3 w=2,1,5,5 padding=4,4"
    yield "conv2d x=1,3,4,21 w=26,3,1,3 bias=26 padding=0,1"
    yield "conv2d x=1,17,3,3 w=13,17,3,3 padding=1,1"
    yield "conv2d x=0,3,7,5 w=4,3,3,2 bias=4"
    yield "conv2d x=2,2,6,6 w=2,2,3,3 bias=2 padding=1,1 special=1"
    yield "conv1d x=2,3,11 w=4,3,3 bias=4 stride=2 padding=1"
    yield "conv1d x=1,4,9 w=4,2,2 padding=2 dilation=3 groups=2"
    yield "conv1d x=3,1,1 w=2,1,1 bias=2"
    yield "conv_transpose2d x=2,3,4,5 w=3,2,3,2 bias=2"
    yield "conv_transpose2d x=1,2,4,3 w=2,3,3,3 bias=3 stride=2,2 padding=1,1 output_padding=1,1"
    yield "conv_transpose2d x=2,4,3,4 w=4,2,3,3 stride=2,3 padding=0,1 groups=2"
    yield "conv_transpose2d x=1,2,3,4 w=2,2,2,2 bias=2 stride=3,3 dilation=2,2 output_padding=2,1"
    yield "conv_transpose2d x=1,1,2,2 w=1,2,1,1 bias=2 stride=3,3"
    yield "conv_transpose2d x=0,2,3,3 w=2,2,2,2"
    yield "conv_transpose1d x=2,3,5 w=3,2,4 bias=2 stride=2 padding=1 output_padding=1"
    yield "conv_transpose1d x=1,2,1 w=2,1,3 groups=1"


def channels():
    yield "max_pool2d x=2,3,6,7 kernel_size=2,2"
    yield "max_pool2d x=1,2,9,8 kernel_size=3,2 stride=2,1 padding=1,1"
    yield "max_pool2d x=1,2,9,8 kernel_size=3,3 stride=2,2 padding=1,1 ceil_mode=1"
    yield "max_pool2d x=2,1,9,10 kernel_size=3,2 stride=1,2 dilation=2,3"
    yield "max_pool2d x=1,1,1,1 kernel_size=1,1"
    yield "max_pool2d x=0,2,4,4 kernel_size=2,2"
    yield "max_pool2d x=2,2,6,6 kernel_size=2,3 padding=1,1 special=1"
    yield "max_pool1d x=2,3,9 kernel_size=3 stride=2 padding=1"
    yield "avg_pool2d x=2,3,6,7 kernel_size=2,3"
    yield "avg_pool2d x=1,2,9,8 kernel_size=3,3 stride=2,2 padding=1,1"
    yield "avg_pool2d x=1,2,9,8 kernel_size=3,3 stride=2,2 padding=1,1 count_include_pad=0"
    yield "avg_pool2d x=1,2,8,9 kernel_size=4,3 stride=3,2 padding=2,1 ceil_mode=1"
    yield "avg_pool2d x=1,2,8,9 kernel_size=4,3 stride=3,2 padding=2,1 ceil_mode=1 count_include_pad=0"
    yield "avg_pool2d x=2,1,6,6 kernel_size=2,2 special=1"
    yield "avg_pool1d x=2,3,9 kernel_size=4 stride=3 padding=2"
    yield "adaptive_max_pool2d x=2,2,7,5 output_size=3,2"
    yield "adaptive_max_pool2d x=1,2,3,4 output_size=5,4"
    yield "adaptive_avg_pool2d x=2,2,7,5 output_size=3,2"
    yield "adaptive_avg_pool2d x=1,3,6,6 output_size=1,1"
    yield "adaptive_avg_pool2d x=1,2,3,4 output_size=5,7"
    yield "adaptive_max_pool1d x=2,3,7 output_size=3"
    yield "adaptive_avg_pool1d x=2,3,7 output_size=4"
    yield "group_norm x=2,6,3,5 w=6 bias=6 groups=3 eps=0.00001"
    yield "group_norm x=3,4,7 groups=4 eps=0.001"
    yield "group_norm x=2,5,2,2,3 w=5 bias=5 groups=1 eps=0.00001"
    yield "group_norm x=2,6 w=6 bias=6 groups=2 eps=0.001"
    yield "group_norm x=0,4,3 w=4 bias=4 groups=2 eps=0.001"
    yield "batch_norm x=3,4,5,2 w=4 bias=4 training=1 momentum=0.1 eps=0.00001"
    yield "batch_norm x=4,3 training=1 momentum=0.3 eps=0.001"
    yield "batch_norm x=1,2,33 w=2 bias=2 training=1 momentum=0.5 eps=0.00001"
    yield "batch_norm x=3,4,5,2 w=4 bias=4 training=0 momentum=0.1 eps=0.00001"
    yield "batch_norm x=1,4 training=0 momentum=0.1 eps=0.001"
    yield "batch_norm x=2,1,1,1 w=1 bias=1 training=1 momentum=0.1 eps=0.00001"


def linear_algebra():
    for n in (1, 2, 3, 4, 5, 6, 7, 8, 12, 15, 16, 17, 30, 31, 49, 64):
        batch = "2,3," if n < 8 else ""
        yield f"fft x={batch}{n},2"
        yield f"ifft x={batch}{n},2"
        yield f"rfft x={batch}{n}"
        yield f"irfft x={batch}{n // 2 + 1},2 n={n}"
    yield "fft x=101,2"
    yield "fft x=7,2 special=1"
    for n, k in ((1, 1), (2, 3), (5, 1), (9, 4)):
        yield f"solve a=2,{n},{n} b=2,{n},{k}"
        for upper in (0, 1):
            for unit in (0, 1):
                yield f"triangular_solve a={n},{n} b={n},{k} upper={upper} unit={unit}"
    yield "solve a=0,3,3 b=0,3,2"
    yield "solve a=2,2,3,3 b=2,2,3,1"
    for n in (1, 2, 3, 7, 12):
        yield f"cholesky a=2,{n},{n}"
        yield f"symmetric_eigen a=2,{n},{n}"
    yield "cholesky a=0,2,2"
    for m, n in ((1, 1), (4, 4), (7, 3), (3, 7), (5, 1), (1, 5), (9, 9)):
        yield f"qr a=2,{m},{n}"
        yield f"svd a=2,{m},{n}"
    yield "qr a=0,3,2"
    yield "svd a=20,18"


def number(text):
    return float(text) if "." in text else int(text)


def parse(line):
    operation, *words = line.split()
    options = {}
    for word in words:
        key, text = word.split("=")
        values = tuple(number(t) for t in text.split(","))
        options[key] = values if key in INPUTS or len(values) > 1 else values[0]
    return operation, options


def result_of(line):
    operation, options = parse(line)
    tensors = {}
    for stream, name in enumerate(n for n in options if n in INPUTS):
        shape = options[name]
        x = value(stream, int(numpy.prod(shape))).reshape(shape)
        if options.get("special") and stream == 0:
            x = spoil(x)
        tensors[name] = torch.from_numpy(x).requires_grad_()
    for flag in ("ceil_mode", "count_include_pad"):
        if flag in options:
            options[flag] = bool(options[flag])
    results = OPERATIONS[operation](tensors, options)
    loss = 0
    for k, y in enumerate(results):
        if y.requires_grad:
            loss = loss + (torch.from_numpy(value(100 + k, y.numel())).reshape(y.shape) * y).sum()
    loss.backward()
    gradients = [torch.zeros_like(t) if t.grad is None else t.grad for t in tensors.values()]
    return [x.detach().contiguous().numpy().astype("<f8") for x in results + gradients]


def main():
    folder = pathlib.Path(__file__).parent / "layers"
    folder.mkdir(exist_ok=True)
    for lines in (convolutions, channels, linear_algebra):
        out = b""
        for line in lines():
            arrays = result_of(line)
            out += struct.pack("<I", len(line)) + line.encode() + struct.pack("<I", len(arrays))
            for x in arrays:
                out += struct.pack("<I", x.size) + x.tobytes()
        (folder / f"{lines.__name__}.bin").write_bytes(out)
        print(lines.__name__, len(out))


if __name__ == "__main__":
    main()
