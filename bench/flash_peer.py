"""Attention of `intarsia lab flash` in PyTorch, forward and backward.

    PYTHON bench/flash_peer.py math|flash HEADS WIDTH TURNS THREADS TOKENS...

Prints for each number of tokens the median seconds and by how many bytes the process's highest resident memory grew.
"""
import ctypes
import statistics
import sys
import time

import torch
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.nn.functional import scaled_dot_product_attention


def status(key):
    with open("/proc/self/status") as lines:
        return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(key))


def reset_peak():
    ctypes.CDLL("libc.so.6").malloc_trim(0)  # what was freed goes back: it would hide growth
    with open("/proc/self/clear_refs", "w") as file:
        file.write("5")


def main():
    kind = {"math": SDPBackend.MATH, "flash": SDPBackend.FLASH_ATTENTION}[sys.argv[1]]
    heads, width, turns, threads = map(int, sys.argv[2:6])
    torch.set_num_threads(threads)
    torch.manual_seed(1)

    def step(n):
        q, k, v = (torch.randn(1, heads, n, width, requires_grad=True) for _ in range(3))
        d_o = torch.randn(1, heads, n, width)
        reset_peak()
        before = status("VmRSS")
        start = time.perf_counter()
        (scaled_dot_product_attention(q, k, v, is_causal=True) * d_o).sum().backward()
        return time.perf_counter() - start, status("VmHWM") - before

    with sdpa_kernel(kind):
        step(64)
        for n in map(int, sys.argv[6:]):
            runs = [step(n) for _ in range(turns)]
            print(statistics.median(r[0] for r in runs), max(0, max(r[1] for r in runs)), flush=True)


main()
