#!/usr/bin/env python3
"""What PyTorch gives for attention with masks and score steps, for test/op/attention_test.cpp.

Writes test/golden/attention/cases.txt: for each case, of o, dq, dk, dv (and d_bias), in f64 the sum of all elements
times fixed weights, and the relative error (L2) that PyTorch's math path makes in f32 and in bf16 against f64 on the
same inputs. Inputs are made by a formula and are numbers of bf16, so both sides have the same ones.
"""

import math
from pathlib import Path

import torch
from torch.nn import functional
from torch.nn.attention import SDPBackend, sdpa_kernel


def made(shape, seed):
    """Numbers of bf16 in [-2, 2), by a hash of their place; integers wrap around at 64 bits."""
    x = (torch.arange(math.prod(shape), dtype=torch.int64) + 1 + seed * 1000003) * -7046029254386353131
    x = (x ^ ((x >> 32) & 0xFFFFFFFF)) * -2960836687050728045
    return (((x >> 40) & 0xFFFF).double() / 16384 - 2).to(torch.bfloat16).double().reshape(shape)


def weights(n):
    return torch.sin(1.7 * torch.arange(n, dtype=torch.float64) + 0.3)


def t5_bucket(distance, bidirectional, buckets=32, max_distance=128):
    """As transformers' T5Attention._relative_position_bucket."""
    result = torch.zeros_like(distance)
    if bidirectional:
        buckets //= 2
        result += (distance > 0).long() * buckets
        distance = distance.abs()
    else:
        distance = -torch.min(distance, torch.zeros_like(distance))
    exact = buckets // 2
    large = exact + (torch.log(distance.float() / exact) / math.log(max_distance / exact) * (buckets - exact)).long()
    return result + torch.where(distance < exact, distance, large.clamp(max=buckets - 1))


def alibi_slopes(heads):
    """As the authors' get_slopes."""
    power = 2 ** math.floor(math.log2(heads))
    slopes = [2 ** (-8 * (i + 1) / power) for i in range(power)]
    return slopes + [2 ** (-8 * (i + 1) / (2 * power)) for i in range(2 * power)][0::2][: heads - power]


class Case:
    def __init__(self, name, queries, keys, heads, kv_heads, size, batch=2, causal=True):
        self.name, self.heads, self.kv_heads = name, heads, kv_heads
        q, k = [batch, queries, heads, size], [batch, keys, kv_heads, size]
        self.inputs = [made(q, 0), made(k, 1), made(k, 2), made(q, 3)]
        i = torch.arange(keys - queries, keys)[:, None]
        j = torch.arange(keys)[None, :]
        self.i, self.j, self.distance = i, j, j - i
        self.seen = torch.ones(batch, heads, queries, keys, dtype=torch.bool)
        if causal:
            self.seen &= j <= i
        self.step = lambda s: s
        self.table = None  # a parameter of the bias, and how it becomes [heads, queries, keys]
        self.bias = None

    def run(self, dtype):
        q, k, v, d_o = (x.to(dtype).transpose(1, 2) for x in self.inputs)
        leaves = [x.clone().requires_grad_() for x in (q, k, v)]
        q, k, v = leaves
        k, v = (x.repeat_interleave(self.heads // self.kv_heads, 1) for x in (k, v))
        if self.table is not None:
            leaves.append(self.table.to(dtype).requires_grad_())
        dead = ~self.seen.any(-1, keepdim=True)
        if self.bias is None and self.step is Case.nothing:
            with sdpa_kernel(SDPBackend.MATH):
                o = functional.scaled_dot_product_attention(q, k, v, self.seen)
        else:
            s = self.step(q @ k.transpose(-1, -2) / math.sqrt(q.shape[-1]))
            if self.bias is not None:
                s = s + self.bias(leaves[3] if self.table is not None else None).to(dtype)
            s = s.masked_fill(~self.seen, -math.inf)
            o = torch.softmax(s.masked_fill(dead, 0), -1) @ v
        o = o.masked_fill(dead, 0)
        gradients = torch.autograd.grad(o, leaves, d_o)
        outputs = [o, *gradients[:3]]
        return [x.transpose(1, 2) for x in outputs] + list(gradients[3:])

    @staticmethod
    def nothing(s):
        return s

    def line(self):
        exact = self.run(torch.float64)
        parts = [self.name]
        parts.append(" ".join(repr((x.contiguous().flatten() * weights(x.numel())).sum().item()) for x in exact))
        for dtype in (torch.float32, torch.bfloat16):
            rough = self.run(dtype)
            parts.append(" ".join(f"{((a.double() - b).norm() / b.norm()).item():.4g}" for a, b in zip(rough, exact)))
        return "; ".join(parts)


def case(name, *sizes, **options):
    c = Case(name, *sizes, **options)
    c.step = Case.nothing
    return c


def cases():
    yield case("causal", 300, 300, 4, 4, 64)
    yield case("causal with more keys", 70, 333, 4, 2, 64)
    yield case("full", 90, 290, 4, 1, 80, causal=False)

    c = case("window and sinks", 300, 300, 2, 2, 32)
    c.seen &= (c.distance > -50) | (c.j < 4)
    yield c

    c = case("window both ways", 300, 300, 2, 2, 32, causal=False)
    c.seen &= c.distance.abs() < 50
    yield c

    c = case("prefix", 300, 300, 2, 2, 32, causal=False)
    for b, prefix in enumerate([37, 270]):
        c.seen[b] &= (c.j <= c.i) | (c.j < prefix)
    yield c

    c = case("key mask", 100, 300, 2, 1, 32, causal=False)  # the second batch element sees nothing
    c.seen[0] &= c.j % 7 != 3
    c.seen[1] = False
    yield c

    c = case("documents", 300, 300, 2, 2, 32)
    document = torch.stack([c.j[0] // 110, torch.where(c.j[0] < 280, c.j[0] // 43, -1)])
    same = document[:, :, None] == document[:, None, :]
    c.seen &= (same & (document >= 0)[:, None, :])[:, None]
    yield c

    c = case("pattern", 300, 300, 2, 2, 32, causal=False)
    for h in range(2):
        c.seen[:, h] &= (c.i // 40 * 5 + c.j // 40 * 3 + h) % 4 < 2
    yield c

    c = case("soft cap", 300, 300, 2, 2, 64)
    c.step = lambda s: 2 * torch.tanh(s / 2)
    yield c

    c = case("alibi", 300, 300, 6, 6, 32)
    slopes = torch.tensor(alibi_slopes(6), dtype=torch.float64)
    c.bias = lambda table, c=c, slopes=slopes: slopes[:, None, None] * c.distance
    yield c

    for bidirectional in (True, False):
        c = case(f"t5 bias {'both ways' if bidirectional else 'backwards'}", 200, 200, 2, 2, 32, causal=not bidirectional)
        c.table = made([2, 32], 4)
        bucket = t5_bucket(c.distance, bidirectional)
        c.bias = lambda table, bucket=bucket: table[:, bucket]
        yield c

    c = case("log n", 300, 300, 2, 2, 32)
    scale = torch.clamp(torch.log(c.i.double() + 1) / math.log(64), min=1)
    c.step = lambda s, scale=scale: s * scale.to(s.dtype)
    yield c

    yield case("long", 2000, 2000, 1, 1, 16)

    # Where probabilities' gradients nearly cancel, or their sum is far from what o and d_o as rounded give.
    def structured(name, change):
        c = case(name, 300, 300, 2, 2, 64)
        c.inputs = [x.to(torch.bfloat16).double() for x in change(*c.inputs)]
        return c

    yield structured("copies", lambda q, k, v, d_o: [q, q, q, q])
    yield structured("sharp copies", lambda q, k, v, d_o: [2 * q, q, v, d_o])
    yield structured("shifted copies", lambda q, k, v, d_o: [q.roll(n, 1) for n in range(4)])
    yield structured("common part", lambda q, k, v, d_o: [q + 1, k + 2, v + 4, d_o + 2])
    yield structured("walks", lambda *x: [y.cumsum(1) / 8 for y in x])
    yield structured("sharp", lambda q, k, v, d_o: [4 * q, 2 * k, v, d_o])


def main():
    lines = [__doc__.split("\n")[0], "name; weighted sums in f64; errors of PyTorch in f32; in bf16"]
    lines = ["# " + x for x in lines] + [c.line() for c in cases()]
    path = Path(__file__).parent / "attention" / "cases.txt"
    path.write_text("\n".join(lines) + "\n")
    print("\n".join(lines))


main()
