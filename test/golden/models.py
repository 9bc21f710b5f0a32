#!/usr/bin/env python3
"""Tiny random models saved by transformers, with what transformers computes from them.

    python test/golden/models.py --out test/golden/models

Every model covers options that real checkpoints use. A folder holds what `save_pretrained` wrote and
    prompt.npy  i32 [2, 24]      token ids
    logits.npy  f32 [2, 24, V]   of the prompt
    greedy.npy  i32 [40]         continuation of the first 8 ids of the prompt's first row, always the likeliest id
The script refuses to write a model whose greedy ids hang on rounding.
"""

import argparse
import json
import pathlib

import numpy as np
import torch
import transformers
from safetensors.torch import load_file, save_file

PROMPT, START, CONTINUATION = 24, 8, 40
WIDTH, LAYERS, HEADS, VOCABULARY, CONTEXT = 32, 2, 4, 96, 128


def llama(**changes):
    options = dict(
        vocab_size=VOCABULARY, hidden_size=WIDTH, intermediate_size=56, num_hidden_layers=LAYERS,
        num_attention_heads=HEADS, num_key_value_heads=2, max_position_embeddings=CONTEXT, rms_norm_eps=1e-5,
        bos_token_id=1, eos_token_id=2, pad_token_id=None, tie_word_embeddings=False,
        rope_parameters={"rope_type": "default", "rope_theta": 10000.0},
    )
    options.update(changes)
    return transformers.LlamaForCausalLM(transformers.LlamaConfig(**options))


def mistral(**changes):
    options = dict(
        vocab_size=VOCABULARY, hidden_size=WIDTH, intermediate_size=56, num_hidden_layers=LAYERS,
        num_attention_heads=HEADS, num_key_value_heads=1, max_position_embeddings=CONTEXT, rms_norm_eps=1e-6,
        bos_token_id=1, eos_token_id=2, sliding_window=None, head_dim=8,
        rope_parameters={"rope_type": "default", "rope_theta": 1000000.0},
    )
    options.update(changes)
    return transformers.MistralForCausalLM(transformers.MistralConfig(**options))


def gpt2(**changes):
    options = dict(
        vocab_size=VOCABULARY, n_embd=WIDTH, n_layer=LAYERS, n_head=HEADS, n_positions=CONTEXT, bos_token_id=0,
        eos_token_id=0, resid_pdrop=0.0, embd_pdrop=0.0, attn_pdrop=0.0,
    )
    options.update(changes)
    return transformers.GPT2LMHeadModel(transformers.GPT2Config(**options))


LLAMA3_SCALING = {
    "rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
    "original_max_position_embeddings": 32,
}

# name: (model, how it is written). "classic" is the form that transformers 4 and
# older wrote and most checkpoints still have.
MODELS = {
    "llama-grouped-tied": lambda: (llama(tie_word_embeddings=True), {"classic": True}),
    "llama-untied-biases": lambda: (llama(attention_bias=True, mlp_bias=True, num_key_value_heads=4), {}),
    "llama-head-size": lambda: (
        llama(head_dim=12, rope_parameters={"rope_type": "default", "rope_theta": 500000.0}), {}),
    "llama-rope-linear": lambda: (
        llama(rope_parameters={"rope_type": "linear", "factor": 4.0, "rope_theta": 10000.0}),
        {"classic": True, "shard": "40KB"}),
    # A small theta, so that one of the four frequencies lies between the two limits.
    "llama-rope-llama3": lambda: (llama(rope_parameters=dict(LLAMA3_SCALING, rope_theta=100.0)), {}),
    "llama-rope-llama3-classic": lambda: (
        llama(rope_parameters=dict(LLAMA3_SCALING, rope_theta=500000.0), tie_word_embeddings=True),
        {"classic": True, "dtype": torch.bfloat16}),
    "mistral": lambda: (mistral(), {}),
    "gpt2": lambda: (gpt2(), {}),
    "gpt2-inner": lambda: (
        gpt2(n_inner=40, activation_function="gelu", layer_norm_epsilon=1e-6),
        {"classic": True, "dtype": torch.float16}),
}


def randomize(model, seed):
    """Weights large enough that logits differ well, and no bias or norm left at 0 or 1."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            noise = torch.randn(parameter.shape, generator=generator)
            if parameter.dim() == 2:
                parameter.copy_(noise * 0.18)
            elif name.endswith("bias"):
                parameter.copy_(noise * 0.1)
            else:
                parameter.copy_(1 + noise * 0.1)


def write_classic_config(folder):
    path = folder / "config.json"
    config = json.loads(path.read_text())
    rope = config.pop("rope_parameters")
    config["rope_theta"] = rope.pop("rope_theta")
    if rope["rope_type"] == "linear":
        rope["type"] = rope.pop("rope_type")  # the key's first name
    config["rope_scaling"] = None if rope.get("rope_type") == "default" else rope
    config["torch_dtype"] = config.pop("dtype", "float32")
    if config["head_dim"] * config["num_attention_heads"] == config["hidden_size"]:
        del config["head_dim"]
    path.write_text(json.dumps(config, indent=2, sort_keys=True) + "\n")


def write_classic_gpt2(folder):
    """As the hub's gpt2 lies: no "transformer." before the names, and the causal masks saved with the weights."""
    path = folder / "model.safetensors"
    tensors = {name.removeprefix("transformer."): value for name, value in load_file(path).items()}
    mask = torch.ones(CONTEXT, CONTEXT, dtype=torch.bool).tril()[None, None]
    for layer in range(LAYERS):
        tensors[f"h.{layer}.attn.bias"] = mask.clone()
    save_file(tensors, path, metadata={"format": "pt"})


def greedy(model, ids, count):
    """The likeliest continuation, uncached, and the smallest lead of the first over the second."""
    lead = float("inf")
    ids = list(ids)
    for _ in range(count):
        logits = model(torch.tensor([ids])).logits[0, -1].double()
        top = logits.topk(2)
        lead = min(lead, float(top.values[0] - top.values[1]))
        ids.append(int(top.indices[0]))
    return ids[-count:], lead


def load(folder):
    return transformers.AutoModelForCausalLM.from_pretrained(
        folder, dtype=torch.float32, attn_implementation="eager").eval()


@torch.no_grad()
def compute(folder, prompt):
    """(logits, greedy ids, lead) of the model that lies in the folder."""
    model = load(folder)
    logits = model(torch.from_numpy(prompt).long()).logits
    exact = model.double()(torch.from_numpy(prompt).long()).logits
    rounding = float((logits.double() - exact).abs().max() / exact.abs().max())
    assert rounding < 3e-6, f"{folder.name}: f32 and f64 logits differ by {rounding:.1e}"
    ids, lead = greedy(load(folder), prompt[0, :START].tolist(), CONTINUATION)
    return logits.float().numpy(), np.array(ids, np.int32), lead


def write(name, root):
    folder = root / name
    folder.mkdir(parents=True, exist_ok=True)
    model, how = MODELS[name]()
    number = sorted(MODELS).index(name)
    prompt = np.random.default_rng(100 + number).integers(3, VOCABULARY, (2, PROMPT), dtype=np.int32)
    for seed in range(1000 * number, 1000 * number + 50):
        randomize(model, seed)
        model.to(how.get("dtype", torch.float32)).save_pretrained(folder, max_shard_size=how.get("shard", "1GB"))
        model.float()
        if how.get("classic"):
            (write_classic_gpt2 if name.startswith("gpt2") else write_classic_config)(folder)
        logits, ids, lead = compute(folder, prompt)
        # A continuation that falls into a loop would prove little about positions.
        if lead > 1e-3 and len(set(ids.tolist())) > 12:
            break
    else:
        raise SystemExit(f"{name}: no seed gives greedy ids with a clear lead")
    np.save(folder / "prompt.npy", prompt)
    np.save(folder / "logits.npy", logits)
    np.save(folder / "greedy.npy", ids)
    print(f"{name}: seed {seed}, smallest lead {lead:.4f}, {len(set(ids.tolist()))} different ids")


def quiet():
    transformers.logging.disable_progress_bar()
    transformers.logging.set_verbosity_error()
    torch.set_num_threads(1)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=pathlib.Path, required=True)
    parser.add_argument("names", nargs="*", help="default: all")
    arguments = parser.parse_args()
    quiet()
    for name in arguments.names or MODELS:
        write(name, arguments.out)


if __name__ == "__main__":
    main()
