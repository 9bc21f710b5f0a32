#!/usr/bin/env python3
"""Trains tokenizers with intarsia and opens them with the libraries they are for; compares compression and time.

    python test/golden/tokenizer_training.py --intarsia build/intarsia --data ../shared/data

Ids of what intarsia saved must be equal in Hugging Face's tokenizers and in bytepiece, those of a model that bytepiece
trained equal in intarsia. Times are those of one run of each, in turns.

Unigram is trained on English, and against sentencepiece three times: as it is; with the entries that intarsia allows,
which may join scripts and digits; and with the first vocabulary that intarsia takes, too, all substrings of words that
occur twice. (Its own has no string that one and the same character follows wherever it occurs, so no word that always
stands before a space.) With that the number of ids must be within 1 %.
"""

import argparse
import collections
import json
import pathlib
import shutil
import subprocess
import sys
import tempfile
import time
import unicodedata

from tokenizer_sweep import EMOJI, Ours, poems


def timed(call):
    start = time.perf_counter()
    result = call()
    return result, time.perf_counter() - start


def king_james():
    if not shutil.which("bible"):
        return ""
    verses = subprocess.run(["bible", "-f", "gen1:1-rev22:21"], capture_output=True, text=True, check=True).stdout
    return "".join(verse.split(" ", 1)[-1] + "\n" for verse in verses.splitlines())


def seeds(text, count, longest=16):
    """The substrings of words that occur twice or more, by their number times their length."""
    words = collections.Counter(word for line in text.split("\n") for word in unicodedata.normalize("NFKC", line).split())
    found = collections.Counter()
    for word, times in words.items():
        word = "\u2581" + word
        for begin in range(len(word)):
            for end in range(begin + 2, min(len(word), begin + longest) + 1):
                found[word[begin:end]] += times
    ranked = sorted(((times * len(part), part, times) for part, times in found.items() if times > 1), reverse=True)
    return [(part, times) for _, part, times in ranked[:count]]


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--intarsia", default="build/intarsia")
    parser.add_argument("--data", type=pathlib.Path, default=pathlib.Path("../shared/data"))
    options = parser.parse_args()
    import bytepiece
    import sentencepiece
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

    folder = pathlib.Path(tempfile.mkdtemp(prefix="training"))
    wiki = (options.data / "text/wikitext2.test.txt").read_text()
    tang = poems(options.data, 4_500_000)
    shakespeare = (options.data / "text/tinyshakespeare.txt").read_text()
    gsm = (options.data / "gsm8k/train.jsonl").read_text()
    corpus = shakespeare + wiki + gsm + tang
    path = folder / "corpus.txt"
    path.write_text(corpus)
    size = len(corpus.encode())
    test = [wiki[i : i + 5000] for i in range(0, 200000, 5000)] + [tang[i : i + 500] for i in range(0, 20000, 500)] + [EMOJI, "", "  a  b\n\n c "]
    good = True

    def train(kind, vocabulary, text=path):
        out = folder / f"{kind}{vocabulary}"
        command = [options.intarsia, "tokenizer", "train", "--kind", kind, "--vocab", str(vocabulary), str(text), "--out", str(out)]
        _, seconds = timed(lambda: subprocess.run(command, check=True, capture_output=True))
        return out, seconds

    def equal(title, expected, got):
        nonlocal good
        wrong = sum(a != b for a, b in zip(expected, got))
        good &= wrong == 0
        print(f"{title}: {len(expected)} texts, {sum(map(len, expected))} ids, {wrong} differ", flush=True)
        for text, a, b in zip(test, expected, got):
            if a != b:
                print(f"   {text[:50]!r} {a[:12]} {b[:12]}")
                break

    for vocabulary in (8000, 32000):
        out, ours = train("bpe", vocabulary)
        t = Tokenizer(models.BPE())
        t.pre_tokenizer, t.decoder = pre_tokenizers.ByteLevel(add_prefix_space=False), decoders.ByteLevel()
        trainer = trainers.BpeTrainer(vocab_size=vocabulary, special_tokens=["<|endoftext|>"], show_progress=False, initial_alphabet=pre_tokenizers.ByteLevel.alphabet())
        _, theirs = timed(lambda: t.train([str(path)], trainer))
        print(f"bpe {vocabulary} on {size / 1e6:.1f} MB: {ours:.2f} s, tokenizers {theirs:.2f} s, ratio {theirs / ours:.2f}")
        peer = Tokenizer.from_file(str(out / "tokenizer.json"))
        equal(f"bpe {vocabulary} opened by tokenizers", [peer.encode(x).ids for x in test], Ours(options.intarsia, str(out)).encode(test, False))
        count = sum(len(t.encode(x).ids) for x in test)
        print(f"   ids of the test texts: {sum(map(len, Ours(options.intarsia, str(out)).encode(test, False)))}, theirs {count}")
    english = "".join(line + "\n" for line in (shakespeare + wiki + gsm + king_james()).split("\n") if line.strip())
    english_path = folder / "english.txt"
    english_path.write_text(english)
    for kind, text in [("wordpiece", path), ("unigram", english_path)]:
        out, ours = train(kind, 8000, text)
        peer = Tokenizer.from_file(str(out / "tokenizer.json"))
        equal(f"{kind} opened by tokenizers", [peer.encode(x, add_special_tokens=False).ids for x in test], Ours(options.intarsia, str(out)).encode(test, False))
        print(f"{kind}: {ours:.2f} s")
    seed_file = folder / "seeds.tsv"
    seed_file.write_text("".join(f"{part}\t{times}\n" for part, times in seeds(english, 12 * 8000)))
    lines = english.split("\n")[::7]
    ids = sum(map(len, Ours(options.intarsia, str(out)).encode(lines, False)))
    joined = {"split_by_unicode_script": False, "split_by_number": False}
    for title, extra in [("as it is", {}), ("entries join scripts and digits", joined), ("and the same first vocabulary", joined | {"seed_sentencepieces_file": str(seed_file)})]:
        _, theirs = timed(lambda: sentencepiece.SentencePieceTrainer.train(
            input=str(english_path), model_prefix=str(folder / "sp"), vocab_size=8000, character_coverage=1.0, minloglevel=2, max_sentence_length=100000, num_threads=2, **extra))
        sp = sentencepiece.SentencePieceProcessor(model_file=str(folder / "sp.model"))
        difference = ids / sum(len(sp.encode(x)) for x in lines) - 1
        print(f"unigram 8000 on {len(english.encode()) / 1e6:.1f} MB, sentencepiece {title}: {ours:.2f} s, theirs {theirs:.2f} s, ratio {theirs / ours:.2f}; ids {100 * difference:+.2f} %", flush=True)
    good &= abs(difference) < 0.01
    out, ours = train("bytepiece", 8000)
    peer = bytepiece.Tokenizer(str(out / "bytepiece.json"))
    equal("bytepiece opened by bytepiece", [peer.encode(x) for x in test], Ours(options.intarsia, str(out)).encode(test, False))
    print(f"bytepiece 8000: {ours:.2f} s")
    small = folder / "small.txt"
    trainer = bytepiece.Trainer(order=6, max_vocab_size=3000, min_count=2)
    lines = [wiki[:150000], tang[:20000]]
    trainer.train(lines)
    trainer.save(str(small.with_suffix(".model")))
    theirs = small.with_suffix(".json")
    theirs.write_text(small.with_suffix(".model").read_text())
    peer = bytepiece.Tokenizer(str(theirs))
    equal("bytepiece trained by bytepiece", [peer.encode(x) for x in test], Ours(options.intarsia, str(theirs)).encode(test, False))
    folder2 = folder / "ours"
    small.write_text("".join(lines))
    subprocess.run([options.intarsia, "tokenizer", "train", "--kind", "bytepiece", "--vocab", "3000", str(small), "--out", str(folder2)], check=True, capture_output=True)
    a, b = json.loads(theirs.read_text()), json.loads((folder2 / "bytepiece.json").read_text())
    print(f"bytepiece on the same text: {len(a)} pieces, {len(set(a) & set(b))} in both")
    sys.exit(0 if good else 1)


if __name__ == "__main__":
    main()
