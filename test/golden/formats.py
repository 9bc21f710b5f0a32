"""Golden files of the formats, made by the Python libraries that own them, and the check the other way round.

    python formats.py make             writes test/golden/formats/
    python formats.py check PROGRAM    runs the test program PROGRAM (test_data), which writes files, and opens them here

Needs numpy, safetensors, gguf, torch and, for one check, llama-cpp-python. Tensor values follow one formula, so that the
tests can work them out: element i of an array is ((7 i) mod 23) - 5, as a bool ((7 i) mod 23) < 11, unsigned without - 5.
"""
import json
import os
import pathlib
import shutil
import struct
import subprocess
import sys
import tempfile

import gguf
import numpy as np
import safetensors.numpy
import safetensors.torch
import torch

here = pathlib.Path(__file__).parent / "formats"

numpy_types = {
    "f32": np.float32, "f64": np.float64, "f16": np.float16, "i8": np.int8, "u8": np.uint8, "i16": np.int16,
    "u16": np.uint16, "i32": np.int32, "u32": np.uint32, "i64": np.int64, "bool": np.bool_,
}


def values(shape, dtype):
    pattern = (7 * np.arange(int(np.prod(shape)), dtype=np.int64)) % 23
    if dtype == "bool":
        return (pattern < 11).reshape(shape)
    if dtype.startswith("u"):
        return pattern.astype(numpy_types[dtype]).reshape(shape)
    return (pattern - 5).astype(numpy_types.get(dtype, np.float32)).reshape(shape)


def torch_values(shape, dtype):
    if dtype == "bf16":
        return torch.from_numpy(values(shape, "f32")).to(torch.bfloat16)
    return torch.from_numpy(np.array(values(shape, dtype)))


def make_safetensors():
    tensors = {f"t.{dtype}": torch_values((3, 5), dtype) for dtype in [*numpy_types, "bf16"]}
    tensors["scalar"] = torch_values((), "f32")
    tensors["none"] = torch_values((0, 4), "f32")
    safetensors.torch.save_file(tensors, here / "types.safetensors", metadata={"note": "caf\u00e9"})  # one: their order is random
    sharded = here / "sharded"
    sharded.mkdir(exist_ok=True)
    names = [f"model-{i:05}-of-00002.safetensors" for i in (1, 2)]
    parts = [{"a.weight": torch_values((4, 6), "f32")}, {"b.weight": torch_values((2, 3), "f16"), "c": torch_values((7,), "i64")}]
    for name, part in zip(names, parts):
        safetensors.torch.save_file(part, sharded / name, metadata={"format": "pt"})
    index = {"metadata": {"total_size": 164}, "weight_map": {key: name for name, part in zip(names, parts) for key in part}}
    (sharded / "model.safetensors.index.json").write_text(json.dumps(index, indent=2))


def quantized_rows(kind, generator):
    """Two rows of 512 values: the simple formats by gguf's own quantizer, the others random bits with sane scales."""
    block, size = gguf.GGML_QUANT_SIZES[kind]
    if block == 32:
        return gguf.quants.quantize(generator.standard_normal((2, 512)).astype(np.float32), kind)
    rows = generator.integers(0, 256, (2, 512 // block, size), dtype=np.uint8)
    scale_places = {"Q2_K": (80, 82), "Q3_K": (108,), "Q4_K": (0, 2), "Q5_K": (0, 2), "Q6_K": (208,)}[kind.name]
    for place in scale_places:
        scales = generator.uniform(0.001, 0.1, rows.shape[:2]).astype(np.float16)
        rows[:, :, place:place + 2] = scales[..., None].view(np.uint8)
    return rows.reshape(2, -1)


def make_gguf():
    writer = gguf.GGUFWriter(here / "types.gguf", "llama")
    writer.add_uint8("v.u8", 200)
    writer.add_int8("v.i8", -100)
    writer.add_uint16("v.u16", 60000)
    writer.add_int16("v.i16", -30000)
    writer.add_uint32("v.u32", 4000000000)
    writer.add_int32("v.i32", -2000000000)
    writer.add_float32("v.f32", 0.1)
    writer.add_uint64("v.u64", 1 << 40)
    writer.add_int64("v.i64", -(1 << 40))
    writer.add_float64("v.f64", 0.1)
    writer.add_bool("v.bool", True)
    writer.add_string("v.string", "caf\u00e9 \U0001f600")
    writer.add_array("v.strings", ["", "a", "\u0120the", "<|end|>"])
    writer.add_array("v.ints", [1, -2, 3])
    writer.add_array("v.floats", [0.5, -1.5])
    writer.add_array("v.bools", [True, False, True])
    for dtype in ["f32", "f64", "f16", "i8", "i16", "i32", "i64"]:
        writer.add_tensor(f"t.{dtype}", values((3, 4), dtype))
    bf16 = torch_values((3, 4), "bf16").view(torch.int16).numpy().view(np.uint8)
    writer.add_tensor("t.bf16", bf16, raw_dtype=gguf.GGMLQuantizationType.BF16)
    writer.add_tensor("t.vector", values((5,), "f32"))
    writer.add_tensor("t.four", values((2, 3, 2, 4), "f32"))
    finish(writer)
    old = bytearray((here / "types.gguf").read_bytes())
    old[4:8] = struct.pack("<I", 2)
    (here / "version2.gguf").write_bytes(old)

    generator = np.random.default_rng(1)
    writer = gguf.GGUFWriter(here / "quants.gguf", "llama")
    for name in ["Q4_0", "Q4_1", "Q5_0", "Q5_1", "Q8_0", "Q2_K", "Q3_K", "Q4_K", "Q5_K", "Q6_K"]:
        kind = gguf.GGMLQuantizationType[name]
        rows = quantized_rows(kind, generator)
        writer.add_tensor(name.lower(), rows, raw_dtype=kind)
        writer.add_tensor(name.lower() + ".f32", gguf.quants.dequantize(rows, kind).astype(np.float32))
    finish(writer)


def finish(writer):
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def make_numpy():
    np.save(here / "f32.npy", values((3, 4), "f32"))
    np.save(here / "scalar.npy", np.float64(2.5))
    np.save(here / "fortran.npy", np.asfortranarray(values((2, 3, 4), "i16")))
    np.save(here / "big.npy", values((3,), "i32").astype(">i4"))
    with open(here / "version2.npy", "wb") as file:
        np.lib.format.write_array(file, values((6,), "i64"), version=(2, 0))
    arrays = {f"t.{dtype}": values((3, 5), dtype) for dtype in numpy_types}
    np.savez(here / "stored.npz", **arrays)
    np.savez_compressed(here / "deflated.npz", **arrays)
    np.savez_compressed(here / "bomb.npz", zeros=np.zeros(60_000_000, np.uint8))


def make_llama2c():
    dim, hidden, layers, heads, kv_heads, vocabulary, context = 8, 12, 2, 2, 1, 11, 4
    head = dim // heads
    count = vocabulary * dim + layers * (dim + 2 * dim * dim + 2 * head * kv_heads * dim + dim + 3 * dim * hidden)
    count += dim + context * head + vocabulary * dim
    header = struct.pack("<7i", dim, hidden, layers, heads, kv_heads, -vocabulary, context)
    (here / "llama2c.bin").write_bytes(header + values((count,), "f32").tobytes())


def make():
    shutil.rmtree(here, ignore_errors=True)
    here.mkdir()
    make_safetensors()
    make_gguf()
    make_numpy()
    make_llama2c()


def require(good, what):
    if not good:
        sys.exit(f"formats.py: {what}")


def same(found, dtype, what):
    wanted = values(found.shape, dtype)
    require(np.array_equal(np.asarray(found), wanted), f"{what}: values differ")


def check_gguf(path):
    reader = gguf.GGUFReader(path)
    fields = {key: field.contents() for key, field in reader.fields.items()}
    require(fields["general.architecture"] == "llama", "gguf: architecture")
    require(fields["v.strings"] == ["", "a", "\u0120the"] and fields["v.floats"] == [0.5, -1.5], "gguf: arrays")
    require(fields["v.bool"] is True and fields["v.u64"] == 1 << 40 and fields["v.i32"] == -7, "gguf: numbers")
    tensors = {tensor.name: tensor for tensor in reader.tensors}
    require(list(tensors["t.f32"].shape) == [4, 3], "gguf: shape")  # GGML's order
    same(tensors["t.f32"].data, "f32", "gguf t.f32")
    same(tensors["t.f16"].data, "f16", "gguf t.f16")
    bf16 = gguf.quants.dequantize(tensors["t.bf16"].data, gguf.GGMLQuantizationType.BF16)
    same(bf16, "f32", "gguf t.bf16")


def check_llama_cpp(path):
    """llama.cpp reads the file's metadata before it finds that this is no complete model."""
    import contextlib
    import ctypes
    import llama_cpp
    require(bool(llama_cpp), "llama_cpp")
    library = ctypes.CDLL(str(next(pathlib.Path(llama_cpp.__file__).parent.glob("lib/libggml-base.so"))))

    class Params(ctypes.Structure):
        _fields_ = [("no_alloc", ctypes.c_bool), ("ctx", ctypes.c_void_p)]

    library.gguf_init_from_file.restype = ctypes.c_void_p
    library.gguf_init_from_file.argtypes = [ctypes.c_char_p, Params]
    library.gguf_get_n_tensors.restype = ctypes.c_int64
    library.gguf_get_n_tensors.argtypes = [ctypes.c_void_p]
    context = library.gguf_init_from_file(os.fsencode(path), Params(True, None))
    require(context is not None, "ggml refuses the GGUF file")
    require(library.gguf_get_n_tensors(context) == 3, "ggml counts other tensors")


def check(program):
    with tempfile.TemporaryDirectory() as folder:
        out = pathlib.Path(folder)
        environment = dict(os.environ, INTARSIA_FORMATS_OUT=folder)
        subprocess.run([program, "--gtest_filter=WrittenFiles.*"], env=environment, check=True, stdout=subprocess.DEVNULL)
        with safetensors.safe_open(out / "types.safetensors", "pt") as file:
            require(file.metadata() == {"format": "pt"}, "safetensors: metadata")
            found = {key: file.get_tensor(key) for key in file.keys()}
        require(set(found) == {f"t.{dtype}" for dtype in [*numpy_types, "bf16"]} | {"scalar", "none"}, "safetensors: names")
        for name, tensor in found.items():
            wanted = torch_values(tuple(tensor.shape), name[2:] if name.startswith("t.") else "f32")
            require(tensor.dtype == wanted.dtype and torch.equal(tensor, wanted), f"safetensors: {name}")
        check_gguf(out / "types.gguf")
        check_llama_cpp(out / "types.gguf")
        for dtype in numpy_types:
            array = np.load(out / f"{dtype}.npy")
            require(array.dtype == numpy_types[dtype] and array.shape == (3, 5), f"{dtype}.npy: type or shape")
            same(array, dtype, f"{dtype}.npy")
        for name in ["stored.npz", "deflated.npz"]:
            with np.load(out / name) as file:
                require(sorted(file.files) == ["a", "b.c"], f"{name}: names")
                same(file["a"], "f32", name)
                same(file["b.c"], "u8", name)
        with np.load(out / "empty.npz") as file:
            require(file.files == [], "empty.npz")
    print("formats: what intarsia writes opens in numpy, safetensors, gguf and ggml")


if __name__ == "__main__":
    if sys.argv[1:] == ["make"]:
        make()
    elif len(sys.argv) == 3 and sys.argv[1] == "check":
        check(sys.argv[2])
    else:
        sys.exit(__doc__)
