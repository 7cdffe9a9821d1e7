"""Small networks for tests."""

from __future__ import annotations

from math import tanh

import numpy as np

from sim.formats.encoding import mask_table
from sim.network import (
    Add,
    AveragePool,
    CodebookWeight,
    Conv,
    DenseWeight,
    LayerNorm,
    Network,
    Requantization,
    Table,
    TensorSpec,
    activation_table,
    norm_constants,
)


def requantization(channels: int, shift: int, low: int = -128) -> Requantization:
    return Requantization(np.full(channels, 1000, np.uint16), np.full(channels, shift, np.uint8), low=low)


def masked_weight(
    rng: np.random.Generator,
    codebook: np.ndarray,
    outputs: int,
    channels: int,
    keep: int,
    group: int,
    kernel: int = 3,
) -> CodebookWeight:
    k, d = codebook.shape
    places = (outputs // d, channels, kernel, kernel)
    codes = rng.integers(0, len(mask_table(keep, group)), (*places, d // group)).astype(np.uint16)
    assignments = rng.integers(0, k, places).astype(np.uint16)
    return CodebookWeight(codebook, assignments, codes, keep, group)


def small_network(d: int = 4, keep: int = 2, size: int = 6, seed: int = 0) -> Network:
    """Stem, a residual block of two masked layers that share a codebook, pool, classifier.

    d channels throughout, N:M = keep:d, k = 5.
    """
    rng = np.random.default_rng(seed)
    codebook = rng.integers(-128, 128, (5, d)).astype(np.int8)
    dense = {
        name: DenseWeight(rng.integers(-128, 128, shape).astype(np.int8))
        for name, shape in {"stem": (d, 1, 3, 3), "fc": (3, d, 1, 1)}.items()
    }

    def bias(channels: int) -> np.ndarray:
        return rng.integers(-1000, 1000, channels).astype(np.int32)

    def block(name: str, source: str, low: int) -> Conv:
        weight = masked_weight(rng, codebook, d, d, keep, d)
        return Conv(name, source, weight, bias(d), padding=(1, 1), requantization=requantization(d, 18, low))

    return Network(
        "small",
        TensorSpec((1, size, size), scale=1 / 128),
        (
            Conv(
                "stem",
                "input",
                dense["stem"],
                bias(d),
                padding=(1, 1),
                requantization=requantization(d, 17, 0),
            ),
            block("a", "stem", 0),
            block("b", "a", -128),
            Add("join", ("b", "stem"), (500, 700), 10, low=0),
            AveragePool("pool", "join", 65536 // size**2, 16),
            Conv("fc", "pool", dense["fc"], bias(3)),
        ),
        metadata={"source": "test"},
    )


def signed_weight(
    rng: np.random.Generator, codebook: np.ndarray, outputs: int, channels: int, kernel: int
) -> CodebookWeight:
    """Magnitudes and signs (SSVQ)."""
    k, d = codebook.shape
    places = (outputs // d, channels, kernel, kernel)
    return CodebookWeight(
        codebook,
        rng.integers(0, k, places).astype(np.uint16),
        signs=rng.integers(0, 2**d, places).astype(np.uint16),
    )


class Layers:
    """Draws the numbers of layers, zero points and all, and collects them."""

    def __init__(self, rng: np.random.Generator, zero_point: int) -> None:
        self.rng = rng
        self.zeros = {"input": zero_point}
        self.layers: list = []

    def add(self, layer) -> str:
        self.layers.append(layer)
        self.zeros[layer.name] = layer.zero_point
        return layer.name

    def output(self) -> dict[str, int]:
        low = int(self.rng.choice([-128, -128, -100, 0]))
        return {
            "zero_point": int(self.rng.integers(-128, 128)),
            "low": low,
            "high": int(self.rng.choice([127, 127, 90])),
        }

    def scale(self, ratio: float) -> dict[str, int]:
        """A multiplier near ratio * 2^shift."""
        shift = int(14 - np.floor(np.log2(ratio)))
        return {"multiplier": round(ratio * 2**shift), "shift": shift}

    def dense(self, *shape: int) -> DenseWeight:
        return DenseWeight(self.rng.integers(-128, 128, shape).astype(np.int8))

    def conv(self, name: str, source: str, weight, table: bool = False, **fields) -> str:
        k = weight.shape[0]
        terms = int(np.prod(weight.shape[1:]))
        q = Requantization(
            self.rng.integers(2**14, 2**16, k).astype(np.uint16),
            np.full(k, 21 + int(np.log2(terms) / 2), np.uint8),
            **self.output(),
            table=self.rng.integers(-128, 128, 256).astype(np.int8) if table else None,
            table_zero_point=int(self.rng.integers(-128, 128)) if table else 0,
        )
        bias = self.rng.integers(-20000, 20000, k).astype(np.int32)
        return self.add(Conv(name, source, weight, bias, requantization=q, **fields))

    def table(self, name: str, source: str) -> str:
        function = self.rng.choice([lambda x: tanh(x), lambda x: x / (2 + x * x)])
        zero = int(self.rng.integers(-128, 128))
        values = activation_table(function, 1 / 32, self.zeros[source], 1 / 128, zero)
        return self.add(Table(name, source, values, zero))

    def norm(self, name: str, source: str, channels: int, rms: bool, count: int = 0, **fields) -> str:
        gain, bias, shift, epsilon = norm_constants(
            self.rng.normal(0, 1, channels), self.rng.normal(0, 1, channels), 1e-5, 1 / 32, 1 / 40, count
        )
        return self.add(LayerNorm(name, source, gain, bias, shift, epsilon, rms, **fields, **self.output()))


def random_images(network: Network, seed: int, batch: int = 2) -> np.ndarray:
    """int8 [batch, C, H, W], in part extremes and zero points."""
    rng = np.random.default_rng(seed)
    shape = (batch, *network.input.shape)
    values = rng.integers(-128, 128, shape)
    special = rng.choice([-128, 127, network.input.zero_point], shape)
    return np.where(rng.random(shape) < rng.choice([0, 0.5, 1]), special, values).astype(np.int8)


def coded_network(kind: str, d: int = 8, size: int = 7, seed: int = 0) -> Network:
    """Dense stem, a strided and a plain layer of one kind with a sum between them, pool, dense classifier.

    Args:
        kind: "signed" magnitudes, or a "universal" codebook of a ROM that both layers share.
    """
    rng = np.random.default_rng(seed)
    net = Layers(rng, 3)
    codebook = rng.integers(-128, 128, (16, d)).astype(np.int8)

    def coded(outputs: int, channels: int, kernel: int):
        if kind == "signed":
            magnitudes = rng.integers(0, 128, (12, d)).astype(np.int8)
            return signed_weight(rng, magnitudes, outputs, channels, kernel)
        places = (outputs // d, channels, kernel, kernel)
        return CodebookWeight(codebook, rng.integers(0, 16, places).astype(np.uint16), universal=True)

    net.conv("stem", "input", net.dense(2 * d, 2, 3, 3), padding=(1, 1))
    net.conv("down", "stem", coded(2 * d, 2 * d, 3), padding=(1, 1), stride=(2, 2))
    net.conv("plain", "down", coded(2 * d, 2 * d, 3), padding=(1, 1))
    net.add(Add("join", ("plain", "down"), (30000, 35000), 15, **net.output()))
    net.add(AveragePool("pool", "join", **net.scale(1 / 16), **net.output()))
    net.add(Conv("fc", "pool", net.dense(5, 2 * d, 1, 1), rng.integers(-99, 99, 5).astype(np.int32)))
    return Network(kind, TensorSpec((2, size, size), 1 / 64, 3), tuple(net.layers))
