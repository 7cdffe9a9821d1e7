"""Which designs no other one beats in everything, and how much of the space they leave behind them."""

from __future__ import annotations

import numpy as np


def front(values: np.ndarray) -> np.ndarray:
    """Places of the rows that no other dominates, in order; of equal rows, all.

    Args:
        values: float64 [designs, objectives], less is better; a row with NaN is on no front.
    """
    places = np.flatnonzero(~np.isnan(values).any(axis=1))
    order = places[np.lexsort(values[places].T[::-1])]
    kept: list[int] = []
    best = np.empty((0, values.shape[1]))
    for place in order:  # whatever dominates a row comes before it
        row = values[place]
        if not ((best <= row).all(axis=1) & (best < row).any(axis=1)).any():
            kept.append(int(place))
            best = np.concatenate([best, row[None]])
    return np.array(sorted(kept), dtype=np.int64)


def hypervolume(values: np.ndarray, reference: np.ndarray) -> float:
    """Volume that is dominated by the rows and dominates the reference; slices along the last objective.

    Args:
        values: float64 [designs, objectives], less is better.
        reference: float64 [objectives], a worst corner; rows beyond it add nothing.
    """
    inside = values[(values < reference).all(axis=1)]
    if not len(inside):
        return 0.0
    if values.shape[1] == 1:
        return float(reference[0] - inside.min())
    heights = np.unique(inside[:, -1])
    tops = np.append(heights[1:], reference[-1])
    slices = (
        hypervolume(inside[inside[:, -1] <= height][:, :-1], reference[:-1]) * (top - height)
        for height, top in zip(heights, tops, strict=True)
    )
    return float(sum(slices))
