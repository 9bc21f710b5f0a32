#!/usr/bin/env python3
"""The peers of `intarsia bench tokenizer`: one JSON request a line, one answer for each.

    {"library": "tiktoken" | "tokenizers" | "sentencepiece" | "bytepiece", "path": FILE, "documents": JSON FILE, "batch": false}
    {"seconds": 1.5, "ids": 123456, "version": "0.14.0"}

The tokenizer is opened anew for each request, so that its caches are empty; then all documents are encoded, one after
the other on one thread, whose processor time counts, or with "batch" in one call on all of them.
"""

import importlib.metadata
import json
import os
import pathlib
import sys
import time

THREADS = os.environ.get("RAYON_NUM_THREADS")


def open_tiktoken(path):
    import tiktoken
    import tiktoken.load
    import tiktoken_ext.openai_public as public

    ranks = tiktoken.load.load_tiktoken_bpe(path)
    public.load_tiktoken_bpe = lambda *_, **__: ranks
    public.data_gym_to_mergeable_bpe_ranks = lambda *_, **__: ranks
    spec = getattr(public, pathlib.Path(path).name.removesuffix(".tiktoken"))()
    spec.pop("explicit_n_vocab", None)
    encoding = tiktoken.Encoding(**spec)
    return encoding.encode_ordinary, lambda texts: encoding.encode_ordinary_batch(texts, num_threads=os.cpu_count())


def open_tokenizers(path):
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_file(path)
    return (lambda text: tokenizer.encode(text, add_special_tokens=False).ids,
            lambda texts: [e.ids for e in tokenizer.encode_batch(texts, add_special_tokens=False)])


def open_sentencepiece(path):
    import sentencepiece

    processor = sentencepiece.SentencePieceProcessor(model_file=path)
    return processor.encode, lambda texts: processor.encode(texts, num_threads=os.cpu_count())


def open_bytepiece(path):
    import bytepiece

    tokenizer = bytepiece.Tokenizer(path)
    return tokenizer.encode, lambda texts: [tokenizer.encode(text) for text in texts]


def answer(request):
    library = request["library"]
    texts = json.loads(pathlib.Path(request["documents"]).read_text())
    one, many = globals()["open_" + library](request["path"])
    batch = request.get("batch")
    now = time.perf_counter if batch else time.thread_time
    start = now()
    ids = many(texts) if batch else [one(text) for text in texts]
    seconds = now() - start
    return {"seconds": seconds, "ids": sum(map(len, ids)), "version": importlib.metadata.version(library)}


def main():
    print(json.dumps({"peer": "tokenizers"}), flush=True)
    for line in sys.stdin:
        try:
            print(json.dumps(answer(json.loads(line))), flush=True)
        except Exception as error:  # the other side shows it
            print(json.dumps({"error": f"{type(error).__name__}: {error}"}), flush=True)


if __name__ == "__main__":
    main()
