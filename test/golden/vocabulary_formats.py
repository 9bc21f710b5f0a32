#!/usr/bin/env python3
"""Small tokenizers of every kind and format, and what their own libraries make of some texts with them.

    python test/golden/vocabulary_formats.py --out test/golden/vocabulary_formats/formats.json

Each case: "file" (base64), "name" (of the file), "special" (whether special text is looked for), and for each of the
texts "ids" and "text" (what they decode to).
"""

import argparse
import base64
import json
import pathlib
import tempfile

import sentencepiece
import tiktoken
from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers

from vocabularies import GPT2, TEXTS, corpus

TEXTS = TEXTS + ["The  king's \u2581 Ａ\ufb01ne [MASK] day", "ÀÉ\u0130 \x01control\u200b 中文字 word##s", "a" * 120 + " b",
                 "  ab1234567² ½日 x345 ー\u0561\u0378'\u0301 ,, б.б", "he<pad><pad>ll<pad>l ."]


def hugging_face(text):
    lines = text.split("\n")
    special = ["[UNK]", "[MASK]"]
    t = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    t.normalizer, t.pre_tokenizer, t.decoder = normalizers.BertNormalizer(), pre_tokenizers.BertPreTokenizer(), decoders.WordPiece()
    t.train_from_iterator(lines, trainers.WordPieceTrainer(vocab_size=220, special_tokens=special, show_progress=False))
    yield "wordpiece", t
    t = Tokenizer(models.Unigram())
    t.normalizer = normalizers.Sequence([normalizers.Nmt(), normalizers.NFKC(), normalizers.Replace(" {2,}", " ")])
    t.pre_tokenizer, t.decoder = pre_tokenizers.Metaspace(prepend_scheme="first"), decoders.Metaspace(prepend_scheme="first")
    t.train_from_iterator(lines, trainers.UnigramTrainer(vocab_size=200, special_tokens=["<unk>"], unk_token="<unk>", show_progress=False))
    t.add_special_tokens([AddedToken("[MASK]", lstrip=True, rstrip=True, normalized=False, special=True)])
    t.add_tokens([AddedToken("day", single_word=True)])
    yield "unigram", t
    t = Tokenizer(models.WordLevel(unk_token="[UNK]"))
    t.normalizer = normalizers.Sequence([normalizers.NFD(), normalizers.StripAccents(), normalizers.Lowercase(), normalizers.Strip()])
    t.pre_tokenizer = pre_tokenizers.Sequence([pre_tokenizers.Whitespace(), pre_tokenizers.Punctuation("merged_with_previous")])
    t.train_from_iterator(lines, trainers.WordLevelTrainer(vocab_size=80, special_tokens=special, show_progress=False))
    yield "wordlevel", t
    t = Tokenizer(models.BPE(unk_token="<unk>", end_of_word_suffix="</w>"))
    t.normalizer = normalizers.Sequence([normalizers.NFKD(), normalizers.Lowercase()])
    t.pre_tokenizer = pre_tokenizers.Sequence([pre_tokenizers.WhitespaceSplit(), pre_tokenizers.Digits(individual_digits=True)])
    t.decoder = decoders.BPEDecoder(suffix="</w>")
    t.train_from_iterator(lines, trainers.BpeTrainer(vocab_size=200, special_tokens=["<unk>"], end_of_word_suffix="</w>", show_progress=False))
    yield "bpe with a suffix", t
    t = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    t.pre_tokenizer, t.decoder = pre_tokenizers.UnicodeScripts(), decoders.WordPiece(cleanup=False)
    t.train_from_iterator(lines, trainers.WordPieceTrainer(vocab_size=150, special_tokens=special, show_progress=False))
    yield "wordpiece of scripts", t
    t = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    t.pre_tokenizer, t.decoder = pre_tokenizers.FixedLength(3), decoders.WordPiece()
    t.train_from_iterator(lines, trainers.WordPieceTrainer(vocab_size=150, special_tokens=special, show_progress=False))
    yield "wordpiece of a fixed length", t
    # As in the files of Falcon: what stands behind ByteLevel sees its alphabet.
    t = Tokenizer(models.BPE())
    t.pre_tokenizer = pre_tokenizers.Sequence([pre_tokenizers.Punctuation("contiguous"), pre_tokenizers.ByteLevel(add_prefix_space=False),
                                               pre_tokenizers.Digits(), pre_tokenizers.Split(Regex("[0-9][0-9][0-9]"), "isolated")])
    t.decoder = decoders.ByteLevel()
    t.train_from_iterator(lines, trainers.BpeTrainer(vocab_size=330, special_tokens=special, show_progress=False,
                                                     initial_alphabet=pre_tokenizers.ByteLevel.alphabet()))
    yield "bpe with digits behind bytes", t
    t = Tokenizer(models.BPE(unk_token="<unk>"))
    t.normalizer, t.decoder = normalizers.Replace(" ", "|"), decoders.CTC()
    t.train_from_iterator(lines, trainers.BpeTrainer(vocab_size=80, special_tokens=["<unk>", "<pad>"], show_progress=False))
    yield "ctc", t


def sentencepieces(text, folder):
    (folder / "text").write_text(text)
    # A small map, so that the file stays small: full-width A, two characters to one, and a space.
    (folder / "rules").write_text("FF21\t41\nFB01\t66 69\n65 301\tE9\n9\t20\n3000\t20\n")
    options = {"input": str(folder / "text"), "vocab_size": 330, "minloglevel": 2, "normalization_rule_tsv": str(folder / "rules"),
               "hard_vocab_limit": False}
    for kind, extra in [("unigram", {}), ("bpe", {}), ("unigram", {"byte_fallback": True, "user_defined_symbols": ["[MASK]", "##"], "vocab_size": 420}),
                        ("bpe", {"byte_fallback": True, "user_defined_symbols": ["[MASK]", "##"], "vocab_size": 420, "remove_extra_whitespaces": False})]:
        sentencepiece.SentencePieceTrainer.train(model_prefix=str(folder / "m"), model_type=kind, **(options | extra))
        data = (folder / "m.model").read_bytes()
        yield f"sentencepiece {kind}{' with bytes' if extra else ''}", data, sentencepiece.SentencePieceProcessor(model_proto=data)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--out", type=pathlib.Path, required=True)
    out = parser.parse_args().out
    text = corpus()
    cases = []

    def add(title, name, data, special, encode, decode):
        ids = [encode(t) for t in TEXTS]
        cases.append({"title": title, "name": name, "file": base64.b64encode(data).decode(), "special": special,
                      "ids": ids, "text": [decode(i) for i in ids]})

    for title, t in hugging_face(text):
        decode = lambda ids: t.decode(ids, skip_special_tokens=False)
        add(title, "tokenizer.json", t.to_str().encode(), True, lambda s: t.encode(s, add_special_tokens=False).ids, decode)
    with tempfile.TemporaryDirectory() as folder:
        for title, data, peer in sentencepieces(text, pathlib.Path(folder)):
            add(title, "m.model", data, False, peer.encode, peer.decode)
    words = sorted({" the", "the", "he", "th", "er", " w", "at", "wat", "   ", "llo", "日", "\n\n", "'s", " a"}, key=lambda w: (len(w), w))
    ranks = {bytes([b]): b for b in range(256)}
    for word in words:
        ranks[word.encode()] = len(ranks)
    peer = tiktoken.Encoding("gpt2", pat_str=GPT2, mergeable_ranks=ranks, special_tokens={})
    data = "".join(f"{base64.b64encode(k).decode()} {v}\n" for k, v in ranks.items()).encode()
    add("tiktoken", "gpt2.tiktoken", data, False, peer.encode_ordinary, peer.decode)
    tokens = [bytes([b]) for b in range(256)] + [w.encode() for w in words] + ["\ud7a3".encode()[:2]]

    def longest(s):
        rest, ids = s.encode(), []
        while rest:
            best = max((t for t in tokens if rest.startswith(t)), key=len)
            ids.append(tokens.index(best) + 1)
            rest = rest[len(best):]
        return ids

    def literal(token):
        try:
            return repr(token.decode())
        except UnicodeDecodeError:
            return repr(token)

    data = "".join(f"{i + 1} {literal(t)} {len(t)}\n" for i, t in enumerate(tokens)).encode()
    add("rwkv", "rwkv_vocab.txt", data, False, longest, lambda ids: b"".join(tokens[i - 1] for i in ids).decode("utf-8", "replace"))
    lines = ",\n".join(json.dumps(case, ensure_ascii=False) for case in cases)
    out.write_text(f'{{"texts": {json.dumps(TEXTS, ensure_ascii=False)},\n"cases": [\n{lines}\n]}}\n')


if __name__ == "__main__":
    main()
