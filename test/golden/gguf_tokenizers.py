#!/usr/bin/env python3
"""Compares ids with llama.cpp's for the tokenizers of GGUF files: each name of tokenizer.ggml.pre, and bert, t5, rwkv, llama.

    python test/golden/gguf_tokenizers.py --intarsia build/intarsia --data ../shared/data [--bert tokenizer.json] [--rwkv FILE] [NAME...]

Writes files that hold a vocabulary and no weights. BERT's ids are compared with those of Hugging Face's tokenizers, which
it was trained with: llama.cpp has no limit of 100 characters a word and takes other characters for accents. Texts: WikiText-2, Tang poems, source code, and random strings as in
tokenizer_sweep.py.
"""

import argparse
import ast
import json
import pathlib
import sys
import tempfile

import gguf
import llama_cpp
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

from tokenizer_sweep import EMOJI, Ours, poems, random_strings

PRES = ["llama-bpe", "qwen2", "smollm", "gpt-2", "deepseek-llm", "deepseek-coder", "deepseek-v3", "deepseek-r1-qwen", "command-r",
        "starcoder", "falcon", "phi-2", "mpt", "olmo", "chatglm-bpe", "gpt-4o", "llama4", "refact", "codeshell", "jais", "exaone"]


def writer(path, model, tokens, types, arch="llama", **more):
    out = gguf.GGUFWriter(str(path), arch)
    out.add_context_length(64)
    out.add_embedding_length(8)
    out.add_block_count(1)
    out.add_feed_forward_length(8)
    out.add_head_count(1)
    out.add_layer_norm_rms_eps(1e-5)
    out.add_tokenizer_model(model)
    out.add_token_list(tokens)
    out.add_token_types(types)
    if "pre" in more:
        out.add_tokenizer_pre(more["pre"])
    if "scores" in more:
        out.add_token_scores(more["scores"])
    if "merges" in more:
        out.add_token_merges(more["merges"])
    for key, value in more.get("ids", {}).items():
        out.add_uint32(f"tokenizer.ggml.{key}_token_id", value)
    for key, value in more.get("flags", {}).items():
        out.add_bool(f"tokenizer.ggml.{key}", value)
    if "map" in more:
        out.add_precompiled_charsmap(more["map"])
    out.write_header_to_file()
    out.write_kv_data_to_file()
    out.write_tensors_to_file()
    out.close()
    return path


def files(options, folder, wanted):
    """(title, file) of each vocabulary."""
    text = (options.data / "text/tinyshakespeare.txt").read_text()[:400000] + poems(options.data, 200000) + "0123456789 12 345 6789 2024" * 50
    t = Tokenizer(models.BPE())
    t.pre_tokenizer, t.decoder = pre_tokenizers.ByteLevel(add_prefix_space=False), decoders.ByteLevel()
    t.train_from_iterator(text.split("\n"), trainers.BpeTrainer(vocab_size=3000, special_tokens=["<|endoftext|>"], show_progress=False,
                                                                initial_alphabet=pre_tokenizers.ByteLevel.alphabet()))
    model = json.loads(t.to_str())["model"]
    tokens = sorted(model["vocab"], key=model["vocab"].get)
    types = [gguf.TokenType.CONTROL] + [gguf.TokenType.NORMAL] * (len(tokens) - 1)
    merges = [m if isinstance(m, str) else " ".join(m) for m in model["merges"]]
    for pre in PRES:
        if wanted(pre):
            yield pre, writer(folder / f"{pre}.gguf", "gpt2", tokens, types, pre=pre, merges=merges, ids={"bos": 0, "eos": 0},
                              flags={"add_bos_token": False, "add_space_prefix": False})
    if options.bert and wanted("bert"):
        vocab = json.loads(options.bert.read_text())["model"]["vocab"]
        # As convert_hf_to_gguf.py writes them: "##x" is x, and what begins a word has U+2581 before it.
        pieces, types = [], []
        for piece in sorted(vocab, key=vocab.get):
            special = piece.startswith("[") and piece.endswith("]") and len(piece) > 2
            types.append(gguf.TokenType.CONTROL if special else gguf.TokenType.NORMAL)
            pieces.append(piece if special else piece[2:] if piece.startswith("##") else "\u2581" + piece)
        yield "bert", writer(folder / "bert.gguf", "bert", pieces, types, arch="bert",
                             ids={"bos": vocab["[CLS]"], "eos": vocab["[SEP]"], "unknown": vocab["[UNK]"], "seperator": vocab["[SEP]"],
                                  "padding": vocab["[PAD]"], "cls": vocab["[CLS]"], "mask": vocab["[MASK]"]})
    if wanted("t5") or wanted("llama"):
        import sentencepiece
        from sentencepiece import sentencepiece_model_pb2 as pb

        for title, kind, name in (("t5", "unigram", "t5"), ("llama", "bpe", "llama")):
            if not wanted(title):
                continue
            sentencepiece.SentencePieceTrainer.train(input=str(options.data / "sentencepiece/botchan.txt"), model_prefix=str(folder / title),
                                                     vocab_size=2000, model_type=kind, minloglevel=2, byte_fallback=kind == "bpe",
                                                     normalization_rule_name="identity" if kind == "bpe" else "nmt_nfkc",
                                                     remove_extra_whitespaces=kind == "unigram")
            proto = pb.ModelProto()
            proto.ParseFromString((folder / f"{title}.model").read_bytes())
            kinds = [gguf.TokenType(p.type) for p in proto.pieces]
            more = {"map": proto.normalizer_spec.precompiled_charsmap} if kind == "unigram" else {}
            yield title, writer(folder / f"{title}.gguf", name, [p.piece for p in proto.pieces], kinds, arch="llama",
                                scores=[p.score for p in proto.pieces], ids={"bos": 1, "eos": 2, "unknown": 0},
                                flags={"add_bos_token": False, "add_space_prefix": True, "remove_extra_whitespaces": kind == "unigram"}, **more)
    if options.rwkv and wanted("rwkv"):
        tokens = ["<s>"]
        for line in options.rwkv.read_text().splitlines():
            token = ast.literal_eval(line[line.index(" ") : line.rindex(" ")].strip())
            token = token.encode() if isinstance(token, str) else token
            tokens.append("".join(f"\\x{b:02x}" for b in token))
        yield "rwkv", writer(folder / "rwkv.gguf", "rwkv", tokens, [gguf.TokenType.CONTROL] + [gguf.TokenType.NORMAL] * (len(tokens) - 1))


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--intarsia", default="build/intarsia")
    parser.add_argument("--data", type=pathlib.Path, default=pathlib.Path("../shared/data"))
    parser.add_argument("--bert", type=pathlib.Path)
    parser.add_argument("--rwkv", type=pathlib.Path)
    parser.add_argument("--count", type=int, default=3000)
    parser.add_argument("names", nargs="*")
    options = parser.parse_args()
    root = pathlib.Path(__file__).resolve().parents[2]
    wiki = (options.data / "text/wikitext2.test.txt").read_text()
    tang = poems(options.data, 30000)
    texts = [wiki[i : i + 3000] for i in range(0, 200000, 3000)] + [tang[i : i + 500] for i in range(0, 10000, 500)]
    texts += [path.read_text() for path in sorted(root.glob("src/text/*.cpp"))[:4]] + [EMOJI, " ", "\n", "a" * 300, " " * 300]
    texts += random_strings(options.count)
    good = True
    with tempfile.TemporaryDirectory() as folder:
        def wanted(name):
            return not options.names or any(part in name for part in options.names)

        for title, path in files(options, pathlib.Path(folder), wanted):
            try:
                peer = llama_cpp.Llama(str(path), vocab_only=True, verbose=False)
            except Exception as error:
                print(f"{title}: llama.cpp does not open it: {error}", flush=True)
                continue
            if title == "bert":
                bert = Tokenizer.from_file(str(options.bert))
                bert.no_truncation()
                bert.no_padding()
                bert.encode_special_tokens = True
                expected = [bert.encode(text, add_special_tokens=False).ids for text in texts]
            else:
                expected = [peer.tokenize(text.encode(), add_bos=False, special=False) for text in texts]
            got = Ours(options.intarsia, str(path)).encode(texts, False)
            # llama.cpp finds rwkv's <s> in plain text, too; here plain text never becomes a special token.
            wrong = [i for i in range(len(texts)) if expected[i] != got[i] and not (title == "rwkv" and "<s>" in texts[i])]
            good &= not wrong
            print(f"{title}: {len(texts)} texts, {sum(map(len, expected))} ids, {len(wrong)} differ", flush=True)
            for i in wrong[:3]:
                at = next((k for k, (a, b) in enumerate(zip(expected[i], got[i])) if a != b), min(len(expected[i]), len(got[i])))
                print(f"   {texts[i][:50]!r} at {at}: llama.cpp {expected[i][max(0, at - 2):at + 4]}, ours {got[i][max(0, at - 2):at + 4]}")
    sys.exit(0 if good else 1)


if __name__ == "__main__":
    main()
