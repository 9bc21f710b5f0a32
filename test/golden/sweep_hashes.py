#!/usr/bin/env python3
"""Hashes of the ids that 100,000 drawn strings have in their own libraries, for a test that needs no Python.

    python test/golden/sweep_hashes.py --data ../shared/data --out test/golden/tokenizer_sweep/hashes.json

The strings are drawn by splitmix64 from the code points that every peer's Unicode version assigns, so that
test/text/sweep_test.cpp draws the same.
"""

import argparse
import gzip
import json
import pathlib
import struct
import tempfile

from tokenizer_sweep import SPECIAL, drawable

COUNT = 100000
COMMON = " \n\r\t'\u00a0\u3000.,!?-_/\\()[]{}<>0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
WORDS = ["don't", "I'LL", "\u2581", "##", "e\u0301", "\u1112\u1161\u11ab", "\uff21", "\ufb01", "123456", "  ", "\n\n", "ſ"] + SPECIAL
MASK = (1 << 64) - 1


class Draw:
    def __init__(self, seed):
        self.state = seed

    def below(self, bound):
        self.state = (self.state + 0x9E3779B97F4A7C15) & MASK
        z = self.state
        z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & MASK
        z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & MASK
        return (z ^ (z >> 31)) % bound


def strings(points):
    narrow = [p for p in points if p < 0x3000]
    draw = Draw(1)
    for _ in range(COUNT):
        parts = []
        for _ in range(1 + draw.below(24)):
            kind = draw.below(20)
            if kind < 8:
                parts.append(COMMON[draw.below(len(COMMON))])
            elif kind < 12:
                parts.append(chr(narrow[draw.below(len(narrow))]))
            elif kind < 17:
                parts.append(chr(points[draw.below(len(points))]))
            else:
                parts.append(WORDS[draw.below(len(WORDS))])
        yield "".join(parts)


def fnv(hash, ids):
    for byte in struct.pack(f"<{len(ids) + 1}I", *ids, 0xFFFFFFFF):
        hash = ((hash ^ byte) * 0x100000001B3) & MASK
    return hash


def peers(data, folder):
    from tokenizers import Tokenizer

    for name in ("llama3", "qwen3"):
        tokenizer = Tokenizer.from_buffer(gzip.decompress((data / f"tokenizers/{name}/tokenizer.json.gz").read_bytes()))
        tokenizer.encode_special_tokens = True
        yield f"tokenizers/{name}/tokenizer.json.gz", lambda text: tokenizer.encode(text, add_special_tokens=False).ids
    import tiktoken
    import tiktoken.load
    import tiktoken_ext.openai_public as public

    for name in ("gpt2", "cl100k_base", "o200k_base"):
        path = folder / f"{name}.tiktoken"
        path.write_bytes(gzip.decompress((data / f"tokenizers/tiktoken/{name}.tiktoken.gz").read_bytes()))
        ranks = tiktoken.load.load_tiktoken_bpe(str(path))
        public.load_tiktoken_bpe = lambda *_, **__: ranks
        public.data_gym_to_mergeable_bpe_ranks = lambda *_, **__: ranks
        spec = getattr(public, name)()
        spec.pop("explicit_n_vocab", None)
        yield f"tokenizers/tiktoken/{name}.tiktoken.gz", tiktoken.Encoding(**spec).encode_ordinary
    import sentencepiece

    for name in ("test_model.model", "test_ja_model.model"):
        yield f"sentencepiece/{name}", sentencepiece.SentencePieceProcessor(model_file=str(data / "sentencepiece" / name)).encode


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--data", type=pathlib.Path, default=pathlib.Path("../shared/data"))
    parser.add_argument("--out", type=pathlib.Path, required=True)
    options = parser.parse_args()
    points = drawable()
    ranges = []
    for point in points:
        if ranges and ranges[-1][1] == point - 1:
            ranges[-1][1] = point
        else:
            ranges.append([point, point])
    texts = list(strings(points))
    hashes = {}
    with tempfile.TemporaryDirectory() as folder:
        for path, encode in peers(options.data, pathlib.Path(folder)):
            hash = 0xCBF29CE484222325
            for text in texts:
                hash = fnv(hash, encode(text))
            hashes[path] = f"{hash:016x}"
            print(path, hashes[path], flush=True)
    options.out.write_text(json.dumps({"count": COUNT, "common": [ord(c) for c in COMMON], "words": WORDS, "hashes": hashes, "ranges": ranges}) + "\n")


if __name__ == "__main__":
    main()
