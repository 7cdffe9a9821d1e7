"""Masks from cross-attention, how well they match (FreeMask's mask matching cost), and a model's code table."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from torch import Tensor
from torch.nn import functional as F

from sim.errors import InputError

THRESHOLD = 0.3
"""Of a word's map over its largest value in the frame: the code's default; 0.4 where it edits shapes."""


def word_map(probabilities: Tensor, words: Sequence[int], ratio: float = 1.0) -> Tensor:
    """How much each place looks at some words: mean over heads, sum over words; [frames, height, width].

    Args:
        probabilities: of cross-attention, [frames, heads, places, text tokens].
        ratio: height over width.
    """
    found = probabilities[..., list(words)].float().sum(-1).mean(1)
    rows = round((found.shape[1] * ratio) ** 0.5)
    return found.reshape(len(found), rows, -1)


def binarized(maps: Tensor, size: tuple[int, int], threshold: float = THRESHOLD) -> Tensor:
    """Where a map is high: each place takes the most of its 3x3 neighbours; bool [frames, *size].

    Args:
        maps: [frames, height, width], not negative.
    """
    grown = F.max_pool2d(maps[:, None], 3, 1, 1)
    grown = F.interpolate(grown, size, mode="bilinear")[:, 0]
    most = grown.amax((1, 2), keepdim=True)
    return (grown > threshold * most) & (most > 0)


def miou(found: Tensor, truth: Tensor) -> float:
    """Mean of the intersection over union of background and object; bool tensors of one shape.

    A class that neither has counts as matched.
    """
    both = []
    for each, true in ((found, truth), (~found, ~truth)):
        union = int((each | true).sum())
        both.append(int((each & true).sum()) / union if union else 1.0)
    return sum(both) / 2


@dataclass(frozen=True)
class CodeTable:
    """Which layers and which time of a model give clear masks, calibrated once (FreeMask eqs. 2-6).

    Attributes:
        layers: cross-attention layers by name, in their order.
        cost: 1 - MIoU of each layer (row) at each step of the inversion (column), mean over clips.
        clips: that it was calibrated on.
        threshold: of their masks.
    """

    layers: tuple[str, ...]
    cost: tuple[tuple[float, ...], ...]
    clips: int
    threshold: float

    @property
    def by_layer(self) -> dict[str, float]:
        """The layer-wise cost LMMC: mean over steps."""
        return {name: sum(row) / len(row) for name, row in zip(self.layers, self.cost, strict=True)}

    @property
    def by_step(self) -> list[float]:
        """The temporal cost TMMC: mean over layers."""
        return [sum(column) / len(column) for column in zip(*self.cost, strict=True)]

    @property
    def layer(self) -> str:
        """The one of least cost."""
        return min(self.by_layer, key=self.by_layer.__getitem__)

    def step(self, steps: int) -> int:
        """The time of least cost as a step of an inversion of so many steps."""
        costs = self.by_step
        return min(steps - 1, round((costs.index(min(costs)) + 0.5) * steps / len(costs) - 0.5))

    def save(self, path: Path) -> None:
        path.write_text(json.dumps(asdict(self), indent=1) + "\n")

    @staticmethod
    def load(path: Path) -> CodeTable:
        """
        Raises:
            InputError: no such table.
        """
        try:
            found = json.loads(path.read_text())
            cost = tuple(tuple(map(float, row)) for row in found["cost"])
            return CodeTable(tuple(found["layers"]), cost, int(found["clips"]), float(found["threshold"]))
        except (OSError, ValueError, LookupError, TypeError) as error:
            problem = f"cannot be read: {error}"
            raise InputError("codes", str(path), problem, "calibrate the model again") from None


def matching_costs(
    maps: Sequence[Mapping[str, Tensor]], words: Sequence[int], truth: Tensor, threshold: float
) -> Tensor:
    """1 - MIoU of every layer at every step of one clip, [layers, steps].

    Args:
        maps: of each step, probabilities by layer, [frames, heads, places, text tokens].
        truth: bool [frames, height, width].
    """
    size = (truth.shape[1], truth.shape[2])
    ratio = size[0] / size[1]
    costs = [
        [
            1 - miou(binarized(word_map(found, words, ratio), size, threshold), truth)
            for found in step.values()
        ]
        for step in maps
    ]
    return torch.tensor(costs).T
