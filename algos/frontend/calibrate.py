"""Activation scales from data that streams by: a histogram a tensor, and observers that read it."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from sim.errors import InputError, nearest

HALF = 2**13
"""Bins on either side of 0: about 20 to a step of INT8 at the smallest scale tried."""

SAMPLES = 2**16
"""Elements of one chunk of images that enter the histogram; the range is that of all."""

FRACTIONS = np.linspace(0.3, 1.0, 36)
"""Of the whole range, tried as the range that INT8 covers."""

Clamp = tuple[float, float]

SIGNED: Clamp = (-math.inf, math.inf)
"""Range of a value that no activation clamps."""


@dataclass(frozen=True)
class Activation:
    """real = scale * (q - zero_point); the integer clamp of the tensor."""

    scale: float
    zero_point: int = 0
    low: int = -128
    high: int = 127

    def integers(self, real: np.ndarray) -> np.ndarray:
        """int8, the nearest."""
        q = np.rint(real / self.scale) + self.zero_point
        return np.clip(q, self.low, self.high).astype(np.int8)

    def real(self, integers: np.ndarray) -> np.ndarray:
        """float64."""
        return (integers.astype(np.float64) - self.zero_point) * self.scale


PIXELS = Activation(1 / 255, -128)
"""The input of a network for grey pictures: byte - 128, real values 0..1."""


class Histogram:
    """How often a tensor takes which values. Bins double their width when a value lies beyond them.

    Attributes:
        name: of the tensor, for errors.
        low, high: the smallest and the largest value seen.
    """

    def __init__(self, name: str = "activation") -> None:
        self.name = name
        self.low, self.high = math.inf, -math.inf
        self._width = 0.0
        self._counts: np.ndarray = np.zeros(2 * HALF + 1)

    def add(self, values: Tensor) -> None:
        """Takes in a sample of the values.

        Raises:
            InputError: NaN or infinity among them.
        """
        flat = values.detach().flatten().double()
        low, high = (float(v) for v in torch.aminmax(flat))
        if not math.isfinite(high - low):
            raise InputError(self.name, high - low, "holds NaN or infinity", "check the calibration data")
        self.low, self.high = min(self.low, low), max(self.high, high)
        self._widen(max(-self.low, self.high))
        sample = flat[:: max(1, len(flat) // SAMPLES)].cpu()
        bins = (sample / (self._width or 1.0)).round().long() + HALF
        self._counts += torch.bincount(bins, minlength=len(self._counts)).numpy()

    def _widen(self, reach: float) -> None:
        if not self._width:
            self._width = reach / HALF
        while self._width * HALF < reach * (1 - 1e-9):
            places = np.round(np.arange(-HALF, HALF + 1) / 2).astype(int) + HALF
            self._counts = np.bincount(places, self._counts, len(self._counts))
            self._width *= 2

    @property
    def points(self) -> tuple[np.ndarray, np.ndarray]:
        """Values and how often they occur."""
        used = np.flatnonzero(self._counts)
        return np.clip((used - HALF) * self._width, self.low, self.high), self._counts[used]

    def quantile(self, share: float) -> float:
        """The value below which that share lies."""
        values, counts = self.points
        return float(values[min(np.searchsorted(counts.cumsum(), share * counts.sum()), len(values) - 1)])


Ranges = Callable[[Histogram], list[tuple[float, float]]]


def _minmax(seen: Histogram) -> list[tuple[float, float]]:
    return [(seen.low, seen.high)]


def _percentile(seen: Histogram) -> list[tuple[float, float]]:
    return [(seen.quantile(1e-4), seen.quantile(1 - 1e-4))]


def _mse(seen: Histogram) -> list[tuple[float, float]]:
    return [(seen.low * fraction, seen.high * fraction) for fraction in FRACTIONS]


OBSERVERS: dict[str, Ranges] = {"mse": _mse, "minmax": _minmax, "percentile": _percentile}
"""Ranges that INT8 may cover; that of least squared error is taken. Percentile leaves out 0.01 % on each side."""


@dataclass(frozen=True)
class Scheme:
    """How activations become INT8.

    Attributes:
        observer: name in OBSERVERS.
        symmetric: zero points are 0, and only 0..127 is used behind a ReLU; else all 256 steps serve any range.
        residual_bits: 16 carries what rounding a sum of a residual path leaves to the next one (`residual`); else 8.

    Raises:
        InputError: no such observer, other bits.
    """

    observer: str = "mse"
    symmetric: bool = False
    residual_bits: int = 8

    def __post_init__(self) -> None:
        if self.residual_bits not in (8, 16):
            raise InputError(
                "residual_bits", self.residual_bits, "neither 8 nor 16", "use 16, or leave it at 8"
            )
        if self.observer not in OBSERVERS:
            raise InputError("observer", self.observer, "unknown", nearest(self.observer, OBSERVERS))

    def activation(
        self,
        seen: Histogram,
        clamp: Clamp = SIGNED,
        function: Callable[[np.ndarray], np.ndarray] | None = None,
    ) -> Activation:
        """Scale and zero point of a tensor.

        Args:
            clamp: the range that an activation leaves.
            function: what is taken of the tensor afterwards; its error counts.
        """
        values, counts = seen.points
        wanted = function(values) if function else values
        best, least = Activation(1.0), math.inf
        for low, high in OBSERVERS[self.observer](seen):
            tried = self.fitted(low, high, clamp)
            found = tried.real(tried.integers(values))
            error = float((((function(found) if function else found) - wanted) ** 2 * counts).sum())
            if error < least:
                best, least = tried, error
        return best

    def fitted(self, low: float, high: float, clamp: Clamp = SIGNED) -> Activation:
        """That covers a range."""
        if self.symmetric:
            scale = max(-low, high) / 127 or 1.0
            return Activation(scale, 0, 0 if clamp[0] == 0 else -128, round(min(127.0, clamp[1] / scale)))
        low, high = min(low, 0.0), max(high, 0.0)
        scale = (high - low) / 255 or 1.0
        zero = min(max(round(-128 - low / scale), -128), 127)
        bottom, top = (min(max(zero + edge / scale, -128.0), 127.0) for edge in clamp)
        return Activation(scale, zero, round(bottom), round(top))


def calibrate(values: Tensor, clamp: Clamp = SIGNED) -> Activation:
    """Symmetric INT8 of a tensor with the scale of least squared error, zero point 0.

    Args:
        clamp: the range that an activation leaves; from 0 on only 0..127 is used.
    """
    seen = Histogram()
    seen.add(values)
    return Scheme(symmetric=True).activation(seen, clamp)
