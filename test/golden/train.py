#!/usr/bin/env python3
"""The first ten steps of training by PyTorch (eager, f32), for intarsia to repeat with equal data.

    python test/golden/train.py --models test/golden/models --out test/golden/models

For two of the tiny models a folder MODEL/train gets
    tokens.npy          i32 [10, 4, 17]  a batch a step: inputs are the first 16 ids of a row, targets the last 16
    losses.npy          f64 [10]         mean cross-entropy before each update
    gradient_norms.npy  f64 [10]         of all gradients together, before clipping
    learning_rates.npy  f64 [10]         by PyTorch's schedulers
AdamW with betas 0.9 and 0.95, eps 1e-8, decay 0.1 on matrices and none on vectors, gradients clipped to norm 2.55;
three steps of warm-up (1/3, 2/3, 1 of the peak), then a cosine (LLaMA) or a line (GPT-2) from the peak at step 3 to a
tenth of it, which step 10, not taken here, would have.
"""

import argparse
import pathlib

import numpy as np
import torch

import models

STEPS, ROWS, TOKENS, WARM_UP = 10, 4, 16, 3
PEAK, LOWEST, CLIP, DECAY = 4e-3, 4e-4, 2.55, 0.1
RUNS = {"llama-grouped-tied": "cosine", "gpt2": "linear"}


def learning_rate_schedule(optimizer, kind):
    schedulers = torch.optim.lr_scheduler
    warm_up = schedulers.LinearLR(optimizer, start_factor=1 / WARM_UP, total_iters=WARM_UP - 1)
    rest = STEPS - WARM_UP
    if kind == "cosine":
        main = schedulers.CosineAnnealingLR(optimizer, T_max=rest, eta_min=LOWEST)
    else:
        main = schedulers.LinearLR(optimizer, start_factor=1, end_factor=LOWEST / PEAK, total_iters=rest)
    return schedulers.SequentialLR(optimizer, [warm_up, main], milestones=[WARM_UP])


def train(folder, kind, tokens, dtype):
    model = models.load(folder).to(dtype).train()
    matrices = [p for p in model.parameters() if p.dim() >= 2]
    vectors = [p for p in model.parameters() if p.dim() < 2]
    groups = [{"params": matrices, "weight_decay": DECAY}, {"params": vectors, "weight_decay": 0.0}]
    optimizer = torch.optim.AdamW(groups, lr=PEAK, betas=(0.9, 0.95), eps=1e-8, foreach=False)
    schedule = learning_rate_schedule(optimizer, kind)
    losses, norms, rates = [], [], []
    for batch in torch.from_numpy(tokens).long():
        logits = model(batch[:, :-1]).logits
        loss = torch.nn.functional.cross_entropy(logits.flatten(0, 1), batch[:, 1:].flatten())
        optimizer.zero_grad()
        loss.backward()
        norms.append(float(torch.nn.utils.clip_grad_norm_(model.parameters(), CLIP)))
        losses.append(loss.item())
        rates.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        schedule.step()
    return np.array(losses), np.array(norms), np.array(rates)


def write(name, kind, source, root):
    # Sequences that step by a fixed amount, so that there is something to learn in ten steps.
    random = np.random.default_rng(7)
    start = random.integers(3, models.VOCABULARY, (STEPS, ROWS, 1))
    step = random.integers(1, 4, (STEPS, ROWS, 1))
    ids = 3 + (start + step * np.arange(TOKENS + 1)) % (models.VOCABULARY - 3)
    tokens = ids.astype(np.int32)

    losses, norms, rates = train(source / name, kind, tokens, torch.float32)
    exact, _, _ = train(source / name, kind, tokens, torch.float64)
    rounding = float(np.max(np.abs(losses - exact) / exact))
    assert rounding < 3e-6, f"{name}: f32 and f64 losses differ by {rounding:.1e}"
    assert losses[-1] < losses[0] and norms.min() < CLIP < norms.max(), (losses, norms)

    folder = root / name / "train"
    folder.mkdir(parents=True, exist_ok=True)
    np.save(folder / "tokens.npy", tokens)
    np.save(folder / "losses.npy", losses)
    np.save(folder / "gradient_norms.npy", norms)
    np.save(folder / "learning_rates.npy", rates)
    print(f"{name}: loss {losses[0]:.4f} to {losses[-1]:.4f}, norms {norms.min():.2f} to {norms.max():.2f}, "
          f"f32 and f64 agree to {rounding:.1e}")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", type=pathlib.Path, required=True, help="where models.py wrote")
    parser.add_argument("--out", type=pathlib.Path, required=True)
    arguments = parser.parse_args()
    models.quiet()
    for name, kind in RUNS.items():
        write(name, kind, arguments.models, arguments.out)


if __name__ == "__main__":
    main()
