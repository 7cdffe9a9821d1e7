"""Small networks for tests."""

from __future__ import annotations

from math import tanh

import numpy as np

from sim.formats.encoding import mask_table
from sim.network import (
    Add,
    AveragePool,
    CodebookWeight,
    Concat,
    Conv,
    DenseWeight,
    LayerNorm,
    MatMul,
    Multiply,
    Network,
    Pool,
    Requantization,
    Reshape,
    Scan,
    Softmax,
    Table,
    TensorSpec,
    Upsample,
    activation_table,
    exponent_table,
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


class _Layers:
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

    def norm(self, name: str, source: str, channels: int, rms: bool) -> str:
        gain, bias, shift, epsilon = norm_constants(
            self.rng.normal(0, 1, channels), self.rng.normal(0, 1, channels), 1e-5, 1 / 32, 1 / 40
        )
        return self.add(LayerNorm(name, source, gain, bias, shift, epsilon, rms, **self.output()))


def _convolutional(net: _Layers, pair: list[tuple[int, int]]) -> None:
    """From the input's 2 channels to `join` of 8; `pair` holds a dilation and strides."""
    rng = net.rng
    magnitudes = rng.integers(0, 128, (6, 4)).astype(np.int8)
    net.conv("stem", "input", net.dense(4, 2, 3, 3), table=True, padding=(1, 1))
    net.conv(
        "depthwise", "stem", net.dense(4, 1, 3, 2), groups=4, dilation=pair[0], padding=(2, 2), stride=pair[1]
    )
    net.conv("grouped", "depthwise", signed_weight(rng, magnitudes, 4, 2, 1), groups=2)
    kernel, padding = (3, 2), (1, int(rng.integers(0, 2)))
    net.add(
        Pool(
            "max",
            "grouped",
            "max",
            kernel,
            pair[2],
            padding,
            zero_point=net.zeros["grouped"],
            low=-90,
            high=100,
        )
    )
    net.add(
        Pool("average", "grouped", "average", kernel, pair[2], padding, **net.scale(1 / 5), **net.output())
    )
    net.add(Concat("both", ("max", "average"), (40000, 20000), 16, **net.output()))
    net.add(Upsample("up", "both", pair[3], net.zeros["both"]))
    net.add(AveragePool("squeeze", "up", **net.scale(1 / 20), **net.output()))
    net.table("excite", "squeeze")
    net.add(Multiply("scaled", ("up", "excite"), **net.scale(1 / 90), **net.output()))
    net.table("gate", "scaled")
    net.add(Multiply("gated", ("scaled", "gate"), **net.scale(1 / 70), **net.output()))
    net.add(Add("join", ("gated", "up"), (30000, 35000), 15, **net.output()))


def _attention(net: _Layers, size: tuple[int, int], heads: int, codebook: np.ndarray) -> None:
    """From `join` to `mixed`, attention over its positions; `size` is (H, W) of the network's input."""
    _, h, w = Network("part", TensorSpec((2, *size), 1.0, net.zeros["input"]), tuple(net.layers)).maps["join"]
    net.add(Reshape("tokens", "join", (8, h * w, 1), net.zeros["join"]))
    net.norm("norm", "tokens", 8, rms=False)
    net.conv("q", "norm", net.dense(8, 8, 1, 1))
    net.conv("k", "norm", masked_weight(net.rng, codebook, 8, 8, 2, 4, 1))
    net.conv("v", "norm", net.dense(8, 8, 1, 1))
    net.add(Concat("keys", ("k", "tokens"), (50000, 65535), 16, 1, **net.output()))
    net.add(Concat("values", ("v", "tokens"), (50000, 65535), 16, 1, **net.output()))
    net.add(MatMul("scores", ("q", "keys"), heads, True, **net.scale(1 / 200), **net.output()))
    net.add(
        Softmax("weights", "scores", exponent_table(1 / 40), heads, int(net.rng.choice([-128, -128, 0, 7])))
    )
    net.add(MatMul("mixed", ("weights", "values"), heads, False, **net.scale(1 / 300), **net.output()))


def _selective_scan(net: _Layers) -> None:
    """From `mixed` and `norm` to `scan`."""
    rng = net.rng
    net.conv("delta", "norm", net.dense(8, 8, 1, 1))
    net.conv("inward", "norm", net.dense(3, 8, 1, 1))
    net.conv("outward", "norm", net.dense(3, 8, 1, 1))
    net.add(
        Scan(
            "scan",
            ("mixed", "delta", "inward", "outward"),
            rng.integers(0, 65536, (8, 3)).astype(np.uint16),
            exponent_table(1 / 64),
            rng.integers(-(2**15), 2**15, 8).astype(np.int32),
            int(rng.integers(14, 18)),
            40000,
            22,
            multiplier=40000,
            shift=int(rng.integers(31, 34)),
            reverse=bool(rng.integers(0, 2)),
            **net.output(),
        )
    )


def every_layer(
    seed: int = 0, size: tuple[int, int] = (6, 5), heads: int = 2, universal: bool = False
) -> Network:
    """One of each kind: a convolutional part, then attention over its positions.

    Numbers, zero points and clamps are random; 2 input channels, 4 channels, 8 after concatenation.
    """
    rng = np.random.default_rng(seed)
    net = _Layers(rng, int(rng.integers(-128, 128)))
    pair = [(int(a), int(b)) for a, b in rng.integers(1, 3, (6, 2))]
    wide = rng.integers(-128, 128, (5, 4)).astype(np.int8)
    _convolutional(net, pair)
    _attention(net, size, heads, wide)
    _selective_scan(net)
    net.norm("rms", "scan", 8, rms=True)
    assignments = rng.integers(0, 5, (1, 8, 1, 1)).astype(np.uint16)
    net.add(
        Conv(
            "fc",
            "rms",
            CodebookWeight(wide, assignments, universal=universal),
            rng.integers(-99, 99, 4).astype(np.int32),
        )
    )
    return Network("every", TensorSpec((2, *size), 1 / 64, net.zeros["input"]), tuple(net.layers))


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
    net = _Layers(rng, 3)
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
