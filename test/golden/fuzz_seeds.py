"""Seeds of the fuzz targets that are easier to make than to find: valid files of every kind, and one of each lie.

  fuzz_seeds.py [FOLDER]    writes into test/fuzz/corpus (default); files that others made stay
"""
import base64
import gzip
import io
import json
import pathlib
import struct
import sys
import zipfile
import zlib

root = pathlib.Path(sys.argv[1] if len(sys.argv) > 1 else pathlib.Path(__file__).parents[1] / "fuzz/corpus")
images = pathlib.Path(__file__).parent / "images"


def keep(target, name, data):
    (root / target).mkdir(parents=True, exist_ok=True)
    (root / target / name).write_bytes(data if isinstance(data, bytes) else data.encode())


def packed(data):
    return gzip.compress(data if isinstance(data, bytes) else data.encode(), mtime=0)


# ---- safetensors: headers over 8 bytes of data, and indexes

def safetensors(header, data=b"\0" * 8):
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + data


def tensor(dtype, shape, begin, end):
    return {"dtype": dtype, "shape": shape, "data_offsets": [begin, end]}


for name, header in {
    "dtype": {"a": tensor("F31", [2], 0, 8)},
    "gap": {"a": tensor("U8", [2], 0, 2), "b": tensor("U8", [4], 4, 8)},
    "rest": {"a": tensor("U8", [2], 0, 2)},
    "beyond": {"a": tensor("U8", [9], 0, 9)},
    "size": {"a": tensor("F32", [3], 0, 8)},
    "shape": {"a": tensor("F32", "2", 0, 8)},
    "offset": {"a": tensor("F32", [2], 0, 1.5)},
    "negative": {"a": tensor("F32", [-2], 0, 8)},
    "every_type": {"__metadata__": {"format": "pt"}, "a": tensor("F64", [], 0, 8)},
    "bool": {"a": tensor("BOOL", [2, 2], 0, 4), "b": tensor("BF16", [1, 2], 4, 8)},
}.items():
    keep("safetensors", name, safetensors(header))
for name, index in {
    "index": {"weight_map": {"x": "a", "y": "a"}},
    "index_twice": {"weight_map": {"x": "a", "z": "a"}},
    "index_elsewhere": {"weight_map": {"x": "../a"}},
    "index_missing": {"weight_map": {"x": "b"}},
    "index_number": {"weight_map": {"x": 1}},
    "index_list": {"weight_map": []},
    "index_none": {},
}.items():
    keep("safetensors", name, json.dumps(index))

# ---- GGUF

KINDS = "B b H h I i f ? s a Q q d".split()


def text(s):
    data = s.encode()
    return struct.pack("<Q", len(data)) + data


def value(kind, x):
    if kind == 8:
        return text(x)
    if kind == 9:
        element, items = x
        return struct.pack("<IQ", element, len(items)) + b"".join(value(element, i) for i in items)
    return struct.pack("<" + KINDS[kind], x)


def gguf(metadata, tensors=(), data=b"", version=3, magic=b"GGUF"):
    out = magic + struct.pack("<IQQ", version, len(tensors), len(metadata))
    for key, kind, x in metadata:
        out += text(key) + struct.pack("<I", kind) + (value(kind, x) if kind < 13 else b"\0" * 8)
    for name, axes, kind, offset in tensors:
        out += text(name) + struct.pack("<I", len(axes)) + struct.pack("<%dQ" % len(axes), *axes)
        out += struct.pack("<IQ", kind, offset)
    return out + b"\0" * (-len(out) % 32) + data


scalars = [("k%d" % k, k, {6: 1.5, 7: True, 8: "text", 12: 2.5}.get(k, 7)) for k in range(13) if k != 9]
arrays = [("a%d" % k, 9, (k, [{6: 1.5, 7: True, 8: "text", 12: 2.5}.get(k, 7)] * 2)) for k in range(13) if k != 9]
keep("gguf", "every_value", gguf(scalars + arrays + [("u", 10, 2**63), ("v", 9, (10, [2**63]))]))
keep("gguf", "tensors", gguf([], [("f", [2, 3], 0, 0), ("q", [32], 8, 32), ("h", [1], 1, 96), ("d", [], 28, 128)], b"\0" * 160))
for name, data in {
    "version": gguf([], version=1),
    "big_endian": gguf([], version=3 << 24),
    "value_type": gguf([("k", 13, 0)]),
    "key_twice": gguf([("k", 0, 1), ("k", 0, 1)]),
    "axes": gguf([], [("t", [1] * 5, 0, 0)], b"\0" * 32),
    "axis": gguf([], [("t", [2**63], 0, 0)], b"\0" * 32),
    "tensor_type": gguf([], [("t", [32], 16, 0)], b"\0" * 64),
    "tensor_twice": gguf([], [("t", [1], 0, 0), ("t", [1], 0, 0)], b"\0" * 64),
    "offset": gguf([], [("t", [1], 0, 4)], b"\0" * 64),
    "tensor_beyond": gguf([], [("t", [64], 0, 0)], b"\0" * 64),
    "alignment": gguf([("general.alignment", 4, 8)], [("t", [2], 0, 8)], b"\0" * 16),
    "count": b"GGUF" + struct.pack("<IQQ", 3, 2**60, 1),
    "text_length": b"GGUF" + struct.pack("<IQQQ", 3, 0, 1, 2**60),
}.items():
    keep("gguf", name, data)

# ---- npy and npz


def npy(descr, shape, data, fortran=False, version=1, text=None):
    header = text or "{'descr': %s, 'fortran_order': %s, 'shape': %s, }" % (descr, fortran, shape)
    header = header.encode() + b"\n"
    length = struct.pack("<H" if version == 1 else "<I", len(header))
    return b"\x93NUMPY" + bytes([version, 0]) + length + header + data


def npz(entries, method=zipfile.ZIP_STORED):
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", method) as archive:
        for name, data in entries.items():
            archive.writestr(zipfile.ZipInfo(name), data, method)
    return out.getvalue()


good = npy("'<f4'", "(2, 3)", bytes(24))
for width, name in ((1, "|u1"), (2, "<i2"), (4, "<f4"), (8, "<f8")):
    turned = npy("'%s'" % name, "(2, 3)", bytes(range(6 * width)), True)
    keep("npz", "npy_fortran%d" % width, turned)
    keep("npz", "fortran%d" % width, npz({"a.npy": turned}, zipfile.ZIP_DEFLATED))
for name, data in {
    "npy_scalar": npy("'<i8'", "()", bytes(8)),
    "npy_one": npy("'|b1'", "(2,)", b"\0\1"),
    "npy_bool": npy("'|b1'", "(2,)", b"\0\2"),
    "npy_type": npy("'>f4'", "(1,)", bytes(4)),
    "npy_size": npy("'<f4'", "(2,)", bytes(4)),
    "npy_order": npy("", "", b"", text="{'descr': '<f4', 'fortran_order': 1, 'shape': (1,)}"),
    "npy_key": npy("", "", b"", text="{'descr': '<f4', 'order': 1}"),
    "npy_open": npy("", "", b"", text="{'descr': '<f4"),
    "npy_no_text": npy("", "", b"", text="{descr: 1}"),
    "npy_negative": npy("'<f4'", "(-1,)", b""),
    "npy_missing": npy("", "", b"", text="{'descr': '<f4'}"),
    "npy_commas": npy("", "", b"", text="{'descr': '<f4' 'shape': ()}"),
    "npy_length": b"\x93NUMPY\2\0\xff\xff\xff\xff  ",
    "npy_short": b"\x93NUMPY\2\0\xff\xff",
    "npy_version": b"\x93NUMPY\4\0\xff\xff  ",
    "no_npy": npz({"a.npy": b"not an array at all"}),
    "few_bytes": npz({"a.npy": b"few"}),
    "header_length": npz({"a.npy": b"\x93NUMPY\2\0\xff\xff\xff\xff  "}),
    "bool": npz({"a.npy": npy("'|b1'", "(2,)", b"\0\2")}),
    "other_files": npz({"a.txt": b"text", "a.npy": good}),
    "twice": npz({"a.npy": good, "b.npy": good}).replace(b"b.npy", b"a.npy"),
    "damaged": npz({"a.npy": good[:-1] + b"\1"}).replace(bytes(20) + b"\0\0\0\1", bytes(20) + b"\0\0\1\0"),
    "method": npz({"a.npy": good}, zipfile.ZIP_LZMA),
    "encrypted": npz({"a.npy": good}).replace(b"PK\1\2\x14\3\x14\0\0\0", b"PK\1\2\x14\3\x14\0\1\0"),
    "no_zip": b"PK\3\4" + bytes(30),
    "ends_early": npz({"a.npy": good}, zipfile.ZIP_DEFLATED).replace(struct.pack("<I", len(good)), struct.pack("<I", len(good) + 9)),
}.items():
    keep("npz", name, data)
many = bytearray(npz({"a.npy": good}))
end = many.rfind(b"PK\5\6")
record = b"PK\6\6" + struct.pack("<QHHIIQQQQ", 44, 45, 45, 0, 0, 1 << 20, 1 << 20, 10, 0)
keep("npz", "zip64_count", bytes(many[:end]) + record + b"PK\6\7" + struct.pack("<IQI", 0, end, 1) + bytes(many[end:]))

# ---- idx, tables


def idx(kind, shape, data=b""):
    return bytes([0, 0, kind, len(shape)]) + b"".join(struct.pack(">I", n) for n in shape) + data


for name, data in {
    "signed": idx(0x09, [2], b"\1\xff"), "ints": idx(0x0C, [1], bytes(4)), "floats": idx(0x0D, [1], bytes(4)),
    "type": idx(0x0A, [1], b"\0"), "axes": idx(8, [1] * 9, b"\0"), "start": b"PK\3\4", "few": idx(8, [5], b"abc"),
    "many": idx(8, [1], b"abc"), "large": idx(8, [2**32 - 1]), "empty": idx(8, [0, 5]),
    "large.gz": packed(idx(8, [2**32 - 1])), "damaged.gz": packed(idx(8, [4], b"abcd"))[:-6] + b"\0" * 6,
    "cut.gz": packed(idx(8, [4], b"abcd"))[:-9], "zeros.gz": packed(idx(8, [4], b"abcd")) + b"\0\0",
    "no_block.gz": b"\x1f\x8b\x08\0\0\0\0\0\0\3\xff\xff\xff",
}.items():
    keep("idx", name, data)
rows = "".join('%d,"x,\n%d""%s",%d\r\n' % (i, i, "y" * (i % 7), i * i) for i in range(2500))
keep("csv", "windows.gz", packed("n,text,m\r\n" + rows))
keep("csv", "long_line.gz", packed("a\n" + "x" * (9 << 20)))
keep("csv", "unpacks_to_much.gz", packed("a\n" + "1\n" * (17 << 20)))
keep("csv", "separators", "a;b|c\td,e\n1;2|3\t4,5\n")
keep("csv", "many_columns.gz", packed("," * 70000))
keep("csv", "large_table.gz", packed(",".join("abcdefgh") + "\n" + ",,,,,,,\n" * 400000))
keep("csv", "one_column", "a\n1\n\n2\n")
keep("csv", "no_name", "\n1\n\n3\n\x07")
keep("csv", "cut.gz", packed("a,b\n1,2\n")[:-9])
keep("csv", "carriage", "a,b\r1,2\r\n3,4\r")
keep("csv", "numbers", "a,b,c\n+1,1e400,-\n-9223372036854775808,9223372036854775808,+-1\n")
lines = "".join(json.dumps({"a": i, "b": "x" * (i % 9), "c": [i], "d": i % 2 == 0, "e": None}) + "\n" for i in range(3000))
keep("json_lines", "windows.gz", packed(lines))
keep("json_lines", "long_line.gz", packed('{"a": "' + "x" * (9 << 20)))
keep("json_lines", "types", '{"a": 1, "b": true, "c": 1.5, "d": "t"}\n{"a": -1, "b": false, "c": 2, "d": 1}\n{"a": 18446744073709551615}')
keep("json_lines", "sparse.gz", packed("".join('{"%d": 1}\n' % i for i in range(5000))))
keep("json_lines", "no_object", "{}\n1")

# ---- pictures: every kind of the golden ones, and damage

for path in sorted(images.iterdir()):
    if path.suffix in (".png", ".jpg"):
        keep("image", path.name, path.read_bytes())


def chunk(kind, data):
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png(width, height, after=b"", kind=2, channels=3, rows=None):
    pixels = zlib.compress(bytes((channels * width + 1) * (height if rows is None else rows)), 9)
    head = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, kind, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + head + chunk(b"IDAT", pixels) + after + chunk(b"IEND", b"")


for turn in range(2, 9):
    exif = b"MM\0*\0\0\0\x08\0\1\1\x12\0\3\0\0\0\1" + struct.pack(">HH", turn, 0)
    keep("image", "turned_late%d.png" % turn, png(3, 2, chunk(b"eXIf", exif)))
keep("image", "too_large.png", png(1 << 17, 1 << 17, rows=1))
keep("image", "large.png", png(3000, 3000, rows=1))
keep("image", "sum.png", png(3, 2)[:-5] + b"\0" * 5)
keep("image", "width.png", png(1 << 20, 1, rows=0))
keep("image", "gray_alpha3.png", png(4, 3, kind=4, channels=2) + b"\3")
keep("image", "no_entry.png", png(3, 2, chunk(b"eXIf", b"II*\0\x08\0\0\0\0\0")))
jpeg = (images / "full_colour.jpg").read_bytes()
keep("image", "cut.jpg", jpeg[: len(jpeg) // 2])
start = jpeg.index(b"\xff\xc0")
keep("image", "two_components.jpg", jpeg[: start + 9] + b"\2" + jpeg[start + 10 :])
keep("image", "tables.jpg", jpeg.replace(b"\xff\xc4", b"\xff\xc9"))
progressive = (images / "progressive.jpg").read_bytes()
last = progressive.rindex(b"\xff\xda")
keep("image", "scans.jpg", progressive[:-2] + progressive[last:-2] * 120 + b"\xff\xd9")

# ---- recipes

for name, recipe in {
    "section": "[optimiser]\nkind = 'sgd'", "not_a_table": "optimizer = 1", "array": "[training]\nsteps = [1]",
    "date": "[training]\nsteps = 2024-01-01", "truth": "[training]\nsteps = true", "float": "[training]\nsteps = 1.5",
    "table": "[training.steps]\na = 1", "syntax": "[training\n", "bracket": "[(raining]\n", "newline": "[data]\npath = \"a\\nb\\u0001\\\"\\\\\"",
    "file": "[tokenizer]\nkind = 'file'", "warm_up": "[training]\nsteps = 5", "heads": "[model]\nwidth = 10\nheads = 3",
    "kv_heads": "[model]\nwidth = 12\nheads = 4\nkv_heads = 3\n[schedule]\nwarm_up = 0",
    "many": "[training]\nsteps = 1000000000\nbatch = 1000000\naccumulation = 65536",
    "assign_text": "data.path='a b'\n", "assign": "training.steps=5\n[schedule]", "assign_wrong": "training.steps=\n",
    "assign_unknown": "trainng.steps=5\n", "assign_short": "data=book.txt\n", "assign_plain": "data.path=book.txt\n", "assign_number": "training.steps=x\n", "assign_none": "# x\n",
}.items():
    path = "" if name.startswith("assign") or name == "newline" else "data.path = 'book.txt'\n"
    keep("recipe", name, path + recipe)
for i, choice in enumerate(["all", "segments:3", "binomial:0", "budget:1.5GB", "budget:x", "half"]):
    keep("recipe", "recompute_%d" % i, "data.path = 'book.txt'\n[training]\nrecompute = '%s'" % choice)
keep("recipe", "comment_then_assign", "tokenizer.kind=\"characters\"\n")

# ---- BytePiece


def bytepiece(pieces, start=3):
    pieces = sorted(pieces, key=lambda p: (len(p[0]), p[0]))
    row = '"%s": [%d, %s, %d]'
    rows = [row % (base64.b64encode(p).decode(), i + start, json.dumps(p.decode("utf8", "replace")), n) for i, (p, n) in enumerate(pieces)]
    return "{\n" + ",\n".join(rows) + "\n}\n"


letters = [(bytes([i]), 1) for i in b"ehlstT <>\n"]
for name, data in {
    "small": bytepiece(letters + [(b"the ", 9), (b"he", 4), ("\u00e9".encode(), 2), (b"\xe4\xb8", 1), (b"\xff", 1)]),
    "one": bytepiece([(b"a", 1)]), "wrong_id": bytepiece([(b"a", 1), (b"b", 2)], 4), "count": '{"YQ==": [3, "a", 0]}',
    "too_many": '{"YQ==": [3, "a", 4503599627370496], "Yg==": [4, "b", 1]}', "base64": '{"Y": [3, "a", 1]}',
    "empty_piece": '{"": [3, "", 1]}', "list": "[1]", "text": '{"YQ==": "a"}', "none": "{}",
}.items():
    keep("bytepiece", name, data)

# ---- lists of byte strings

for name, data in {
    "rank": "YQ== x\n", "no_rank": "YQ==\n", "rank_twice": "YQ== 0\nYg== 0\n", "text_twice": "YQ== 0\nYQ== 1\n",
    "too_far": "YQ== 99999999\n", "no_base64": "Y 0\n", "crlf": "YQ== 0\r\nYg== 1\r\n", "long": "YWFh" * 2000 + " 0\n",
    "rwkv_escapes": "1 'a\\n\\x41\\u00e9\\U0001F600\\'' 9\n2 b'\\xff\\\\' 2\n3 \"'\" 1\n",
    "rwkv_literal": "1 a 1\n", "rwkv_mark": "1 'a''b' 4\n", "rwkv_escape": "1 '\\q' 1\n", "rwkv_open": "1 '\\' 1\n",
    "rwkv_hexadecimal": "1 '\\xg0' 1\n", "rwkv_surrogate": "1 '\\ud800' 3\n", "rwkv_few_digits": "1 '\\x4' 1\n",
    "rwkv_length": "1 'a' 2\n", "rwkv_words": "1 'a'\n", "rwkv_id": "99999999 'a' 1\n", "rwkv_twice": "1 'a' 1\n1 'b' 1\n",
    "rwkv_text_twice": "1 'a' 1\n2 'a' 1\n", "rwkv_zero": "0 'a' 1\n",
}.items():
    keep("tiktoken", name, data)
ranks = "".join("%s %d\n" % (base64.b64encode(bytes([i])).decode(), i) for i in range(256))
for name in range(5):
    line = ranks + "YWI= 256\n"
    while not (len(line) % 16 == 15 and len(line) // 16 % 5 == name):
        line += "\n"
    keep("tiktoken", "named%d" % name, line)
keep("tiktoken", "special", ranks + base64.b64encode(b"<|endoftext|>").decode() + " 50256\n")
keep("tiktoken", "not_special", ranks + base64.b64encode(b"other").decode() + " 50256\n")

# ---- tokenizer.json: every component, every kind of model, and what is wrong in them

letters = {c: i for i, c in enumerate("abtheT <>s12l.,\u2581\u00e9")}
bpe = {"type": "BPE", "vocab": {**letters, "th": 30, "the": 31}, "merges": ["t h", "th e"]}


def tokenizer(**parts):
    return json.dumps({"model": bpe, **parts})


def each(kind, items):
    for i, item in enumerate(items):
        keep("tokenizer", "%s_%02d" % (kind, i), tokenizer(**{kind: item}))


text_pattern, regex = {"String": "b"}, {"Regex": "[ab]+"}
each("normalizer", [
    {"type": "Sequence", "normalizers": [{"type": t} for t in ("NFC", "NFD", "NFKC", "NFKD", "Lowercase", "Strip", "StripAccents", "Nmt")]},
    {"type": "BertNormalizer", "lowercase": False, "strip_accents": None}, {"type": "ByteLevel"}, {"type": "Prepend", "prepend": "_"},
    {"type": "Replace", "pattern": text_pattern, "content": "c"}, {"type": "Replace", "pattern": regex, "content": "c"},
    {"type": "Replace", "pattern": {"Regex": "("}, "content": "c"}, {"type": "Replace", "pattern": {"Other": "a"}, "content": "c"},
    {"type": "Replace", "pattern": {"String": ""}, "content": "c"}, {"type": "Precompiled"}, {"type": "Precompiled", "precompiled_charsmap": "AAAA"},
    {"type": "Precompiled", "precompiled_charsmap": base64.b64encode(struct.pack("<II", 4, 0) + b"a\0").decode()},
    {"type": "Other"}, {"type": "Strip", "strip_left": 1}, {"type": 1}, 5, {"type": "Sequence", "normalizers": {}},
])
each("pre_tokenizer", [
    {"type": "ByteLevel"}, {"type": "ByteLevel", "add_prefix_space": False, "use_regex": False},
    {"type": "Sequence", "pretokenizers": [{"type": "ByteLevel"}, {"type": "Digits"}]},
    *[{"type": "Split", "pattern": p, "behavior": b, "invert": i} for p in (text_pattern, regex) for i in (False, True)
      for b in ("Isolated", "Removed", "MergedWithPrevious", "MergedWithNext", "Contiguous")],
    {"type": "Split", "pattern": text_pattern, "behavior": "Other"}, {"type": "Digits", "individual_digits": True},
    *[{"type": "Metaspace", "prepend_scheme": s} for s in ("always", "first", "never", "other")], {"type": "Metaspace", "replacement": ""},
    {"type": "Metaspace", "add_prefix_space": False, "split": False}, {"type": "Whitespace"}, {"type": "WhitespaceSplit"},
    {"type": "BertPreTokenizer"}, {"type": "Punctuation"}, {"type": "Punctuation", "behavior": "Contiguous"},
    {"type": "CharDelimiterSplit", "delimiter": "-"}, {"type": "FixedLength"}, {"type": "FixedLength", "length": 0},
    {"type": "FixedLength", "length": 2}, {"type": "FixedLength", "length": "2"}, {"type": "Other"}, {"type": "UnicodeScripts"},
    {"type": "Sequence", "pretokenizers": [{"type": "ByteLevel"}, {"type": "UnicodeScripts"}, {"type": "Split", "pattern": text_pattern, "behavior": "Isolated"}]},
])
each("post_processor", [
    {"type": "ByteLevel"}, {"type": "BertProcessing", "cls": ["<", 1], "sep": [">", 2]}, {"type": "RobertaProcessing", "cls": [], "sep": [1]},
    {"type": "TemplateProcessing", "single": [{"SpecialToken": {"id": "<"}}, {"Sequence": {"id": "A"}}, {"SpecialToken": {"id": ">"}}]},
    {"type": "Sequence", "processors": [{"type": "ByteLevel"}]}, {"type": "Other"},
])
each("decoder", [
    {"type": "ByteLevel"}, {"type": "WordPiece"}, {"type": "WordPiece", "prefix": "#", "cleanup": False}, {"type": "BPEDecoder"},
    {"type": "BPEDecoder", "suffix": ""}, {"type": "Metaspace"}, {"type": "Other"}, {"type": "Strip", "content": "", "start": 1, "stop": 0},
    {"type": "Sequence", "decoders": [{"type": "Replace", "pattern": text_pattern, "content": " "}, {"type": "ByteFallback"},
                                      {"type": "Fuse"}, {"type": "Strip", "content": " ", "start": 1, "stop": 0}]},
    {"type": "Strip", "content": "a", "start": 1, "stop": 1}, {"type": "Replace", "pattern": regex, "content": " "},
    {"type": "CTC"}, {"type": "CTC", "pad_token": "a", "word_delimiter_token": "b"}, {"type": "CTC", "cleanup": False, "pad_token": ""},
])
added = {"id": 40, "content": "<s>", "special": True, "single_word": False, "lstrip": True, "rstrip": True, "normalized": False}
each("added_tokens", [
    [added], [{**added, "special": False, "single_word": True, "normalized": True}], [{**added, "id": 1}], [{**added, "content": ""}],
    [{**added, "content": "a"}], [{**added, "id": -1}], [{**added, "id": "x"}], [added, {**added, "content": "<t>"}], {}, [5],
])
each("model", [
    {**bpe, "merges": [["t", "h"], ["th", "e"]]}, {**bpe, "merges": ["t"]}, {**bpe, "merges": [["t"]]}, {**bpe, "merges": [5]}, {**bpe, "merges": ["t x"]},
    {**bpe, "vocab": {"a": "x"}}, {**bpe, "vocab": {"a": 0, "b": 0}}, {**bpe, "vocab": []}, {**bpe, "vocab": {"a": -1}}, {**bpe, "vocab": {"a": 1 << 40}},
    {**bpe, "dropout": 0.1}, {**bpe, "dropout": 2}, {**bpe, "dropout": "x"}, {**bpe, "unk_token": "a", "fuse_unk": True, "byte_fallback": True},
    {**bpe, "unk_token": "none"}, {**bpe, "continuing_subword_prefix": "##", "end_of_word_suffix": "</w>"}, {**bpe, "ignore_merges": True},
    {"type": "WordPiece", "vocab": {"[UNK]": 0, "a": 1, "##b": 2}, "unk_token": "[UNK]", "max_input_chars_per_word": 9},
    {"type": "WordPiece", "vocab": {"a": 1}, "unk_token": "[UNK]"}, {"type": "WordPiece", "vocab": {"[UNK]": 0}, "max_input_chars_per_word": "x"},
    {"vocab": {"[UNK]": 0, "a": 1}, "max_input_chars_per_word": 9, "unk_token": "[UNK]"}, {"vocab": {"a": 0}}, {"vocab": [["a", -1]], "unk_id": 0},
    {"vocab": {"a": 0, "b": 1}, "merges": []}, {"type": "WordLevel", "vocab": {"a": 0}, "unk_token": "a"}, {"type": "Other", "vocab": {}}, {},
    {"type": "Unigram", "vocab": [["<unk>", 0], ["a", -1.5], ["the", -2]], "unk_id": 0, "byte_fallback": True}, {"type": "Unigram", "vocab": [["a"]]},
    {"type": "Unigram", "vocab": [[1, "a"]]}, {"type": "Unigram", "vocab": [["a", -1]], "unk_id": 5}, {"type": "Unigram", "vocab": {}}, 5,
])
keep("tokenizer", "not_json", '{"model": {"vocab": {"a": 0,}}}')
keep("tokenizer", "deep", '{"a": ' + "[" * 100 + "]" * 100 + "}")
keep("tokenizer", "truncation", tokenizer(truncation={"max_length": 5}, padding=None, version="1.0"))

# ---- tokenizers in GGUF and llama2.c files


def gguf_tokenizer(model, tokens, **more):
    items = [("tokenizer.ggml.model", 8, model), ("tokenizer.ggml.tokens", 9, (8, tokens))]
    kinds = {"scores": (9, 6), "token_type": (9, 5), "merges": (9, 8), "precompiled_charsmap": (9, 0)}
    for key, x in more.items():
        kind = 8 if isinstance(x, str) else 7 if isinstance(x, bool) else 4 if isinstance(x, int) else 9
        items.append(("tokenizer.ggml." + key, kind, (kinds[key][1], x) if kind == 9 else x))
    return gguf(items)


some = ["[PAD]", "[UNK]", "a", "b", "\u2581the", "\u2581T", "[CLS]", "[SEP]", "s", "."]
plain = [3, 2, 1, 1, 1, 1, 3, 3, 1, 4]
scores = [0.0, 0.0, -1.0, -2.0, -3.0, -4.0, 0.0, 0.0, -2.5, -5.0]
bytes_tokens = ["<unk>", "<s>", "</s>"] + ["<0x%02X>" % i for i in range(256)] + ["a", "th", "\u2581the"]
for name, data in {
    "bert": gguf_tokenizer("bert", some, token_type=plain, unknown_token_id=1, cls_token_id=6, seperator_token_id=7, bos_token_id=6),
    "bert_cased": gguf_tokenizer("bert", some + ["A"], unknown_token_id=1), "bert_unknown": gguf_tokenizer("bert", some, unknown_token_id=99),
    "t5": gguf_tokenizer("t5", some, token_type=plain, scores=scores, unknown_token_id=1, eos_token_id=0, add_space_prefix=True),
    "t5_options": gguf_tokenizer("t5", some, scores=scores, unknown_token_id=1, add_space_prefix=False, remove_extra_whitespaces=True, precompiled_charsmap=[4, 0, 0, 0, 0, 0, 0, 0, 97, 0]),
    "t5_infinite": gguf_tokenizer("t5", ["a", "b"], scores=[float("inf"), 0.0], unknown_token_id=1),
    "rwkv": gguf_tokenizer("rwkv", ["<s>", "a", "\\n", "'", "\\xe9"], eos_token_id=0), "rwkv_wrong": gguf_tokenizer("rwkv", ["a", "\\q"]),
    "gpt2": gguf_tokenizer("gpt2", ["a", "b", "ab", "<s>"], merges=["a b"], token_type=[1, 1, 1, 3], pre="gpt-2", bos_token_id=3, eos_token_id=3, eot_token_id=3, add_bos_token=True),
    "gpt2_llama3": gguf_tokenizer("gpt2", ["a", "b", "ab"], merges=["a b"], pre="llama-bpe"), "gpt2_merge": gguf_tokenizer("gpt2", ["a", "b"], merges=["a"]),
    "gpt2_piece": gguf_tokenizer("gpt2", ["a", "b"], merges=["a x"]), "pre": gguf_tokenizer("gpt2", ["a"], merges=[], pre="other"),
    "kinds": gguf_tokenizer("gpt2", ["a"], merges=[], token_type=[1, 1]), "role": gguf_tokenizer("gpt2", ["a"], merges=[], bos_token_id=9),
    "llama": gguf_tokenizer("llama", bytes_tokens, scores=[0.0] * len(bytes_tokens), token_type=[2, 3, 3] + [6] * 256 + [1] * 3, chat_template="x", add_eos_token=False),
    "llama_scores": gguf_tokenizer("llama", ["a"], scores=[0.0, 1.0]), "other_model": gguf_tokenizer("other", ["a"]),
    "long_token": gguf_tokenizer("gpt2", ["a" * 5000], merges=[]), "no_tokens": gguf([("tokenizer.ggml.model", 8, "llama")]),
}.items():
    keep("tokenizer", "gguf_" + name + "_seed", data)
llama2c = b"".join(struct.pack("<fi", 0.0, len(t)) + t for t in [b"<unk>", b"\n<s>\n", b"\n</s>\n"] + [b"<0x%02X>" % i for i in range(256)] + [b"a", b" the"])
keep("tokenizer", "llama2c_seed", struct.pack("<i", 6) + llama2c)
keep("tokenizer", "llama2c_longest", struct.pack("<i", -1) + llama2c)
keep("tokenizer", "llama2c_length", struct.pack("<i", 3) + llama2c)
keep("tokenizer", "llama2c_cut", struct.pack("<i", 6) + llama2c[:-1])
keep("tokenizer", "llama2c_few", struct.pack("<i", 6) + llama2c[:40])

# ---- files beside tokenizer.json

for name, (config, generation) in {
    "texts": ({"bos_token": "<s>", "eos_token": "b", "add_bos_token": True, "chat_template": "{{ 1 }}"}, {"eos_token_id": 2}),
    "tokens": ({"bos_token": {"content": "<s>"}, "eos_token": {"content": 1}, "add_bos_token": False}, {"eos_token_id": [0, 2, 2, -1, "a"]}),
    "templates": ({"chat_template": [{"name": "x", "template": "y"}, {"name": "default", "template": "z"}]}, []),
    "no_default": ({"eos_token": "none", "chat_template": ["a"]}, {}), "template_number": ({"chat_template": 5}, {"eos_token_id": 1e9}),
    "flag": ({"add_bos_token": "x"}, {}), "list": ([], {}),
}.items():
    keep("tokenizer", "beside_" + name, "+" + json.dumps(config) + "\n" + json.dumps(generation))
keep("tokenizer", "beside_broken", "+{}\n{")

# ---- Jinja: the expressions whose text is known, several a file, and what goes wrong in ways that those do not

group = []
groups = 0
for case in json.loads((pathlib.Path(__file__).parent / "templates/expressions.json").read_text())["cases"]:
    if case["text"] is None:
        continue
    if sum(map(len, group)) + len(case["source"]) > 600:
        keep("jinja_source", "expressions_%02d" % groups, "\n".join(group))
        group, groups = [], groups + 1
    group.append(case["source"])
keep("jinja_source", "expressions_%02d" % groups, "\n".join(group))
for i, source in enumerate([
    "{{ 1e30 | int }}", "{{ '1e3' | int }}{{ 12345 | round(-2) }}{{ 1.5 | round(-400) }}{{ '1_0' | int }}{{ '0x1f' | int(0, 16) }}", "{{ 1.5 | round(1, 'up') }}",
    "{{ '%d' | format(1, a=2) }}", "{{ s | batch(2) | last }}", "{{ l | select(5) | list }}", "{{ '{:E}{:G}{:%}'.format(f, f, f) }}", "{{ '{:q}'.format(1) }}",
    "{{ '%#x %*d %.2s' % (n, 5, n, s) }}", "{{ '%*d' % (-1, 2) }}", "{{ '%c' % 'ab' }}", "{{ '{:*^9}{:.2}'.format(s, s) }}", "{{ '{:d}'.format(s) }}", "{{ '{a[0]}'.format(a=s) }}",
    "{{ cycler(1)() }}", "{{ range(1, 2, 3, 4) }}", "{% raw %}", "{{ s", "{% if", "{{ 012 }}", "{{ '\\N{DASH}' }}", "{{ '\\x4' }}", "{{ '\\ud800' }}", "{{ s.startswith(5) }}",
    "{{ s.index('q') }}", "{{ l.index(9) }}", "{{ s.encode() }}", "{{ s 'a' }}", "{{ s 1 }}", "{{ s 1.5 }}", "{{ s[1, 2] }}", "{{ range(a=1, 2) }}", "{% macro m(a=1, b) %}{% endmacro %}",
    "{{ l | map('upper') | string }}", "{{ 9223372036854775807 + 1 }}", "{{ 0 ** -1 }}", "{{ (-1) ** 0.5 }}", "{{ -s }}", "{{ '99999999999999999999' | int }}", "{{ 'inf' | float }}{{ 'nan' | float }}{{ '1e999' | float }}{{ '1e-999' | float }}{{ '1e' | float }}",
    "{% macro m() %}{% endmacro %}{{ m.name }}{{ m.x }}", "{{ [cycler(1), joiner(), namespace()] }}", "{% set ns = namespace() %}{% set ns._a = 1 %}", "{{ s.strip('\u00e9') }}{{ m | map(attribute=0) | list }}",
    "{{ " + "(" * 300 + "1" + ")" * 300 + " }}", "{{ s * 99999999 }}", "{% macro m(n) %}{{ m(n + 1) }}{% endmacro %}{{ m(1) }}", "{{ s[:2] < l }}",
]):
    keep("jinja_source", "wrong_%02d" % i, source)

# ---- what Jinja templates are given: every template of the target, every kind of conversation

for i in range(9):
    numbers = [{"role": "user", "content": "b a\r\n<é>", "n": 7}, {"role": "user", "n": -2.5, "x": True}, {"role": "tool", "content": [{"text": "x"}], "n": 0}]
    keep("jinja_input", "numbers_%d" % i, chr(i) + json.dumps(numbers, ensure_ascii=False))
    calls = [{"role": "assistant", "content": "<think>x</think>y", "tool_calls": [{"function": {"name": "f", "arguments": {"a": [1, None], "b": "\u2028"}}}]}] * 2
    keep("jinja_input", "calls_%d" % i, chr(i) + json.dumps(calls))
    keep("jinja_input", "integer_%d" % i, chr(i) + '[{"role": "user", "content": -5, "n": 2}, {"role": 1, "content": "%d"}]' % (1 << (40 + 3 * i)))

# ---- SentencePiece models: small ones of each kind, and what is wrong in them


def varint(x):
    x %= 1 << 64
    out = b""
    while x > 127:
        out, x = out + bytes([x & 127 | 128]), x >> 7
    return out + bytes([x])


def protobuf(*fields):
    out = b""
    for number, x in fields:
        if isinstance(x, float):
            out += varint(number << 3 | 5) + struct.pack("<f", x)
        elif isinstance(x, int):
            out += varint(number << 3) + varint(x)
        else:
            x = x.encode() if isinstance(x, str) else x
            out += varint(number << 3 | 2) + varint(len(x)) + x
    return out


def piece(text, score=0.0, kind=1):
    return 1, protobuf((1, text), (2, score), (3, kind))


roles = [piece("<unk>", kind=2), piece("<s>", kind=3), piece("</s>", kind=3)]
words = [piece(t, -float(i)) for i, t in enumerate(["\u2581the", "\u2581", "a", "th", "e", "\u2581a", "s", "\u00e9", "1", "2", "12"])]
more = roles + words + [piece("<u>", kind=4), piece("l", -3.0, 5), piece("<0x41>", kind=6), piece("<0xC3>", kind=6)]
character_map = struct.pack("<II", 4, 0) + b"a\0"
for name, fields in {
    "unigram": more + [(2, protobuf((3, 1), (35, 1)))], "bpe": more + [(2, protobuf((3, 2), (35, 1)))],
    "suffix": roles + words + [(2, protobuf((3, 1), (24, 1), (44, "?"), (41, -1), (42, 99)))],
    "plain": roles + words + [(3, protobuf((3, 0), (4, 0), (5, 0)))], "extra_spaces": roles + words + [(2, protobuf((3, 2))), (3, protobuf((3, 1), (4, 0), (5, 1)))],
    "across": roles + words + [piece("a\u2581b", -9.0)], "map": roles + words + [(3, protobuf((2, character_map)))], "map_wrong": roles + words + [(3, protobuf((2, b"\xff\xff\0\0a")))],
    "words": roles + words + [(2, protobuf((3, 3)))], "two_unknown": roles + roles[:1], "no_unknown": roles[1:] + words, "none": [(2, protobuf((3, 1)))], "twice": roles + words + words[:1],
    "kind": roles + [piece("x", kind=7)], "byte": roles + [piece("<0xZZ>", kind=6)], "empty": roles + [piece("")], "infinite": roles + [piece("x", float("inf"))],
    "long": roles + [piece("x" * 5000)], "score": roles + [(1, protobuf((1, "x"), (2, 5)))], "groups": [(1, protobuf((1, "a"))), (7, 1.0)],
}.items():
    keep("sentencepiece", name, protobuf(*fields))
keep("sentencepiece", "cut", protobuf(*more)[:-2])
keep("sentencepiece", "varint", b"\x0a\x80" + b"\xff" * 12)
keep("sentencepiece", "wire", b"\x0b\x00")
