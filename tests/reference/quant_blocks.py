"""Writes tests/data/kernels/quant_blocks.bin: blocks of every GGUF weight type and what gguf-py makes of them.

For each type in the order of TYPES: ROWS rows of COLUMNS values as stored, then the same values as float32.
Types that gguf-py can quantize hold normal numbers; the others random bytes with scales of moderate size.
"""
import sys
from pathlib import Path

import numpy as np
from gguf import GGMLQuantizationType, quants
from gguf.constants import GGML_QUANT_SIZES

ROWS, COLUMNS = 2, 512
TYPES = ["Q4_0", "Q4_1", "Q8_0", "Q4_K", "Q5_K", "Q6_K", "F16", "BF16"]
HALVES = {"Q4_K": (0, 2), "Q5_K": (0, 2), "Q6_K": (208,)}  # where the half-precision scales of a block stand


def main(path: Path) -> None:
    random = np.random.default_rng(20240501)
    with path.open("wb") as out:
        for name in TYPES:
            kind = GGMLQuantizationType[name]
            if name in HALVES:
                values, size = GGML_QUANT_SIZES[kind]
                blocks = random.integers(0, 256, (ROWS * COLUMNS // values, size), dtype=np.uint8)
                for at in HALVES[name]:
                    scales = (random.standard_normal(len(blocks)) * 0.01).astype("<f2")
                    blocks[:, at : at + 2] = scales.view(np.uint8).reshape(-1, 2)
                stored = blocks.reshape(ROWS, -1)
            else:
                normal = random.standard_normal((ROWS, COLUMNS)).astype(np.float32)
                stored = np.ascontiguousarray(quants.quantize(normal, kind))
            out.write(stored.tobytes())
            out.write(quants.dequantize(stored.reshape(ROWS, -1), kind).astype("<f4").tobytes())


main(Path(sys.argv[1]))
