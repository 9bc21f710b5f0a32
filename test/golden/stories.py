"""A LLaMA in NumPy, straight from the layout of llama2.c's checkpoint: what stories260K must say.

    python test/golden/stories.py stories260K.bin tok512.bin      prints 256 greedy tokens as text
"""

import pathlib
import struct
import sys

import numpy as np


class Story:
    def __init__(self, checkpoint, vocabulary):
        raw = pathlib.Path(checkpoint).read_bytes()
        self.dim, hidden, self.layers, self.heads, self.kv_heads, size, context = struct.unpack("<7i", raw[:28])
        assert size > 0, "the output matrix is its own: not a stories model"
        values = np.frombuffer(raw, "<f4", offset=28)
        place = 0

        def take(*shape):
            nonlocal place
            count = int(np.prod(shape))
            place += count
            return values[place - count : place].reshape(shape).astype(np.float64)

        dim, layers = self.dim, self.layers
        self.head_size = dim // self.heads
        kv = self.head_size * self.kv_heads
        self.embedding = take(size, dim)
        self.attention_norm = take(layers, dim)
        self.q, self.k, self.v = take(layers, dim, dim), take(layers, kv, dim), take(layers, kv, dim)
        self.o = take(layers, dim, dim)
        self.mlp_norm = take(layers, dim)
        self.gate, self.down, self.up = take(layers, hidden, dim), take(layers, dim, hidden), take(layers, hidden, dim)
        self.norm = take(dim)
        self.frequencies = 10000.0 ** (-np.arange(0, self.head_size, 2) / self.head_size)

        raw = pathlib.Path(vocabulary).read_bytes()
        place, self.pieces = 4, []
        for _ in range(size):
            _, length = struct.unpack_from("<fi", raw, place)
            self.pieces.append(raw[place + 8 : place + 8 + length])
            place += 8 + length

    def rotate(self, x, position):
        pairs = x.reshape(len(x), -1, 2)
        angle = position * self.frequencies
        cos, sin = np.cos(angle), np.sin(angle)
        a, b = pairs[..., 0], pairs[..., 1]
        return np.stack([a * cos - b * sin, a * sin + b * cos], -1).reshape(x.shape)

    def step(self, token, position, keys, values):
        """Logits after `token`; keys and values hold one list a layer and grow."""
        x = self.embedding[token].copy()
        for i in range(self.layers):
            h = normed(x) * self.attention_norm[i]
            q = self.rotate((self.q[i] @ h).reshape(self.heads, -1), position)
            keys[i].append(self.rotate((self.k[i] @ h).reshape(self.kv_heads, -1), position))
            values[i].append((self.v[i] @ h).reshape(self.kv_heads, -1))
            k, v = np.stack(keys[i]), np.stack(values[i])
            out = []
            for head in range(self.heads):
                source = head * self.kv_heads // self.heads
                score = np.exp(k[:, source] @ q[head] / np.sqrt(self.head_size))
                out.append(score @ v[:, source] / score.sum())
            x += self.o[i] @ np.concatenate(out)
            h = normed(x) * self.mlp_norm[i]
            gate = self.gate[i] @ h
            x += self.down[i] @ (gate / (1 + np.exp(-gate)) * (self.up[i] @ h))
        return self.embedding @ (normed(x) * self.norm)

    def greedy(self, count):
        keys, values = ([[] for _ in range(self.layers)] for _ in range(2))
        token, text, smallest_lead = 1, b"", np.inf
        for position in range(count):
            logits = self.step(token, position, keys, values)
            second, first = np.sort(logits)[-2:]
            smallest_lead = min(smallest_lead, first - second)
            previous, token = token, int(np.argmax(logits))
            if token in (1, 2):  # the end of a story
                break
            piece = self.pieces[token]
            if previous == 1:
                piece = piece.removeprefix(b" ")
            if len(piece) == 6 and piece.startswith(b"<0x"):
                piece = bytes([int(piece[3:5], 16)])
            text += piece
        return text, smallest_lead


def normed(x):
    return x / np.sqrt(np.mean(x * x) + 1e-5)


if __name__ == "__main__":
    sys.stdout.buffer.write(Story(*sys.argv[1:]).greedy(256)[0] + b"\n")
