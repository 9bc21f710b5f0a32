"""The step of `intarsia lab checkpointing` in PyTorch: 48 LLaMA layers of width 128, batch 4 x 128 tokens.

    PYTHON bench/checkpoint_peer.py [TURNS]

Prints, for torch.utils.checkpoint over stretches of layers, the median time of a step over that of a step which keeps
everything (in turns, 2 threads), and the bytes that autograd saves, weights not counted.
"""
import statistics
import sys
import time

import torch
from torch import nn
from torch.nn.functional import cross_entropy, scaled_dot_product_attention, silu
from torch.utils.checkpoint import checkpoint

LAYERS, WIDTH, HEADS, BATCH, TIME, VOCABULARY = 48, 128, 4, 4, 128, 256


class Layer(nn.Module):
    def __init__(self):
        super().__init__()
        inner = 344
        self.norm1, self.norm2 = nn.RMSNorm(WIDTH, 1e-6), nn.RMSNorm(WIDTH, 1e-6)
        self.q, self.k, self.v, self.o = (nn.Linear(WIDTH, WIDTH, bias=False) for _ in range(4))
        self.gate, self.up = nn.Linear(WIDTH, inner, bias=False), nn.Linear(WIDTH, inner, bias=False)
        self.down = nn.Linear(inner, WIDTH, bias=False)
        angle = torch.arange(TIME)[:, None] * 10000.0 ** (-torch.arange(0, WIDTH // HEADS, 2) / (WIDTH // HEADS))
        self.register_buffer("cos", angle.cos().repeat(1, 2))
        self.register_buffer("sin", angle.sin().repeat(1, 2))

    def heads(self, x, turn):
        x = x.view(BATCH, TIME, HEADS, -1).transpose(1, 2)
        if not turn:
            return x
        a, b = x.chunk(2, -1)
        return x * self.cos + torch.cat((-b, a), -1) * self.sin

    def forward(self, x):
        a = self.norm1(x)
        o = scaled_dot_product_attention(
            self.heads(self.q(a), True), self.heads(self.k(a), True), self.heads(self.v(a), False), is_causal=True)
        x = x + self.o(o.transpose(1, 2).reshape(BATCH, TIME, WIDTH))
        m = self.norm2(x)
        return x + self.down(silu(self.gate(m)) * self.up(m))


class Model(nn.Module):
    def __init__(self):
        super().__init__()
        self.table = nn.Embedding(VOCABULARY, WIDTH)
        self.layers = nn.ModuleList(Layer() for _ in range(LAYERS))
        self.norm = nn.RMSNorm(WIDTH, 1e-6)

    def forward(self, ids, stretches):
        x = self.table(ids)
        if not stretches:
            for layer in self.layers:
                x = layer(x)
        for i in range(stretches):
            part = self.layers[LAYERS * i // stretches:LAYERS * (i + 1) // stretches]
            x = checkpoint(nn.Sequential(*part), x, use_reentrant=False)
        return self.norm(x) @ self.table.weight.T


def main():
    turns = int(sys.argv[1]) if len(sys.argv) > 1 else 7
    torch.manual_seed(1)
    torch.set_num_threads(2)
    model = Model()
    ids, targets = (torch.randint(VOCABULARY, (BATCH, TIME)) for _ in range(2))
    weights = {p.untyped_storage().data_ptr() for p in model.parameters()}

    def step(stretches):
        model.zero_grad(set_to_none=True)
        start = time.perf_counter()
        cross_entropy(model(ids, stretches).flatten(0, 1), targets.flatten()).backward()
        return time.perf_counter() - start

    def saved(stretches):
        storages = {}

        def pack(t):
            s = t.untyped_storage()
            if s.data_ptr() not in weights:
                storages[s.data_ptr()] = s.nbytes()
            return t

        with torch.autograd.graph.saved_tensors_hooks(pack, lambda t: t):
            loss = cross_entropy(model(ids, stretches).flatten(0, 1), targets.flatten())
        del loss
        return sum(storages.values())

    step(0)
    print(f"PyTorch {torch.__version__}: stretches, time of a step, MiB saved by the forward pass")
    for stretches in (0, 2, 4, 7, 12, 24, 48):
        times = [(step(0), step(stretches)) for _ in range(turns)]
        ratio = statistics.median(t[1] for t in times) / statistics.median(t[0] for t in times)
        print(f"{stretches or 'none':>5}  {ratio:.2f}  {saved(stretches) / 2**20:.1f}")


main()
