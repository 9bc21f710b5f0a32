"""Values and gradients of operations by PyTorch in f64, for test/op/golden_test.cpp.

  python test/golden/ops.py

writes test/golden/ops/cases.txt, a line a case (name; inputs as kind, shape and whether a gradient is asked for),
and values.f64, for each case the result and then the gradients of sum(result * weights), as little-endian doubles.
Inputs and weights are not stored: `made` below and its twin in golden_test.cpp make them from a formula.
"""
import itertools
import math
import os
import struct

import torch
import torch.nn.functional as F

SPECIAL = [math.nan, math.inf, -math.inf, 0.0, -0.0, 1.0, -1.0, 0.5, 2.0, -2.5, 1e300, -1e300, 1e-300]


def made(kind, shape, seed):
    """Element i of input number `seed`; the same arithmetic as in golden_test.cpp."""
    values = []
    for i in range(math.prod(shape)):
        h = (i * 40503 + seed * 25717 + 12345) % 65536
        u = h / 65536
        values.append({
            "normal": lambda: 4 * u - 2,
            "positive": lambda: 0.1 + 2 * u,
            "unit": lambda: 0.01 + 0.98 * u,
            "special": lambda: SPECIAL[(i + 5 * seed) % len(SPECIAL)],
            "ties": lambda: h % 3 - 1.0,
            "sign": lambda: 1.0 if h // 8 % 2 else -1.0,
        }.get(kind, lambda: (h // 8) % int(kind[1:] or 1))())
    dtype = torch.int64 if kind.startswith("i") else torch.float64
    return torch.tensor(values, dtype=dtype).reshape(shape)


CASES = []


def case(name, function, *inputs):
    """An input is "kind shape" with a trailing ! where it takes no gradient; integers (i5: below 5) take none."""
    CASES.append((name, function, inputs))


def each(name, function, shapes, kinds=("normal",), fixed=()):
    """One input of several shapes, with the same further inputs."""
    for shape in shapes:
        case(name, function, f"{kinds[0]} {shape}", *fixed)


# ---- pointwise
ONE = ["3,5", "2,1,4", "0,3", ""]
UNARY = {
    "neg": torch.neg, "abs": torch.abs, "exp": torch.exp, "expm1": torch.expm1, "sin": torch.sin, "cos": torch.cos,
    "atan": torch.atan, "tanh": torch.tanh, "erf": torch.erf, "sigmoid": torch.sigmoid, "relu": torch.relu,
    "softplus": lambda x: torch.logaddexp(x, torch.zeros((), dtype=x.dtype)),
    "silu": F.silu, "gelu": F.gelu, "gelu_tanh": lambda x: F.gelu(x, approximate="tanh"),
}
for name, f in UNARY.items():
    each(name, f, ONE)
for name, f in {"log": torch.log, "log1p": torch.log1p, "sqrt": torch.sqrt, "rsqrt": torch.rsqrt}.items():
    each(name, f, ONE, ["positive"])
for name in ["neg", "abs", "exp", "expm1", "atan", "tanh", "erf", "sigmoid", "relu", "log", "log1p", "sqrt", "sin",
             "cos"]:
    case(name, getattr(torch, name), "special 13")
for name in ["sign", "floor", "ceil", "round"]:
    for spec in ["normal 3,5!", "special 13!", "normal 0,3!"]:
        case(name, getattr(torch, name), spec)
TWO = [("3,5", "3,5"), ("3,1,5", "4,1"), ("0,3", "3"), ("", "2,3")]
BINARY = {
    "add": torch.add, "sub": torch.sub, "mul": torch.mul, "div": torch.div,
    "swiglu": lambda g, u: F.silu(g) * u, "geglu": lambda g, u: F.gelu(g) * u,
    "squared_error": lambda x, t: F.mse_loss(x, t, reduction="none"),
    "absolute_error": lambda x, t: F.l1_loss(x, t, reduction="none"),
    "bce_error": lambda x, t: F.binary_cross_entropy_with_logits(x, t, reduction="none"),
    "hinge_error": lambda x, t: torch.clamp(1 - t * x, min=0),
}
for name, f in BINARY.items():
    for a, b in TWO:
        if not name.endswith("error") or a == b:
            case(name, f, f"normal {a}", f"normal {b}")
for name in ["add", "sub", "mul", "div"]:
    case(name, BINARY[name], "special 13,1", "special 13")
for a, b in TWO:
    case("pow", torch.pow, f"positive {a}", f"normal {b}")
case("pow", torch.pow, "special 13,1!", "special 13!")
for e in [2, 3, -1, 0.5, 0]:
    case(f"pow {e}", lambda x, e=e: torch.pow(x, e), "positive 3,5")
case("pow 3", lambda x: torch.pow(x, 3), "normal 4,1,2")
case("pow 0", lambda x: torch.pow(x, 0), "special 13")
case("kl_error", lambda q, p: F.kl_div(q, p, reduction="none"), "normal 3,5", "positive 3,5")
case("huber_error", lambda x, t, d: torch.where((x - t).abs() < d, 0.5 * (x - t) ** 2, d * ((x - t).abs() - 0.5 * d)),
     "normal 3,5", "normal 3,5", "positive 5")
case("where", lambda c, a, b: torch.where(c != 0, a, b), "i2 3,5", "normal 3,5", "normal 5")
case("where", lambda c, a, b: torch.where(c != 0, a, b), "i2 13", "special 13", "special 13")
case("fma", lambda a, b, c: a * b + c, "normal 3,5", "normal 5", "normal 3,1")
case("clamp", torch.clamp, "normal 3,7", "normal 3,7", "normal 3,7")
case("clamp -0.5 1", lambda x: torch.clamp(x, -0.5, 1), "normal 3,7")
case("clamp -0.5 1", lambda x: torch.clamp(x, -0.5, 1), "special 13")
for name, f in {"equal": torch.eq, "not_equal": torch.ne, "less": torch.lt, "less_equal": torch.le,
                "greater": torch.gt, "greater_equal": torch.ge}.items():
    case(name, f, "special 13,1!", "special 13!")
    case(name, f, "i3 4,1", "i3 0,4,5")

# ---- products
for a, b in [("3,5", "5,2"), ("1,1", "1,1"), ("2,1,3,4", "5,4,2"), ("3,0", "0,2"), ("0,4", "4,2"), ("2,3,4", "4,0")]:
    case("matmul", torch.matmul, f"normal {a}", f"normal {b}")
for name, act in {"none": lambda x: x, "relu": F.relu, "silu": F.silu, "gelu": F.gelu,
                  "gelu_tanh": lambda x: F.gelu(x, approximate="tanh")}.items():
    for x in ["2,3,5", "0,5", "5"]:
        case(f"linear {name}", lambda x, w, b, act=act: act(F.linear(x, w, b)), f"normal {x}", "normal 4,5", "normal 4")
case("linear_add", lambda r, x, w, b: r + F.linear(x, w, b), "normal 2,3,4", "normal 2,3,5", "normal 4,5", "normal 4")
for name, act in {"silu": F.silu, "gelu": F.gelu}.items():
    case(f"gated_linear {name}", lambda g, x, w, b, act=act: act(g) * F.linear(x, w, b),
         "normal 2,3,4", "normal 2,3,5", "normal 4,5", "normal 4")
case("grouped_matmul 3,0,4", lambda x, w: torch.cat([a @ b for a, b in zip(x.split([3, 0, 4]), w)]),
     "normal 7,5", "normal 3,5,4")
for formula, a, b in [("ij,jk->ik", "3,4", "4,5"), ("bij,bkj->bki", "2,3,4", "2,5,4"), ("i,i->", "6", "6"),
                      ("ijk,l->ljki", "2,3,1", "4"), ("ab,bc->ac", "3,0", "0,2"), ("xyb,bx->b", "2,3,4", "4,2"),
                      ("ij,ij->ij", "3,4", "3,4"), ("ij,kl->il", "2,3", "4,5"),
                      ("...i,ij->...j", "2,3,4", "4,5"), ("b...i,...ji->b...j", "2,3,1,4", "5,6,4"), ("...,...->...", "2,1,3", "4,1"),
                      ("i...,...->...", "3,2,4", "1,4"), ("...i,ij->j", "2,3,4", "4,5"), ("...ij,...jk->...ik", "3,4", "4,5"),
                      ("a...b,b->a...", "3,4", "4"), ("...i,...i->...", "0,3,4", "3,4")]:
    case(f"einsum {formula}", lambda a, b, f=formula: torch.einsum(f, a, b), f"normal {a}", f"normal {b}")
case("outer", torch.outer, "normal 5", "normal 3")
case("outer", torch.outer, "normal 0", "normal 3")

# ---- rows
for x in ["3,7", "2,1,5", "4,1", "0,5"]:
    case("softmax", lambda x: F.softmax(x, -1), f"normal {x}")
    case("log_softmax", lambda x: F.log_softmax(x, -1), f"normal {x}")
    d = x.split(",")[-1]
    case("rms_norm", lambda x, w: F.rms_norm(x, w.shape, w, 1e-3), f"normal {x}", f"normal {d}")
    case("layer_norm", lambda x, w, b: F.layer_norm(x, w.shape, w, b, 1e-3), f"normal {x}", f"normal {d}",
         f"normal {d}")
case("softmax", lambda x: F.softmax(x, -1), "special 13")
case("cross_entropy", F.cross_entropy, "normal 6,5", "i5 6")
case("cross_entropy ignore 2", lambda x, t: F.cross_entropy(x, t, ignore_index=2), "normal 6,5", "i5 6")
case("linear_cross_entropy", lambda x, w, t: F.cross_entropy(x @ w.T, t), "normal 6,4", "normal 5,4", "i5 6")


def head_loss(x, w, t):
    l = 1.5 * torch.tanh(x @ w.T / 1.5)
    return F.cross_entropy(l, t, ignore_index=2, label_smoothing=0.1) + 0.05 * (l[t != 2].logsumexp(-1) ** 2).mean()


case("linear_cross_entropy all", head_loss, "normal 6,4", "normal 5,4", "i5 6")
case("cross_entropy smoothing 0.1", lambda x, t: F.cross_entropy(x, t, label_smoothing=0.1), "normal 6,5", "i5 6")
case("embedding", lambda w, i: F.embedding(i, w), "normal 7,3", "i7 2,4")
case("embedding", lambda w, i: F.embedding(i, w), "normal 7,3", "i7 0,4")


def attention(q, k, v, causal):
    q, k, v = (t.transpose(1, 2) for t in (q, k, v))
    k, v = (t.repeat_interleave(q.shape[1] // k.shape[1], 1) for t in (k, v))
    mask = torch.ones(q.shape[2], k.shape[2], dtype=torch.bool)
    if causal:
        mask = mask.tril(k.shape[2] - q.shape[2])
    return F.scaled_dot_product_attention(q, k, v, mask).transpose(1, 2)


for q, k in [("2,3,2,4", "2,3,2,4"), ("1,2,4,3", "1,5,2,3"), ("1,1,1,1", "1,1,1,1")]:
    for causal in [True, False]:
        case(f"attention {'causal' if causal else 'full'}", lambda q, k, v, c=causal: attention(q, k, v, c),
             f"normal {q}", f"normal {k}", f"normal {k}")

# ---- shape
case("reshape 4,-1", lambda x: x.reshape(4, -1), "normal 2,6")
case("permute 2,0,1", lambda x: x.permute(2, 0, 1), "normal 2,3,4")
case("permute 2,0,1", lambda x: x.permute(2, 0, 1), "normal 2,0,4")
case("transpose", lambda x: x.transpose(-2, -1), "normal 3,1,4")
case("slice 1:6:2", lambda x: x[:, 1:6:2], "normal 3,7")
case("slice 1:6:2", lambda x: x[:, 1:6:2], "normal 0,7")
case("concat 1", lambda a, b, c: torch.cat([a, b, c], 1), "normal 2,3", "normal 2,0", "normal 2,1")
case("broadcast_to 2,3,4", lambda x: x.broadcast_to(2, 3, 4), "normal 3,1")
case("gather 1", lambda x, i: torch.gather(x, 1, i), "normal 3,5", "i5 2,7")
case("scatter_add 1", lambda x, i, s: x.scatter_add(1, i, s), "normal 3,5", "i5 2,7", "normal 2,7")
case("scatter_add 0", lambda x, i, s: x.scatter_add(0, i, s), "normal 3,5", "i3 0,5", "normal 0,5")
case("index_select 1", lambda x, i: x.index_select(1, i), "normal 2,4,3", "i4 6")
case("index_select 1", lambda x, i: x.index_select(1, i), "normal 2,4,3", "i4 0")
for x in ["2,3,4", "1,1,5", "3,0,2"]:
    case("flip 0,2", lambda x: x.flip(0, 2), f"normal {x}")
    case("roll 2", lambda x: x.roll(2, -1), f"normal {x}")
    case("roll -4", lambda x: x.roll(-4, 1), f"normal {x}")
    case("repeat 2,1,3,2", lambda x: x.repeat(2, 1, 3, 2), f"normal {x}")
case("repeat 0,2", lambda x: x.repeat(0, 2), "normal 2,3")
for x in ["2,3,4", "1,3,1", "0,3,2"]:
    case("pad constant", lambda x: F.pad(x, (0, 0, 2, 1), value=0.5), f"normal {x}")
    if x[0] != "0":
        case("pad reflect", lambda x: F.pad(x.transpose(1, 2), (2, 1), mode="reflect").transpose(1, 2), f"normal {x}")
        case("pad replicate", lambda x: F.pad(x.transpose(1, 2), (2, 5), mode="replicate").transpose(1, 2),
             f"normal {x}")
for diagonal, x in itertools.product([-1, 0, 2], ["2,3,5", "4,1", "0,3"]):
    case(f"tril {diagonal}", lambda x, d=diagonal: x.tril(d), f"normal {x}")
    case(f"triu {diagonal}", lambda x, d=diagonal: x.triu(d), f"normal {x}")
case("tril 0", lambda x: x.tril(0), "special 13,13")
case("masked_fill", lambda x, m: x.masked_fill(m != 0, -0.75), "normal 3,5", "i2 5")
case("masked_fill", lambda x, m: x.masked_fill(m != 0, -0.75), "special 13", "i2 13")
case("one_hot", lambda i: F.one_hot(i, 4), "i4 2,3")
case("cast", lambda x: x.to(torch.float64), "normal 3,5")

# ---- reductions
SHAPES = ["3,5,2", "2,1,3", "1,1,1"]
REDUCE = {
    "sum": lambda x, a: x.sum(a), "mean": lambda x, a: x.mean(a), "max": lambda x, a: x.amax(a),
    "min": lambda x, a: x.amin(a), "logsumexp": lambda x, a: x.logsumexp(a),
    "variance": lambda x, a: x.var(a), "variance 0": lambda x, a: x.var(a, correction=0),
    "standard_deviation": lambda x, a: x.std(a), "standard_deviation 0": lambda x, a: x.std(a, correction=0),
    "norm 1": lambda x, a: torch.linalg.vector_norm(x, 1, a), "norm 2": lambda x, a: torch.linalg.vector_norm(x, 2, a),
    "norm 0.5": lambda x, a: torch.linalg.vector_norm(x, 0.5, a), "norm -1": lambda x, a: torch.linalg.vector_norm(x, -1, a),
    "norm -2.5": lambda x, a: torch.linalg.vector_norm(x, -2.5, a), "norm -inf": lambda x, a: torch.linalg.vector_norm(x, -math.inf, a),
    "norm 3.5": lambda x, a: torch.linalg.vector_norm(x, 3.5, a),
    "norm inf": lambda x, a: torch.linalg.vector_norm(x, math.inf, a),
}
for name, f in REDUCE.items():
    for x in SHAPES:
        case(f"{name} over 1", lambda x, f=f: f(x, 1), f"normal {x}")
        case(f"{name} over 0,2", lambda x, f=f: f(x, (0, 2)), f"normal {x}")
    case(f"{name} over 1", lambda x, f=f: f(x, 1), "ties 3,5,2")
    case(f"{name} over 1", lambda x, f=f: f(x, 1), "normal 0,4")
    if name not in ("max", "min", "norm inf", "norm -inf", "norm -1", "norm -2.5"):
        case(f"{name} over 1", lambda x, f=f: f(x, 1), "normal 3,0")
case("norm inf over 1", lambda x: REDUCE["norm inf"](x, 1), "special 13,2!")  # of NaN not the gradient of its amax
for x in ["normal 3,5,2!", "ties 3,5,2!", "special 13,2!", "normal 0,4!", "normal 3,0!"]:
    case("norm 0 over 1", lambda x: torch.linalg.vector_norm(x, 0, 1), x)
case("norm 0 over 0,2", lambda x: torch.linalg.vector_norm(x, 0, (0, 2)), "ties 3,5,2!")
case("norm -inf over 1", lambda x: REDUCE["norm -inf"](x, 1), "special 13,2!")
for name in ["sum", "mean", "max", "min", "logsumexp", "norm 1"]:
    case(f"{name} over 1", lambda x, f=REDUCE[name]: f(x, 1), "special 13,2")
for x in ["normal 3,5,2", "ties 4,5", "normal 3,0", "normal 2,1", "special 13,1"]:
    case("prod over 1", lambda x: x.prod(1), x)
for x in ["normal 3,4,2", "ties 3,5", "normal 0,3", "normal 3,0", "normal 1,1", "special 2,13"]:
    case("cumsum 1", lambda x: x.cumsum(1), x)
    # Behind a zero PyTorch's gradient of cumprod drops infinities and NaN; ours keeps them.
    case("cumprod 1", lambda x: x.cumprod(1), x.replace("2,13", "2,13!"))
    case("cummax 1", lambda x: x.cummax(1).values, x)
    case("cummax 1 indices", lambda x: x.cummax(1).indices, x + "!")
case("argmax 1", lambda x: x.argmax(1), "normal 3,5,2!")
for x in ["normal 3,7", "normal 2,1", "normal 0,3"]:
    case("topk", lambda x: x.topk(1).values, x)
    case("sort", lambda x: x.sort(stable=True).values, x)
    case("sort descending", lambda x: x.sort(descending=True, stable=True).values, x)
case("sort indices", lambda x: x.sort(stable=True).indices, "ties 3,9!")
case("sort descending indices", lambda x: x.sort(descending=True, stable=True).indices, "ties 3,9!")
case("sort", lambda x: x.sort(stable=True).values, "special 13")
case("unique", lambda x: x.unique(), "i6 3,5")
case("unique inverse", lambda x: x.unique(return_inverse=True)[1], "i6 3,5")
case("unique counts", lambda x: x.unique(return_counts=True)[1], "i6 3,5")
case("unique", lambda x: x.unique(), "i6 0")
case("bincount 4", lambda x: x.bincount(minlength=4), "i7 9")
case("bincount 4", lambda x: x.bincount(minlength=4), "i2 5")

# ---- losses
for a in ["3,5", "1", "2,1,3"]:
    case("mse_loss", F.mse_loss, f"normal {a}", f"normal {a}")
    case("mae_loss", F.l1_loss, f"normal {a}", f"normal {a}")
    case("huber_loss 0.7", lambda x, t: F.huber_loss(x, t, delta=0.7), f"normal {a}", f"normal {a}")
    case("bce_with_logits", F.binary_cross_entropy_with_logits, f"normal {a}", f"unit {a}")
    case("kl_loss", lambda q, p: F.kl_div(q, p, reduction="batchmean"), f"normal {a}", f"unit {a}")
    case("hinge_loss", lambda x, t: torch.clamp(1 - t * x, min=0).mean(), f"normal {a}", f"sign {a}!")
case("nll_loss", lambda x, t: F.nll_loss(x, t), "normal 6,5", "i5 6")
case("nll_loss ignore 2", lambda x, t: F.nll_loss(x, t, ignore_index=2), "normal 6,5", "i5 6")
case("cosine_similarity", lambda a, b: F.cosine_similarity(a, b, -1), "normal 3,2,5", "normal 3,2,5")
case("cosine_loss -0.2", lambda a, b, t: F.cosine_embedding_loss(a, b, t, margin=-0.2), "normal 6,5", "normal 6,5",
     "sign 6!")
case("triplet_loss", F.triplet_margin_loss, "normal 6,5", "normal 6,5", "normal 6,5")


def ctc(x, labels, steps, lengths):
    log_p = F.log_softmax(x, -1).transpose(0, 1)
    return F.ctc_loss(log_p, labels + 1, steps + x.shape[1] - 2, lengths, blank=0)


case("ctc_loss of log_softmax", ctc, "normal 3,7,5", "i4 3,3", "i3 3", "i4 3")
case("ctc_loss of log_softmax", ctc, "normal 2,12,4", "i3 2,5", "i3 2", "i6 2")


def main():
    folder = os.path.join(os.path.dirname(os.path.abspath(__file__)), "ops")
    lines, data = [], bytearray()
    for name, function, specs in CASES:
        inputs = []
        for seed, spec in enumerate(specs):
            kind, shape = spec.rstrip("!").split(" ")
            x = made(kind, [int(d) for d in shape.split(",") if d], seed)
            x.requires_grad_(x.is_floating_point() and not spec.endswith("!"))
            inputs.append(x)
        y = function(*inputs)
        results = [y.detach()]
        wanted = [x for x in inputs if x.requires_grad]
        if wanted:
            (y * made("normal", y.shape, 99)).sum().backward()
            results += [x.grad if x.grad is not None else torch.zeros_like(x) for x in wanted]
        for r in results:
            values = r.double().flatten().tolist()
            data += struct.pack(f"<{len(values)}d", *values)
        shape = ",".join(str(d) for d in y.shape)
        lines.append("; ".join([name, *specs, f"-> {shape}"]).replace(" ;", ";").rstrip())
    with open(os.path.join(folder, "cases.txt"), "w", encoding="ascii") as f:
        f.write(f"# by test/golden/ops.py with PyTorch {torch.__version__}\n" + "\n".join(lines) + "\n")
    with open(os.path.join(folder, "values.f64"), "wb") as f:
        f.write(data)
    print(f"{len(CASES)} cases, {len(data)} bytes")


main()
