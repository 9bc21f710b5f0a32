#!/usr/bin/env python3
"""A hundred steps of each optimizer in f64, for intarsia to repeat with equal gradients.

    python test/golden/optimizers.py --out test/golden/optimizers

Three weights lie one behind the other in each row of 45 numbers: a matrix [4, 6], a matrix [5, 3] and a vector [6]
(which has no weight decay).
    start.npy      f64 [45]       the weights before the first step
    gradients.npy  f64 [100, 45]  of each step
    NAME.npy       f64 [45]       the weights after the last step; the rate of step t (from 0) is 0.01 / (1 + t / 50)
    ema, swa       f64 [45]       the averages of adamw's weights (torch.optim.swa_utils)
    restarts.npy   f64 [60]       CosineAnnealingWarmRestarts, cycles of 7, 14, 28, from 1 to 0.1
PyTorch's own optimizers where it has them: Muon with its iteration in f64 instead of bf16. AdamW as its paper has it,
Lion and LAMB are written out below from their papers.
"""

import argparse
import pathlib

import numpy as np
import torch

SHAPES = [(4, 6), (5, 3), (6,)]
STEPS, RATE, DECAY = 100, 0.01, 0.1


def rate_at(step):
    return RATE / (1 + step / 50)


def split(row):
    parts, at = [], 0
    for shape in SHAPES:
        count = int(np.prod(shape))
        parts.append(np.array(row[at:at + count]).reshape(shape))
        at += count
    return parts


def joined(parts):
    return np.concatenate([np.asarray(p).ravel() for p in parts])


def with_torch(start, gradients, make, clip=0, average=None):
    weights = [torch.nn.Parameter(torch.tensor(w)) for w in split(start)]
    optimizers = make(weights[:2], weights[2:])
    holder = torch.nn.ParameterList(weights)
    averaged = average(holder) if average else None
    for step in range(STEPS):
        for weight, gradient in zip(weights, split(gradients[step])):
            weight.grad = torch.tensor(gradient)
        if clip:
            torch.nn.utils.clip_grad_norm_(weights, clip)
        for optimizer in optimizers:
            for group in optimizer.param_groups:
                group["lr"] = rate_at(step)
            optimizer.step()
        if averaged and step >= averaged.first:
            averaged.update_parameters(holder)
    result = list(averaged.module) if averaged else weights
    return joined([w.detach().numpy() for w in result])


def grouped(kind, **options):
    def make(matrices, vectors):
        groups = [{"params": matrices, "weight_decay": DECAY}, {"params": vectors, "weight_decay": 0.0}]
        return [kind(groups, lr=RATE, **options)]
    return make


def muon(matrices, vectors):
    def orthogonal(x, coefficients, steps, eps):
        a, b, c = coefficients
        x = x.T if x.shape[0] > x.shape[1] else x
        x = x / x.norm().clamp(min=eps)
        for _ in range(steps):
            gram = x @ x.T
            x = a * x + (b * gram + c * gram @ gram) @ x
        return x

    def in_f64(x, coefficients, steps, eps):
        y = orthogonal(x, coefficients, steps, eps)
        return y.T if x.shape[0] > x.shape[1] else y

    torch.optim._muon._zeropower_via_newtonschulz = in_f64
    return [torch.optim.Muon(matrices, lr=RATE, weight_decay=DECAY, momentum=0.9, nesterov=True,
                             adjust_lr_fn="match_rms_adamw"),
            torch.optim.AdamW(vectors, lr=RATE, betas=(0.9, 0.95), eps=1e-8, weight_decay=0, foreach=False)]


def by_hand(start, gradients, rule):
    weights = split(start)
    states = [[np.zeros_like(w), np.zeros_like(w)] for w in weights]
    for step in range(STEPS):
        for i, gradient in enumerate(split(gradients[step])):
            decay = DECAY if weights[i].ndim > 1 else 0
            weights[i] = rule(weights[i], gradient, states[i], decay, step + 1, rate_at(step))
    return joined(weights)


def adam_direction(gradient, state, t, beta1=0.9, beta2=0.95, eps=1e-8):
    state[0] = beta1 * state[0] + (1 - beta1) * gradient
    state[1] = beta2 * state[1] + (1 - beta2) * gradient ** 2
    return state[0] / (1 - beta1 ** t) / (np.sqrt(state[1] / (1 - beta2 ** t)) + eps)


def adamw_paper(w, gradient, state, decay, t, rate):  # Loshchilov & Hutter 2019, algorithm 2: eta = rate / RATE
    return w - rate / RATE * (RATE * adam_direction(gradient, state, t) + decay * w)


def lion(w, gradient, state, decay, t, rate):  # Chen et al. 2023, algorithm 2
    mixed = 0.9 * state[0] + 0.1 * gradient
    state[0] = 0.95 * state[0] + 0.05 * gradient
    return w - rate * (np.sign(mixed) + decay * w)


def lamb(w, gradient, state, decay, t, rate):  # You et al. 2020, algorithm 2 with phi(z) = z
    direction = adam_direction(gradient, state, t) + decay * w
    return w - rate * np.linalg.norm(w) / np.linalg.norm(direction) * direction


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--out", type=pathlib.Path, required=True)
    out = parser.parse_args().out
    out.mkdir(parents=True, exist_ok=True)
    random = np.random.default_rng(5)
    count = sum(int(np.prod(s)) for s in SHAPES)
    start = random.normal(size=count) * 0.5
    scales = 10.0 ** random.uniform(-2, 2, size=count)  # gradients of very different sizes
    gradients = random.normal(0.3, 1, size=(STEPS, count)) * scales
    optim = torch.optim
    adam = {"betas": (0.9, 0.95), "eps": 1e-8, "foreach": False}
    adamw = grouped(optim.AdamW, **adam)

    def averaging(first, **options):
        def wrap(holder):
            model = optim.swa_utils.AveragedModel(holder, **options)
            model.first = first
            return model
        return wrap

    ema = averaging(0, multi_avg_fn=optim.swa_utils.get_ema_multi_avg_fn(0.9))
    schedule = optim.lr_scheduler.CosineAnnealingWarmRestarts(
        optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1.0), T_0=7, T_mult=2, eta_min=0.1)
    rates = []
    for _ in range(60):
        rates.append(schedule.get_last_lr()[0])
        schedule.optimizer.step()
        schedule.step()
    results = {
        "start": start,
        "gradients": gradients,
        "adam": with_torch(start, gradients, grouped(optim.Adam, **adam)),
        "adamw": with_torch(start, gradients, adamw),
        "adamw-clipped": with_torch(start, gradients, adamw, clip=30.0),
        "sgd": with_torch(start, gradients, grouped(optim.SGD, momentum=0.9, foreach=False)),
        "sgd-plain": with_torch(start, gradients, grouped(optim.SGD, momentum=0, foreach=False)),
        "sgd-nesterov": with_torch(start, gradients, grouped(optim.SGD, momentum=0.9, nesterov=True, foreach=False)),
        "rmsprop": with_torch(start, gradients, grouped(optim.RMSprop, alpha=0.95, eps=1e-8, momentum=0.9, foreach=False)),
        "adagrad": with_torch(start, gradients, grouped(optim.Adagrad, eps=1e-8, foreach=False)),
        "adafactor": with_torch(start, gradients, grouped(optim.Adafactor, eps=(1e-8, 1e-3), foreach=False)),
        "muon": with_torch(start, gradients, muon),
        "adamw-paper": by_hand(start, gradients, adamw_paper),
        "lion": by_hand(start, gradients, lion),
        "lamb": by_hand(start, gradients, lamb),
        "ema": with_torch(start, gradients, adamw, average=ema),
        "swa": with_torch(start, gradients, adamw, average=averaging(75)),
        "restarts": np.array(rates),
    }
    for name, values in results.items():
        np.save(out / f"{name}.npy", values)


if __name__ == "__main__":
    main()
