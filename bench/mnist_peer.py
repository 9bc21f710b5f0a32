#!/usr/bin/env python3
"""The network and the training of examples/mnist.cpp in eager PyTorch, to compare accuracy and images a second.

    python bench/mnist_peer.py FOLDER [epochs] [f32 | bf16] [images]

FOLDER holds MNIST's four idx files, gzipped. Two threads, or OMP_NUM_THREADS.
"""

import gzip
import math
import pathlib
import sys
import time

import numpy
import torch
from torch import nn
from torch.nn import functional


def read(path, skip):
    return torch.from_numpy(numpy.frombuffer(gzip.open(path).read(), numpy.uint8)[skip:].copy())


def read_set(folder, name):
    images = read(folder / f"{name}-images-idx3-ubyte.gz", 16).reshape(-1, 1, 28, 28).float() / 255
    return images, read(folder / f"{name}-labels-idx1-ubyte.gz", 8).long()


def convolution(inputs, outputs, stride=1):
    layer = nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False)
    nn.init.normal_(layer.weight, 0, math.sqrt(2 / (inputs * 9)))
    return layer


class Block(nn.Module):
    def __init__(self, channels):
        super().__init__()
        self.conv1, self.conv2 = convolution(channels, channels), convolution(channels, channels)
        self.norm1, self.norm2 = nn.BatchNorm2d(channels), nn.BatchNorm2d(channels)

    def forward(self, x):
        return functional.relu(x + self.norm2(self.conv2(functional.relu(self.norm1(self.conv1(x))))))


def stage(inputs, outputs, stride):
    return nn.Sequential(convolution(inputs, outputs, stride), nn.BatchNorm2d(outputs), nn.ReLU())


class Network(nn.Module):
    def __init__(self):
        super().__init__()
        self.body = nn.Sequential(stage(1, 16, 1), stage(16, 32, 2), Block(32), stage(32, 64, 2), Block(64))
        self.head = nn.Linear(64, 10, bias=False)
        nn.init.normal_(self.head.weight, 0, 0.1)

    def forward(self, x):
        return self.head(self.body(x).mean((2, 3)))


def main():
    folder = pathlib.Path(sys.argv[1])
    epochs = int(sys.argv[2]) if len(sys.argv) > 2 else 4
    half = len(sys.argv) > 3 and sys.argv[3] == "bf16"
    images, labels = read_set(folder, "train")
    test_images, test_labels = read_set(folder, "t10k")
    count = int(sys.argv[4]) if len(sys.argv) > 4 else len(labels)
    torch.manual_seed(1)
    network = Network()
    optimizer = torch.optim.SGD(network.parameters(), lr=0.1, momentum=0.9, weight_decay=5e-4, fused=True)
    size, step, seconds = 64, 0, 0.0
    steps = count // size * epochs
    for epoch in range(epochs):
        order = torch.randperm(count)
        start = time.perf_counter()
        total = 0.0
        for at in range(0, count - size + 1, size):
            rows = order[at : at + size]
            with torch.autocast("cpu", torch.bfloat16, enabled=half):
                logits = network(images[rows])
            loss = functional.cross_entropy(logits.float(), labels[rows])
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            t = step / steps
            for group in optimizer.param_groups:
                group["lr"] = 0.1 * (t / 0.2 if t < 0.2 else 0.5 + 0.5 * math.cos(math.pi * (t - 0.2) / 0.8))
            optimizer.step()
            total += loss.item()
            step += 1
        seconds += time.perf_counter() - start
        network.eval()
        with torch.no_grad(), torch.autocast("cpu", torch.bfloat16, enabled=half):
            right = sum((network(x).argmax(1) == y).sum().item()
                        for x, y in zip(test_images.split(250), test_labels.split(250)))
        network.train()
        print(f"epoch {epoch + 1}  loss {total / (count // size):.4f}  accuracy {100 * right / len(test_labels):.2f} %  "
              f"{count // size * size * (epoch + 1) / seconds:.0f} images/s", flush=True)


if __name__ == "__main__":
    main()
