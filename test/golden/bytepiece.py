#!/usr/bin/env python3
"""BytePiece's compression against SentencePiece's at equal vocabulary.

    python test/golden/bytepiece.py --intarsia build/intarsia --data ../shared/data [--vocab 16000]

Trains on WikiText-2's and the Tang poems' first parts and on Shakespeare; measures bytes per token on those texts and on
parts that were not trained on, English and poems apart and together. SentencePiece gets no dummy prefix and no
normalization, and bytes for rare characters, so that all three cut the same bytes. On both together BytePiece must win.
"""

import argparse
import pathlib
import subprocess
import sys
import tempfile
import unicodedata

from tokenizer_sweep import Ours, poems


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--intarsia", default="build/intarsia")
    parser.add_argument("--data", type=pathlib.Path, default=pathlib.Path("../shared/data"))
    parser.add_argument("--vocab", type=int, default=16000)
    options = parser.parse_args()
    import sentencepiece

    folder = pathlib.Path(tempfile.mkdtemp(prefix="bytepiece"))
    wiki = unicodedata.normalize("NFC", (options.data / "text/wikitext2.test.txt").read_text())
    shakespeare = (options.data / "text/tinyshakespeare.txt").read_text()
    tang = unicodedata.normalize("NFC", poems(options.data, 3_300_000))
    cut, poem_cut = len(wiki) * 9 // 10, len(tang) * 9 // 10
    english, held_english = wiki[:cut] + shakespeare, wiki[cut:]
    chinese, held_chinese = tang[:poem_cut], tang[poem_cut:]
    corpus = folder / "corpus.txt"
    corpus.write_text(english + "\n" + chinese)
    subprocess.run([options.intarsia, "tokenizer", "train", "--kind", "bytepiece", "--vocab", str(options.vocab), str(corpus), "--out", str(folder)],
                   check=True, capture_output=True)
    ours = Ours(options.intarsia, str(folder / "bytepiece.json"))
    peers = {}
    for kind in ("unigram", "bpe"):
        sentencepiece.SentencePieceTrainer.train(
            input=str(corpus), model_prefix=str(folder / kind), vocab_size=options.vocab, model_type=kind, minloglevel=2, num_threads=2,
            byte_fallback=True, character_coverage=0.9995, normalization_rule_name="identity", add_dummy_prefix=False, remove_extra_whitespaces=False,
            max_sentence_length=100000)
        peers[kind] = sentencepiece.SentencePieceProcessor(model_file=str(folder / f"{kind}.model"))
    texts = {"English": english, "poems": chinese, "both": english + "\n" + chinese,
             "English, not trained on": held_english, "poems, not trained on": held_chinese,
             "both, not trained on": held_english + "\n" + held_chinese}
    good = True
    print(f"bytes a token, vocabulary {options.vocab}: BytePiece, SentencePiece's unigram, its BPE")
    for name, text in texts.items():
        # A newline is a token to SentencePiece, once for each line.
        lines = text.split("\n")
        size = len(text.encode())
        mine = size / sum(map(len, ours.encode([text], False)))
        theirs = [size / (sum(len(peer.encode(line)) for line in lines) + len(lines) - 1) for peer in peers.values()]
        good &= mine > max(theirs) or "both" not in name
        print(f"   {name}: {mine:.3f}  {theirs[0]:.3f}  {theirs[1]:.3f}", flush=True)
    sys.exit(0 if good else 1)


if __name__ == "__main__":
    main()
