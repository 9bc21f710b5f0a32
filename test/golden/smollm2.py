"""SmolLM2-135M-Instruct from its GGUF file, without intarsia: weights dequantized by the package `gguf`, arithmetic by
PyTorch in f32 (transformers' LLaMA), tokens and perplexity by llama.cpp."""

import numpy as np
import torch
import transformers
from gguf import GGUFReader, dequantize

NAMES = {
    "token_embd": "model.embed_tokens", "output_norm": "model.norm", "attn_norm": "input_layernorm",
    "ffn_norm": "post_attention_layernorm", "attn_q": "self_attn.q_proj", "attn_k": "self_attn.k_proj",
    "attn_v": "self_attn.v_proj", "attn_output": "self_attn.o_proj", "ffn_gate": "mlp.gate_proj",
    "ffn_up": "mlp.up_proj", "ffn_down": "mlp.down_proj",
}


def hugging_face_name(name):
    parts = name.removesuffix(".weight").split(".")
    if parts[0] == "blk":
        return f"model.layers.{parts[1]}.{NAMES[parts[2]]}.weight"
    return NAMES[parts[0]] + ".weight"


def halves_from_pairs(weight, heads):
    """GGUF keeps the rows of q and k in rotated pairs (0, h, 1, h+1, ...), transformers in halves."""
    rows, cols = weight.shape
    return weight.reshape(heads, rows // heads // 2, 2, cols).swapaxes(1, 2).reshape(rows, cols)


def field(reader, name):
    return reader.fields["llama." + name].contents()


def torch_model(path):
    reader = GGUFReader(path)
    heads, kv_heads = field(reader, "attention.head_count"), field(reader, "attention.head_count_kv")
    weights = {}
    for tensor in reader.tensors:
        value = dequantize(tensor.data, tensor.tensor_type).astype(np.float32)
        if ".attn_q." in tensor.name:
            value = halves_from_pairs(value, heads)
        if ".attn_k." in tensor.name:
            value = halves_from_pairs(value, kv_heads)
        weights[hugging_face_name(tensor.name)] = torch.from_numpy(value.copy())
    embedding = weights["model.embed_tokens.weight"]
    config = transformers.LlamaConfig(
        vocab_size=embedding.shape[0], hidden_size=embedding.shape[1],
        intermediate_size=field(reader, "feed_forward_length"), num_hidden_layers=field(reader, "block_count"),
        num_attention_heads=heads, num_key_value_heads=kv_heads, tie_word_embeddings=True,
        max_position_embeddings=field(reader, "context_length"),
        rms_norm_eps=field(reader, "attention.layer_norm_rms_epsilon"),
        rope_parameters={"rope_type": "default", "rope_theta": field(reader, "rope.freq_base")},
        attn_implementation="eager",
    )
    model = transformers.LlamaForCausalLM(config)
    missing, unexpected = model.load_state_dict(weights, strict=False)
    assert missing in ([], ["lm_head.weight"]) and not unexpected, (missing, unexpected)
    model.tie_weights()
    return model.float().eval()


@torch.no_grad()
def logits(model, ids):
    return model(torch.tensor([ids])).logits[0].numpy()


@torch.no_grad()
def greedy(model, ids, count):
    """[(id, lead over the second)] of the likeliest continuation."""
    made, cache = [], None
    feed = torch.tensor([ids])
    for _ in range(count):
        out = model(feed, past_key_values=cache, use_cache=True)
        cache = out.past_key_values
        top = out.logits[0, -1].double().topk(2)
        made.append((int(top.indices[0]), float(top.values[0] - top.values[1])))
        feed = top.indices[:1].view(1, 1)
    return made


def llama_cpp(path, context=512):
    import llama_cpp
    return llama_cpp.Llama(str(path), n_ctx=context, n_batch=context, logits_all=True, verbose=False)


def perplexity(llama, ids, context=512):
    """Whole windows that do not overlap, no BOS, the mean over tokens that have one before them in their window."""
    total, count = 0.0, 0
    for start in range(0, len(ids) - context + 1, context):
        window = ids[start : start + context]
        llama.reset()
        llama.eval(window)
        scores = torch.from_numpy(llama.scores[: context - 1].copy())
        total += float(torch.nn.functional.cross_entropy(scores, torch.tensor(window[1:]), reduction="sum"))
        count += context - 1
    return float(np.exp(total / count)), count
