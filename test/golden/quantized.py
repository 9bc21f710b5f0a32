"""Makes test/golden/quantized/: blocks of random bytes in each block format and what they mean, by the package `gguf`.

    python test/golden/quantized.py        (gguf 0.19, numpy; writes NAME.blocks and NAME.f32, little-endian)
"""
from pathlib import Path

import gguf
import numpy as np

# Where the f16 scales lie in a block: any other byte may be anything, but a scale that is not finite would test
# nothing.
scales = {"Q4_0": [0], "Q4_1": [0, 2], "Q5_0": [0], "Q5_1": [0, 2], "Q8_0": [0],
          "Q2_K": [80, 82], "Q3_K": [108], "Q4_K": [0, 2], "Q5_K": [0, 2], "Q6_K": [208]}

folder = Path(__file__).parent / "quantized"
folder.mkdir(exist_ok=True)
random = np.random.default_rng(20)
for name, places in scales.items():
    kind = gguf.GGMLQuantizationType[name]
    elements, size = gguf.GGML_QUANT_SIZES[kind]
    blocks = random.integers(0, 256, (1536 // elements, size), dtype=np.uint8)
    for place in places:
        value = random.normal(0, 0.05, len(blocks)).astype(np.float16)
        value[:4] = [6.1e-5, -3e-7, 65504, -0.0]  # the last normal half, a denormal one, the largest
        blocks[:, place:place + 2] = value.view(np.uint8).reshape(-1, 2)
    blocks.tofile(folder / f"{name.lower()}.blocks")
    gguf.dequantize(blocks, kind).astype("<f4").tofile(folder / f"{name.lower()}.f32")
