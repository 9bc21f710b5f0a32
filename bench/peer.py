#!/usr/bin/env python3
"""PyTorch's side of `intarsia bench`: a child process that is asked for one measurement at a time, so that the two
sides can take turns (A B A B) in one run and share whatever the machine does meanwhile.

One JSON object a line on standard input, one on standard output for each, in order. The first line written, before
any request, says who answers:

    {"peer": "PyTorch", "version": "2.13.0", "threads": 2}

A request names what to measure; unknown names and bad values give {"error": "..."} and the process lives on:

    {"name": "linear", "m": 512, "k": 576, "n": 1536, "dtype": "bf16", "threads": 2, "repeat": 7}
    {"seconds": [0.0012, ...], "work": 905969664}

"seconds" holds `repeat` timings (default 7) after 20 ms that are not counted; a call shorter than 2 ms is repeated inside
a timing, and the timing divided, so that the clock does not matter. "work" is floating-point operations of a product or
an attention, bytes read and written once for everything else, and 0 for a training step. dtype: f32 (default) or
bf16. Inputs are kept between equal requests and drawn once, so memory is warm, as on the other side.

    name            sizes (default)              measures
    linear          m k n matrices (1)           x [m, k] times the transpose of w [n, k], or of several in turn
    int8_product    m k n                        int8 [m, k] times the transpose of int8 [n, k], to int32
    grouped         m k n sizes                  rows in groups of these sizes, each times its own matrix [n, k]
    weight_gradient m k n                        transpose of dy [m, n] times x [m, k]
    add mul exp tanh sin cos sigmoid relu silu gelu gelu_tanh   n (1 << 20)   y = f(x), a new y each time
    swiglu          n                            silu(gate) * up
    softmax log_softmax sum prod cumsum flip   rows cols    over the last axis
    roll            rows cols                    by 5 along the last axis
    rms_norm layer_norm   rows cols              with weight (and bias), over the last axis
    cross_entropy   rows cols                    mean over rows, with f32 logits
    NAME_backward   as NAME                      the gradient alone (every name above but the products)
        adamw adam sgd rmsprop adagrad   n, tensors (1)   one step over `tensors` tensors that hold n numbers together: fused
                                                 where PyTorch has that, else foreach
    decode          heads kv_heads tokens head_size layers    one query against each of some caches
    attention, attention_backward   batch heads kv_heads tokens head_size    causal
    conv2d, conv2d_dx, conv2d_dw   batch channels pixels outputs kernel stride groups    value, gradient of x or of w
    mlp_step        -                            64-128-128-10 with relu, batch 64, AdamW; eager
    train_step      kind layers heads width context batch vocabulary dtype compile    AdamW with clipping; f32, or bf16
                                                 autocast; eager or compiled; kind: nanogpt (no biases), gpt2, llama

    {"name": "quit"}  ends the process, as the end of input does.
"""

import json
import sys
import time

import torch
from torch.nn import functional

TYPES = {"f32": torch.float32, "bf16": torch.bfloat16, "f64": torch.float64}

ONE_INPUT = {
    "exp": torch.exp, "tanh": torch.tanh, "sin": torch.sin, "cos": torch.cos, "sigmoid": torch.sigmoid,
    "relu": torch.relu, "silu": functional.silu, "gelu": functional.gelu,
    "gelu_tanh": lambda x: functional.gelu(x, approximate="tanh"),
}
# Class, arrays of state, options.
OPTIMIZERS = {
    "adamw": (torch.optim.AdamW, 2, {"betas": (0.9, 0.95), "fused": True}),
    "adam": (torch.optim.Adam, 2, {"betas": (0.9, 0.95), "fused": True}),
    "sgd": (torch.optim.SGD, 1, {"momentum": 0.9, "fused": True}),
    "rmsprop": (torch.optim.RMSprop, 2, {"momentum": 0.9, "foreach": True}),
    "adagrad": (torch.optim.Adagrad, 1, {"fused": True}),
}
TWO_INPUTS = {"add": torch.add, "mul": torch.mul, "swiglu": lambda gate, up: functional.silu(gate) * up}


def normal(*shape, dtype=torch.float32):
    generator = torch.Generator().manual_seed(sum(shape))
    return torch.randn(*shape, generator=generator).to(dtype)


def product(q):
    m, k, n, dtype = q["m"], q["k"], q["n"], q["type"]
    work = 2 * m * k * n
    if q["name"] == "linear":
        x = normal(m, k, dtype=dtype)
        matrices = [normal(n, k, dtype=dtype) for _ in range(q.get("matrices", 1))]
        if len(matrices) == 1:
            w = matrices[0]
            return (lambda: functional.linear(x, w)), work

        def in_turn():
            for w in matrices:
                functional.linear(x, w)

        return in_turn, work * len(matrices)
    x, dy = normal(m, k, dtype=dtype), normal(m, n, dtype=dtype)
    return (lambda: torch.mm(dy.t(), x)), work


def int8_product(q):
    a, b = (torch.randint(-127, 128, (n, q["k"]), dtype=torch.int8) for n in (q["m"], q["n"]))
    return (lambda: torch._int_mm(a, b.t())), 2 * q["m"] * q["k"] * q["n"]


def grouped(q):
    x, dtype = normal(q["m"], q["k"], dtype=q["type"]), q["type"]
    experts = [normal(q["n"], q["k"], dtype=dtype) for _ in q["sizes"]]

    def run():  # as models do where no grouped kernel exists
        out = x.new_empty(q["m"], q["n"])
        for rows, y, w in zip(x.split(q["sizes"]), out.split(q["sizes"]), experts):
            if len(rows):
                torch.mm(rows, w.t(), out=y)
        return out

    return run, 2 * q["m"] * q["k"] * q["n"]


ROWS = {
    "softmax": lambda x: functional.softmax(x, -1), "log_softmax": lambda x: functional.log_softmax(x, -1),
    "sum": lambda x: torch.sum(x, -1), "prod": lambda x: torch.prod(x, -1), "cumsum": lambda x: torch.cumsum(x, -1),
    "roll": lambda x: torch.roll(x, 5, -1), "flip": lambda x: torch.flip(x, (-1,)),
}


def row_function(name, cols, dtype):
    """(function of x, tensors beside x)"""
    if name in ROWS:
        return ROWS[name], []
    weight, bias = normal(cols, dtype=dtype), normal(cols, dtype=dtype)
    if name == "rms_norm":
        return lambda x, w: functional.rms_norm(x, (cols,), w, 1e-5), [weight]
    return lambda x, w, b: functional.layer_norm(x, (cols,), w, b, 1e-5), [weight, bias]


def elementwise_or_rows(q):
    name = q["name"].removesuffix("_backward")
    backward = name != q["name"]
    dtype = q["type"]
    if name in ONE_INPUT or name in TWO_INPUTS:
        inputs = [normal(q.get("n", 1 << 20), dtype=dtype) for _ in range(1 if name in ONE_INPUT else 2)]
        function = ONE_INPUT.get(name) or TWO_INPUTS[name]
    elif name == "cross_entropy":
        targets = torch.arange(q["rows"]) % q["cols"]
        inputs = [normal(q["rows"], q["cols"], dtype=dtype)]
        function = lambda x: functional.cross_entropy(x, targets)
    elif name in ROWS or name in ("rms_norm", "layer_norm"):
        function, beside = row_function(name, q["cols"], dtype)
        inputs = [normal(q["rows"], q["cols"], dtype=dtype), *beside]
    else:
        raise ValueError(f"unknown name {q['name']!r}")
    size = inputs[0].element_size()
    if not backward:
        out = function(*inputs)
        work = size * (sum(x.numel() for x in inputs) + out.numel())

        def forward():
            with torch.no_grad():
                return function(*inputs)

        return forward, work
    for x in inputs:
        x.requires_grad_()
    y = function(*inputs)
    dy = torch.ones_like(y) if y.dim() == 0 else normal(*y.shape, dtype=dtype)
    work = size * (2 * sum(x.numel() for x in inputs) + dy.numel())
    return (lambda: torch.autograd.grad(y, inputs, dy, retain_graph=True)), work


def optimizer_step(q):
    kind, states, options = OPTIMIZERS[q["name"]]
    n, tensors = q.get("n", 1 << 20), q.get("tensors", 1)
    parameters = [torch.nn.Parameter(normal(n // tensors)) for _ in range(tensors)]
    for p in parameters:
        p.grad = normal(p.numel())
    optimizer = kind(parameters, lr=1e-3, weight_decay=0.1, **options)
    return optimizer.step, 4 * (3 + 2 * states) * (n // tensors) * tensors  # reads w g states, writes w states


def attention(q):
    batch, heads, tokens, size = q["batch"], q["heads"], q["tokens"], q["head_size"]
    kv_heads = q.get("kv_heads", heads)
    queries = normal(batch, heads, tokens, size, dtype=q["type"])
    keys = normal(batch, kv_heads, tokens, size, dtype=q["type"])
    values = normal(batch, kv_heads, tokens, size, dtype=q["type"])
    work = 2 * 2 * batch * heads * tokens * tokens * size // 2  # two products, half of them masked

    def run():
        return functional.scaled_dot_product_attention(
            queries, keys, values, is_causal=True, enable_gqa=kv_heads != heads)

    if q["name"] == "attention":
        def forward():
            with torch.no_grad():
                return run()

        return forward, work
    inputs = [queries, keys, values]
    for x in inputs:
        x.requires_grad_()
    o = run()
    d_o = normal(*o.shape, dtype=q["type"])
    return (lambda: torch.autograd.grad(o, inputs, d_o, retain_graph=True)), work * 5 // 2


def convolution(q):
    padding = q["kernel"] // 2
    x = normal(q["batch"], q["channels"], q["pixels"], q["pixels"], dtype=q["type"])
    w = normal(q["outputs"], q["channels"] // q["groups"], q["kernel"], q["kernel"], dtype=q["type"])

    def run():
        return functional.conv2d(x, w, None, q["stride"], padding, 1, q["groups"])

    y = run()
    work = 2 * y.numel() * w[0].numel()
    if q["name"] == "conv2d":
        def forward():
            with torch.no_grad():
                return run()

        return forward, work
    wanted = x if q["name"] == "conv2d_dx" else w
    wanted.requires_grad_()
    y = run()
    dy = normal(*y.shape, dtype=q["type"])
    return (lambda: torch.autograd.grad(y, wanted, dy, retain_graph=True)), work


class Block(torch.nn.Module):
    def __init__(self, width, heads, context, bias):
        super().__init__()
        self.heads, self.approximate = heads, "tanh" if bias else "none"
        self.norm1 = torch.nn.LayerNorm(width, bias=bias)
        self.qkv = torch.nn.Linear(width, 3 * width, bias=bias)
        self.out = torch.nn.Linear(width, width, bias=bias)
        self.norm2 = torch.nn.LayerNorm(width, bias=bias)
        self.up = torch.nn.Linear(width, 4 * width, bias=bias)
        self.down = torch.nn.Linear(4 * width, width, bias=bias)

    def forward(self, x):
        b, t, w = x.shape
        q, k, v = (a.view(b, t, self.heads, w // self.heads).transpose(1, 2)
                   for a in self.qkv(self.norm1(x)).split(w, dim=2))
        y = functional.scaled_dot_product_attention(q, k, v, is_causal=True)
        x = x + self.out(y.transpose(1, 2).reshape(b, t, w))
        return x + self.down(functional.gelu(self.up(self.norm2(x)), approximate=self.approximate))


class LlamaBlock(torch.nn.Module):
    def __init__(self, width, heads, context, _):
        super().__init__()
        inner, size = width * 8 // 3, width // heads
        self.heads = heads
        self.norm1, self.norm2 = torch.nn.RMSNorm(width, 1e-6), torch.nn.RMSNorm(width, 1e-6)
        self.q, self.k, self.v, self.out = (torch.nn.Linear(width, width, bias=False) for _ in range(4))
        self.gate, self.up = torch.nn.Linear(width, inner, bias=False), torch.nn.Linear(width, inner, bias=False)
        self.down = torch.nn.Linear(inner, width, bias=False)
        angle = torch.arange(context)[:, None] * 10000.0 ** (-torch.arange(0, size, 2) / size)
        self.register_buffer("cos", angle.cos().repeat(1, 2))
        self.register_buffer("sin", angle.sin().repeat(1, 2))

    def turned(self, x):
        a, b = x.chunk(2, -1)
        return x * self.cos.to(x.dtype) + torch.cat((-b, a), -1) * self.sin.to(x.dtype)

    def forward(self, x):
        b, t, w = x.shape
        a = self.norm1(x)
        q, k, v = (f(a).view(b, t, self.heads, w // self.heads).transpose(1, 2) for f in (self.q, self.k, self.v))
        y = functional.scaled_dot_product_attention(self.turned(q), self.turned(k), v, is_causal=True)
        x = x + self.out(y.transpose(1, 2).reshape(b, t, w))
        m = self.norm2(x)
        return x + self.down(functional.silu(self.gate(m)) * self.up(m))


class LanguageModel(torch.nn.Module):
    """Tied embeddings; kind nanogpt (GPT without biases), gpt2 or llama."""

    def __init__(self, kind, vocabulary, context, width, layers, heads):
        super().__init__()
        llama, bias = kind == "llama", kind == "gpt2"
        block = LlamaBlock if llama else Block
        self.tokens = torch.nn.Embedding(vocabulary, width)
        self.positions = None if llama else torch.nn.Embedding(context, width)
        self.blocks = torch.nn.ModuleList(block(width, heads, context, bias) for _ in range(layers))
        self.norm = torch.nn.RMSNorm(width, 1e-6) if llama else torch.nn.LayerNorm(width, bias=bias)

    def forward(self, ids, targets):
        x = self.tokens(ids)
        if self.positions is not None:
            x = x + self.positions.weight[: ids.shape[1]]
        for block in self.blocks:
            x = block(x)
        logits = functional.linear(self.norm(x), self.tokens.weight)
        return functional.cross_entropy(logits.flatten(0, 1), targets.flatten())


def train_step(q):
    torch.manual_seed(1)
    vocabulary, context, batch = q["vocabulary"], q["context"], q["batch"]
    model = LanguageModel(q["kind"], vocabulary, context, q["width"], q["layers"], q["heads"])
    narrow = q["type"] == torch.bfloat16
    with torch.no_grad():
        for p in model.parameters():
            if p.dim() == 2:
                p.normal_(0, 0.02)
    matrices = [p for p in model.parameters() if p.dim() == 2]
    vectors = [p for p in model.parameters() if p.dim() != 2]
    groups = [{"params": matrices, "weight_decay": 0.1}, {"params": vectors, "weight_decay": 0.0}]
    # The fused optimizer is the fastest of PyTorch's on a cpu: the peer at its best.
    optimizer = torch.optim.AdamW(groups, lr=1e-3, betas=(0.9, 0.99), fused=True)
    text = torch.randint(vocabulary, (100_000,))
    run = torch.compile(model) if q.get("compile") else model

    def step():
        first = torch.randint(len(text) - context - 1, (batch,))
        ids = torch.stack([text[i : i + context] for i in first])
        targets = torch.stack([text[i + 1 : i + context + 1] for i in first])
        with torch.autocast("cpu", torch.bfloat16, enabled=narrow):
            loss = run(ids, targets)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        return loss.item()

    return step, 0


def mlp_step(_):
    torch.manual_seed(1)
    model = torch.nn.Sequential(torch.nn.Linear(64, 128), torch.nn.ReLU(), torch.nn.Linear(128, 128), torch.nn.ReLU(),
                                torch.nn.Linear(128, 10))
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3, betas=(0.9, 0.95), weight_decay=0.1, fused=True)
    x, targets = normal(1024, 64), torch.arange(1024) * 7 % 10
    first = 0

    def step():
        nonlocal first
        first = (first + 64) % 1024
        loss = functional.cross_entropy(model(x[first : first + 64]), targets[first : first + 64])
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()
        return loss.item()

    return step, 0


def decode(q):
    size = q["head_size"]
    query = normal(1, q["heads"], 1, size, dtype=q["type"])
    caches = [normal(2, 1, q["kv_heads"], q["tokens"], size, dtype=q["type"]) for _ in range(q["layers"])]

    def run():
        with torch.no_grad():
            for keys, values in caches:
                functional.scaled_dot_product_attention(query, keys, values, enable_gqa=q["kv_heads"] != q["heads"])

    return run, sum(c.numel() * c.element_size() for c in caches)


SPECIAL = {
    "linear": product, "grouped": grouped, "int8_product": int8_product, "weight_gradient": product,
    **{name: optimizer_step for name in OPTIMIZERS}, "attention": attention,
    "attention_backward": attention, "train_step": train_step, "mlp_step": mlp_step, "decode": decode,
    "conv2d": convolution, "conv2d_dx": convolution, "conv2d_dw": convolution,
}


WARM_UP = 0.02  # seconds of work before what counts, as in src/cli/bench/bench.cpp


def elapsed(call, inner):
    start = time.perf_counter()
    for _ in range(inner):
        call()
    return (time.perf_counter() - start) / inner


class Peer:
    def __init__(self):
        self.prepared = {}

    def prepare(self, request):
        key = json.dumps({k: v for k, v in request.items() if k not in ("repeat",)}, sort_keys=True)
        if key not in self.prepared:
            q = dict(request, type=TYPES[request.get("dtype", "f32")])
            call, work = SPECIAL.get(q["name"], elementwise_or_rows)(q)
            call()
            inner = max(1, min(10_000, round(0.002 / max(elapsed(call, 1), 1e-7))))
            self.prepared = {key: (call, work, inner)}  # the last one only: memory
        return self.prepared[key]

    def answer(self, request):
        torch.set_num_threads(int(request.get("threads", torch.get_num_threads())))
        call, work, inner = self.prepare(request)
        begin = time.perf_counter()
        while time.perf_counter() - begin < WARM_UP:
            elapsed(call, inner)
        return {"seconds": [elapsed(call, inner) for _ in range(int(request.get("repeat", 7)))], "work": work}


def main():
    def say(line):
        print(json.dumps(line), flush=True)

    say({"peer": "PyTorch", "version": torch.__version__.split("+")[0], "threads": torch.get_num_threads()})
    peer = Peer()
    for line in sys.stdin:
        try:
            request = json.loads(line)
            if request["name"] == "quit":
                break
            say(peer.answer(request))
        except (ValueError, KeyError, TypeError, RuntimeError) as error:
            say({"error": f"{type(error).__name__}: {error}"})


if __name__ == "__main__":
    main()
