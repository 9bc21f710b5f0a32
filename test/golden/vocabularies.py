#!/usr/bin/env python3
"""Small tokenizers and what Hugging Face's `tokenizers` makes of some texts with them.

    python test/golden/vocabularies.py --out test/golden/tokenizers

base.json is a byte-level BPE of 384 entries, llama.json one like SentencePiece's, with byte fallback. cases.json holds
the texts and, for each case, what it changes in one of these files (`replace`), and what comes out:
    ids       of each text; special text is looked for
    text      of each text's ids, decoded with special tokens; in some cases
chats.json: conversations, and what Jinja renders of them by templates that are named by their SHA-256.
wikitext.json: count and SHA-256 (of little-endian int32) of the ids of WikiText-2's test by real tokenizers.

(It isn't called tokenizers.py, because `import tokenizers` would find it.)
"""

import argparse
import array
import gzip
import hashlib
import json
import pathlib
import random
import unicodedata

import jinja2.sandbox
from tokenizers import AddedToken, Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers

GPT2 = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"
LLAMA3 = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|"
    r"\s*[\r\n]+|\s+(?!\S)|\s+"
)
QWEN2 = LLAMA3.replace("{1,3}", "")
O200K = (
    r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?|"
    r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?|"
    r"\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
LINES = r"^\w+|\S+$|[\p{Han}\p{Hiragana}]+|\W"

WORDS = """the of and to in a is that it was for on as with his they be at one have this from or had by hot but some
what there we can out other were all your when up use word how said an each she which do their time if will way about
many then them would write like so these her long make thing see him two has look more day could go come did my sound
no most number who over know water than call first people may down side been now find""".split()


def corpus():
    """Made-up prose with capitals, numbers, punctuation and a few other scripts: nobody's text."""
    draw = random.Random(7)
    lines = []
    for _ in range(400):
        words = [draw.choice(WORDS) for _ in range(draw.randint(4, 12))]
        if draw.random() < 0.2:
            words.insert(draw.randrange(len(words)), str(draw.randint(0, 2030)))
        if draw.random() < 0.1:
            words.append(draw.choice(["naïve", "日本語", "größer", "слово", "😀", "don't", "I'll"]))
        lines.append((" ".join(words)).capitalize() + draw.choice([".", "!", "?", "..."]))
    return "\n".join(lines)


TEXTS = [
    "",
    " ",
    "The water was hot, and they knew it.",
    "Hello world! Don't stop; I'LL go, he'S here, we've  seen 'em.",
    "12345 67 8 3.14159, ²³ and Ⅷ ٣٤٥",
    "   three spaces\n\n\tTab\r\n  \r\n end  ",
    "naïve größer слово 日本語のひらがな 中文，混合。",
    "😀👩‍👩‍👧‍👦🇩🇪🏳️‍🌈 ☃️",
    "e\u0301 \u00e9 \u1e69 s\u0323\u0307 s\u0307\u0323 \uac00 \u1100\u1161 \ufb01 \u212b",
    "'ſ it'ſ \u00a0no\u00a0break\u3000wide\u2028line\u180emongol\x85next",
    "a<s>b <mask> c<mask>d <word>s <word> x<word>y <|end|><|end|> tail",
    "the the\x00the\x7f\u200b\u2060",
    "x" * 70 + "ab" * 10 + " " * 50 + "!" * 60,
    "camelCaseWord HTTPServer2 snake_case __init__ a+b==c && d||e // comment",
    "▁literal ▁mark▁s",
]


def byte_level_base(text):
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    tokenizer.train_from_iterator(
        [text], trainers.BpeTrainer(vocab_size=383, initial_alphabet=alphabet, show_progress=False)
    )
    tokenizer.add_special_tokens([AddedToken("<|end|>", special=True, normalized=False)])
    return json.loads(tokenizer.to_str())


def llama_base(text):
    """Characters with byte fallback and ▁ for the space, as converted SentencePiece models are."""
    tokenizer = Tokenizer(models.BPE(byte_fallback=True, fuse_unk=True, unk_token="<unk>"))
    tokenizer.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    tokenizer.decoder = decoders.Sequence(
        [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)]
    )
    special = ["<unk>", "<s>", "</s>"] + [f"<0x{byte:02X}>" for byte in range(256)]
    letters = sorted({c for c in text if c.isascii() and c != " " and c != "\n"} | {"▁"})
    tokenizer.train_from_iterator(
        [line for line in text.split("\n")],
        trainers.BpeTrainer(vocab_size=460, special_tokens=special, initial_alphabet=letters, limit_alphabet=len(letters),
                            show_progress=False),
    )
    made = json.loads(tokenizer.to_str())
    # Only three of them are special; bytes are pieces of the model.
    made["added_tokens"] = made["added_tokens"][:3]
    return made


def split(pattern, behavior="Isolated", invert=False, kind="Regex"):
    step = {"type": "Split", "pattern": {kind: pattern}, "behavior": behavior, "invert": invert}
    return {"type": "Sequence", "pretokenizers": [step, byte_level(False)]}


def byte_level(regex, prefix=False):
    return {"type": "ByteLevel", "add_prefix_space": prefix, "trim_offsets": True, "use_regex": regex}


def digits(individual):
    return {"type": "Sequence", "pretokenizers": [
        {"type": "Digits", "individual_digits": individual}, byte_level(True)]}


def added(base, *tokens):
    next_id = max(base["model"]["vocab"].values()) + 1
    out = []
    for i, (content, flags) in enumerate(tokens):
        token = dict(id=next_id + i, content=content, single_word=False, lstrip=False, rstrip=False, normalized=False,
                     special=False)
        token.update({flag: True for flag in flags.split()})
        out.append(token)
    return out


def cases(base):
    pre = lambda value: {"pre_tokenizer": value}
    yield "gpt2", "base", {}
    yield "gpt2 pattern through the regex engine", "base", pre(split(GPT2 + "|\\z"))
    yield "space before", "base", pre(byte_level(True, prefix=True))
    yield "no regex", "base", pre(byte_level(False))
    yield "digits one by one", "base", pre(digits(True))
    yield "digits in runs", "base", pre(digits(False))
    yield "llama3", "base", pre(split(LLAMA3))
    yield "qwen2 with NFC", "base", pre(split(QWEN2)) | {"normalizer": {"type": "NFC"}}
    yield "o200k", "base", pre(split(O200K))
    yield "lines and scripts", "base", pre(split(LINES))
    for behavior in ["Isolated", "Removed", "MergedWithPrevious", "MergedWithNext", "Contiguous"]:
        yield f"split at spaces, {behavior}", "base", pre(split(" ", behavior, kind="String"))
        yield f"split at letters, {behavior}, inverted", "base", pre(split(r"\p{L}{2}", behavior, invert=True))
    yield "added tokens", "base", {"added_tokens": added(
        base, ("<|end|>", "special"), ("<s>", ""), ("<mask>", "lstrip rstrip special"), ("<word>", "single_word"),
        ("the", "single_word normalized"))}
    yield "merges ignored", "base", pre(split(r"\s+")) | {"model": {"ignore_merges": True}}
    yield "llama", "llama", {}


def apply(base, changes):
    file = json.loads(json.dumps(base))
    for key, value in changes.items():
        if key == "model":
            file[key].update(value)
        else:
            file[key] = value
    return file


def make_cases(bases):
    out = []
    for name, base, changes in cases(bases["base"]):
        tokenizer = Tokenizer.from_str(json.dumps(apply(bases[base], changes)))
        ids = [tokenizer.encode(text, add_special_tokens=False).ids for text in TEXTS]
        out.append({"name": name, "base": base, "replace": changes, "ids": ids})
        if name in ["gpt2", "llama", "added tokens"]:
            out[-1]["text"] = [tokenizer.decode(one, skip_special_tokens=False) for one in ids]
    return {"texts": TEXTS, "cases": out}


CONVERSATIONS = [
    [("user", "Hi")],
    [("system", "Be brief."), ("user", "What is 2+2?"), ("assistant", "4"), ("user", "And 3+3?")],
    [("user", "Hello\n"), ("assistant", "\n<think>\nthey greet\n</think>\n\nHi there"), ("user", "<|im_end|> 日本語")],
    [("user", "call"), ("assistant", "<think>a</think>b"), ("tool", "1"), ("tool", "2"), ("assistant", "\nthree\n")],
    [("user", "q"), ("assistant", "<think>\n\nlong\n\n</think> x </think>\n y")],
    [("user", "q"), ("system", "late"), ("user", "<tool_response>r</tool_response>"), ("assistant", "done")],
    [("assistant", "I begin"), ("user", "")],
]


def make_chats(templates):
    def refuse(message):
        raise jinja2.TemplateError(message)

    environment = jinja2.sandbox.ImmutableSandboxedEnvironment(trim_blocks=True, lstrip_blocks=True)
    environment.globals["raise_exception"] = refuse
    chats = []
    for name, template in templates.items():
        for conversation in CONVERSATIONS:
            for prompt in [False, True]:
                messages = [{"role": role, "content": content} for role, content in conversation]
                text = environment.from_string(template).render(messages=messages, add_generation_prompt=prompt)
                chats.append({"template": name, "messages": conversation, "prompt": prompt, "text": text})
    return {"sha256": {name: hashlib.sha256(text.encode()).hexdigest() for name, text in templates.items()},
            "smollm2": templates["smollm2"], "chats": chats}


def smollm2(gguf_path):
    """Tokenizer and template from a GGUF file, through the package gguf."""
    import gguf

    fields = gguf.GGUFReader(gguf_path).fields
    get = lambda key: fields[key].contents()
    tokens = get("tokenizer.ggml.tokens")
    merges = [tuple(merge.split(" ")) for merge in get("tokenizer.ggml.merges")]
    tokenizer = Tokenizer(models.BPE(vocab={token: i for i, token in enumerate(tokens)}, merges=merges))
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Digits(True), pre_tokenizers.ByteLevel(add_prefix_space=False)])
    control = [token for token, kind in zip(tokens, get("tokenizer.ggml.token_type")) if kind == 3]
    tokenizer.add_special_tokens([AddedToken(token, special=True, normalized=False) for token in control])
    return tokenizer, get("tokenizer.chat_template")


def draw_texts(count):
    """Random strings without line ends, dense in what tokenizers tell apart."""
    draw = random.Random(1)
    assigned = [c for c in range(0x110000) if unicodedata.category(chr(c)) not in ("Cn", "Cs", "Co", "Cc")]
    plain = [chr(c) for c in range(32, 127)]
    parts = ["".join(TEXTS[2:5]), " ", "  ", "\t", "'s", "'LL", "'ſ", "don't", "1234567", "½", "e\u0301", "中文", "\u3000",
             "\u00a0", "\u2028", "\u0085", "\u180e", "😀", "👩‍👩‍👧‍👦", "🇩🇪", "ﬁ", "İ", "<|im_end|>", "<s>", "▁", "--", "..."]
    kinds = [lambda: draw.choice(parts), lambda: chr(draw.choice(assigned)), lambda: draw.choice(plain)]
    for i in range(count):
        choose = kinds[i % 3] if i % 4 else lambda: draw.choice(kinds)()
        yield "".join(choose() for _ in range(draw.randint(1, 20)))


def sweep(run, path, peer, scratch, count=20000):
    """Ids and decoded text of random strings: the program `run(*words) -> bytes` against the peer. Returns the count."""
    texts = list(draw_texts(count))
    (scratch / "texts").write_text("\n".join(texts) + "\n", newline="")
    lines = run("tokenizer", "encode", path, "--special", "--lines", scratch / "texts").decode().split("\n")[:-1]
    assert len(lines) == len(texts), f"{len(lines)} lines for {len(texts)} texts"
    for text, line in zip(texts, lines):
        expected = peer.encode(text, add_special_tokens=False).ids
        assert json.loads(line) == expected, f"{text!r}: {line}, expected {expected}"
    return len(texts)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--out", type=pathlib.Path, required=True)
    parser.add_argument("--data", type=pathlib.Path, help="shared data: real tokenizers and WikiText-2")
    parser.add_argument("--smollm2", type=pathlib.Path, help="SmolLM2's GGUF file")
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)

    def write(name, value):
        (options.out / name).write_text(json.dumps(value, ensure_ascii=False, separators=(",", ":")) + "\n", newline="")

    text = corpus()
    bases = {"base": byte_level_base(text), "llama": llama_base(text)}
    for name, base in bases.items():
        write(f"{name}.json", base)
    write("cases.json", make_cases(bases))
    if not options.data or not options.smollm2:
        return
    real, templates = {}, {}
    real["smollm2"], templates["smollm2"] = smollm2(options.smollm2)
    for name in ["llama3", "qwen3"]:
        folder = options.data / "tokenizers" / name
        real[name] = Tokenizer.from_str(gzip.open(folder / "tokenizer.json.gz", "rt").read())
    templates["qwen3"] = json.loads((folder / "tokenizer_config.json").read_text())["chat_template"]
    write("chats.json", make_chats(templates))
    wikitext = (options.data / "text" / "wikitext2.test.txt").read_text()
    told = {}
    for name, tokenizer in real.items():
        ids = tokenizer.encode(wikitext, add_special_tokens=False).ids
        told[name] = {"count": len(ids), "sha256": hashlib.sha256(array.array("i", ids).tobytes()).hexdigest()}
    write("wikitext.json", told)


if __name__ == "__main__":
    main()
