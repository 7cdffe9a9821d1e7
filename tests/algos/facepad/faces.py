"""A face and a background that no data set holds."""

from __future__ import annotations

import numpy as np

ROWS, COLUMNS = np.mgrid[-1:1:25j, -1:1:25j]


def drawn(seed: int = 0) -> np.ndarray:
    """Eyes, brows, nose and mouth on shaded skin, grey, float64 [25, 25], 0..1."""
    rng = np.random.default_rng(seed)
    shade = 0.75 - 0.2 * np.hypot(ROWS, COLUMNS + rng.uniform(-0.3, 0.3))
    for row, column, height, width, depth in (
        (-0.25, -0.4, 0.08, 0.16, 0.5),
        (-0.25, 0.4, 0.08, 0.16, 0.5),
        (-0.45, -0.4, 0.05, 0.22, 0.3),
        (-0.45, 0.4, 0.05, 0.22, 0.3),
        (0.15, 0, 0.25, 0.08, 0.15),
        (0.5, 0, 0.08, 0.35, 0.35),
    ):
        row, column = row + rng.normal(0, 0.03), column + rng.normal(0, 0.03)
        shade -= depth * np.exp(-(((ROWS - row) / height) ** 2) - ((COLUMNS - column) / width) ** 2)
    return np.clip(shade, 0, 1)


def background(seed: int = 0) -> np.ndarray:
    """Coloured blocks, uint8 [160, 200, 3]."""
    blocks = np.random.default_rng(seed).integers(0, 256, (16, 20, 3)).astype(np.uint8)
    return blocks.repeat(10, 0).repeat(10, 1)
