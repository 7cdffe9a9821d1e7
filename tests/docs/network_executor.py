"""Runs a network file; written from docs/network.md and nothing else.

NumPy in int64, safetensors and json: whatever the package gets wrong it cannot share.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from hashlib import sha256
from itertools import combinations
from math import ceil, floor, isqrt, log2
from pathlib import Path
from types import SimpleNamespace

import numpy as np
from safetensors import safe_open

Array = np.ndarray


def read(path: Path) -> tuple[dict[str, str], dict[str, Array]]:
    """Text dictionary and tensors of a safetensors file."""
    with safe_open(path, framework="numpy") as file:
        return file.metadata() or {}, {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118


class Rounding:
    """Section 3."""

    def rounded(self, v: Array, s: Array | int) -> Array:
        return (v + (np.int64(1) << (s - np.int64(1)))) >> s

    def out(self, v: Array, fields: dict, zero_point: int = 0) -> Array:
        shifted = v + fields.get("zero_point", zero_point)
        return np.clip(shifted, fields.get("low", -128), fields.get("high", 127))


def twice_e2m1(e: int) -> int:
    return [0, 1, 2, 3, 4, 6, 8, 12][e % 8] * (-1 if e >= 8 else 1)


SCALED: dict[str, Callable[[int, int], int]] = {
    **dict.fromkeys(("int4", "int3", "int2"), lambda e, s: e * s),
    "nvfp4": lambda e, s: twice_e2m1(e) * s,
    "mxfp4": lambda e, s: twice_e2m1(e) * 2**s,
    "mxint8": lambda e, s: floor(e / 2**s + 0.5),
}


class Weights:
    """Section 4."""

    def __init__(self, folder: Path, tensors: dict[str, Array]) -> None:
        self.folder, self.tensors = folder, tensors

    def decode(self, name: str, fields: dict) -> Array:
        """int64 [K, C/groups, Ky, Kx]."""
        if fields["format"] == "dense":
            return self.tensors[f"{name}.weight"].astype(np.int64)
        if fields["format"] in SCALED:
            return self.scaled(name, SCALED[fields["format"]], fields["fields"]["group"])
        if fields["format"] == "ternary":
            return self.tensors[f"{name}.values"].astype(np.int64)
        if fields["format"] == "aqlm":
            return self.added(self.tensors[f"{name}.codebooks"], self.tensors[f"{name}.assignments"])
        codebook = self.codebook(fields).astype(np.int64)
        assignments = self.tensors[f"{name}.assignments"]
        vectors = codebook[assignments]  # [K/d, C, Ky, Kx, d]
        if fields.get("group", 0):
            vectors = vectors * self.masks(
                self.tensors[f"{name}.mask_codes"], fields["keep"], fields["group"]
            )
        if fields.get("signs", False):
            vectors = vectors * self.signs(self.tensors[f"{name}.signs"], vectors.shape[-1])
        groups, c, ky, kx, d = vectors.shape
        weight = np.empty((groups * d, c, ky, kx), np.int64)
        for j in range(d):
            weight[j::d] = vectors[..., j]
        return weight

    def scaled(self, name: str, product: Callable[[int, int], int], group: int) -> Array:
        elements, scales = self.tensors[f"{name}.elements"], self.tensors[f"{name}.scales"]
        weight = np.empty(elements.shape, np.int64)
        for k, c, y, x in np.ndindex(*weight.shape):
            weight[k, c, y, x] = product(int(elements[k, c, y, x]), int(scales[k, c // group, y, x]))
        return weight

    def added(self, codebooks: Array, assignments: Array) -> Array:
        groups, *places, _ = assignments.shape
        d = codebooks.shape[2]
        weight = np.zeros((groups * d, *places), np.int64)
        for o, j, book in np.ndindex(groups, d, 2):
            weight[o * d + j] += codebooks[book, assignments[o, ..., book], j]
        return weight

    def codebook(self, fields: dict) -> Array:
        digest = fields.get("codebook_sha256")
        if digest is None:
            return self.tensors[fields["codebook"]]
        codebook = read(self.folder / f"{digest[:16]}.codebook.safetensors")[1]["codebook"]
        size = b"".join(n.to_bytes(4, "little") for n in codebook.shape)
        assert sha256(size + codebook.tobytes()).hexdigest() == digest
        return codebook

    def masks(self, codes: Array, keep: int, group: int) -> Array:
        """0 or 1, [..., d]."""
        words = sorted(sum(2**place for place in places) for places in combinations(range(group), keep))
        bits = np.array([[self.bit(word, i) for i in range(group)] for word in words])
        return bits[codes].reshape(*codes.shape[:-1], -1)

    def signs(self, words: Array, d: int) -> Array:
        """-1 or 1, [..., d]."""
        return np.stack([1 - 2 * self.bit(words.astype(np.int64), j) for j in range(d)], -1)

    def bit(self, word: Array | int, place: int) -> Array | int:
        return word // 2**place % 2


class Executor(Rounding):
    """Sections 1, 2 and 5: a method for each kind of layer.

    Args:
        weights: class that decodes them.
        step: of the file.
    """

    def __init__(self, path: Path, weights: type[Weights] = Weights, step: int = 0) -> None:
        texts, self.tensors = read(path)
        self.header = json.loads(texts["codeword"])
        assert self.header["schema_version"] == 1
        if step:
            own = self.header["steps"][step - 1]
            self.header["input"] = own["input"]
            for layer in self.header["layers"]:
                layer.update(own.get("layers", {}).get(layer["name"], {}))
            for name in [name for name in self.tensors if f"{name}@{step}" in self.tensors]:
                self.tensors[name] = self.tensors[f"{name}@{step}"]
        self.weights = weights(path.parent, self.tensors)
        self.zeros = {"input": self.header["input"].get("zero_point", 0)}
        self.zeros |= {layer["name"]: self.zero_point(layer) for layer in self.header["layers"]}

    def quantize(self, real: Array) -> Array:
        """The input tensor of real values."""
        source = self.header["input"]
        scaled = np.rint(real / source["scale"]) + source.get("zero_point", 0)
        return np.clip(scaled, -128, 127).astype(np.int64)

    def run(self, images: Array) -> dict[str, Array]:
        """Every tensor, int64 [batch, C, H, W], by name; images as `quantize` gives them."""
        values = {"input": images}
        for layer in self.header["layers"]:
            found = self.run_layer(layer, values)
            values[layer["name"]] = np.broadcast_to(found, (len(images), *found.shape[1:]))
        return values

    def run_layer(self, layer: dict, values: dict[str, Array]) -> Array:
        """What one layer makes of the tensors that it reads."""
        sources = layer.get("inputs", [layer["input"]] if "input" in layer else [])
        operands = [values[source].astype(np.int64) for source in sources]
        return getattr(self, layer["kind"])(
            layer, *operands, zeros=[self.zeros[source] for source in sources]
        )

    def zero_point(self, layer: dict) -> int:
        """Of the tensor that a layer makes."""
        if layer["kind"] != "conv":
            return layer.get("zero_point", -128 if layer["kind"] == "softmax" else 0)
        q = layer["requantization"]
        if q is None:
            return 0
        return q.get("table_zero_point", 0) if q.get("table", False) else q.get("zero_point", 0)

    def part(self, layer: dict, part: str) -> Array:
        return self.tensors[f"{layer['name']}.{part}"].astype(np.int64)

    def padded(self, x: Array, padding: list[int], fill: int) -> Array:
        py, px = padding
        return np.pad(x, ((0, 0), (0, 0), (py, py), (px, px)), constant_values=fill)

    def fill(self, zero_point: int) -> int:
        """What the padding of a convolution holds."""
        return zero_point

    def views(self, x: Array, window: SimpleNamespace) -> list[Array]:
        """Of each kernel position, row-major, the values that it meets: [batch, C, OH, OW]."""
        (ky, kx), (sy, sx), (dy, dx) = window.kernel, window.stride, window.dilation
        oh = (x.shape[2] - (ky - 1) * dy - 1) // sy + 1
        ow = (x.shape[3] - (kx - 1) * dx - 1) // sx + 1
        return [
            x[:, :, u * dy : u * dy + oh * sy : sy, v * dx : v * dx + ow * sx : sx][:, :, :oh, :ow]
            for u in range(ky)
            for v in range(kx)
        ]

    def conv(self, layer: dict, x: Array, zeros: list[int]) -> Array:
        weight = self.weights.decode(layer["name"], layer["weight"])
        outputs, c, ky, kx = weight.shape
        groups = layer.get("groups", 1)
        window = SimpleNamespace(
            kernel=(ky, kx), stride=layer["stride"], dilation=layer.get("dilation", (1, 1))
        )
        views = self.views(self.padded(x, layer["padding"], self.fill(zeros[0])), window)
        batch, _, oh, ow = views[0].shape
        acc = np.zeros((batch, groups, outputs // groups, oh * ow), np.int64)
        for view, taps in zip(views, np.moveaxis(weight.reshape(outputs, c, ky * kx), 2, 0), strict=True):
            grouped = view.reshape(batch, groups, c, oh * ow)
            acc += taps.reshape(groups, outputs // groups, c) @ grouped
        total = acc.reshape(batch, outputs, oh, ow) + self.column(self.part(layer, "bias"))
        q = layer["requantization"]
        if q is None:
            return total
        scaled = total * self.column(self.part(layer, "multiplier"))
        y = self.out(self.rounded(scaled, self.column(self.part(layer, "shift"))), q)
        return self.part(layer, "table")[y + 128] if q.get("table", False) else y

    def column(self, values: Array) -> Array:
        """Values of channels beside [batch, C, H, W]."""
        return values[:, None, None]

    def scaled(self, layer: dict, total: Array) -> Array:
        return self.out(self.rounded(total * layer["multiplier"], layer["shift"]), layer)

    def matmul(self, layer: dict, a: Array, b: Array, zeros: list[int]) -> Array:
        heads = layer["heads"]
        left, right = (
            (x - z).reshape(len(x), heads, x.shape[1] // heads, x.shape[2])
            for x, z in ((a, zeros[0]), (b, zeros[1]))
        )
        if layer["transpose_b"]:
            acc = np.swapaxes(right, 2, 3) @ left  # [j, c] [c, i]
        else:
            acc = right @ left  # [c, j] [j, i]
        return self.scaled(layer, acc.reshape(len(a), -1, a.shape[2], 1))

    def add(self, layer: dict, a: Array, b: Array, zeros: list[int]) -> Array:
        m = layer["multipliers"]
        total = (a - zeros[0]) * m[0] + (b - zeros[1]) * m[1]
        return self.out(self.rounded(total, layer["shift"]), layer)

    def multiply(self, layer: dict, a: Array, b: Array, zeros: list[int]) -> Array:
        return self.scaled(layer, (a - zeros[0]) * (b - zeros[1]))

    def concat(self, layer: dict, *operands: Array, zeros: list[int]) -> Array:
        parts = [
            self.out(self.rounded((x - z) * m, layer["shift"]), layer)
            for x, z, m in zip(operands, zeros, layer["multipliers"], strict=True)
        ]
        return np.concatenate(parts, 1 + layer.get("axis", 0))

    def table(self, layer: dict, x: Array, zeros: list[int]) -> Array:
        return self.part(layer, "table")[x + 128]

    def pool(self, layer: dict, x: Array, zeros: list[int]) -> Array:
        window = SimpleNamespace(kernel=layer["kernel"], stride=layer["stride"], dilation=(1, 1))
        padding = layer.get("padding", (0, 0))
        if layer["mode"] == "max":
            best = np.max(self.views(self.padded(x, padding, -1000), window), 0)
            return np.clip(best, layer.get("low", -128), layer.get("high", 127))
        total = np.sum(self.views(self.padded(x - zeros[0], padding, 0), window), 0)
        return self.scaled({"multiplier": 1, "shift": 1} | layer, total)

    def average_pool(self, layer: dict, x: Array, zeros: list[int]) -> Array:
        return self.scaled(layer, (x - zeros[0]).sum((2, 3), keepdims=True))

    def upsample(self, layer: dict, x: Array, zeros: list[int]) -> Array:
        fy, fx = layer["factor"]
        rows, columns = np.arange(x.shape[2] * fy) // fy, np.arange(x.shape[3] * fx) // fx
        return x[:, :, rows][:, :, :, columns]

    def reshape(self, layer: dict, x: Array, zeros: list[int]) -> Array:
        return x.reshape(len(x), *layer["to"])

    def rearrange(self, layer: dict, x: Array, zeros: list[int]) -> Array:
        places = np.full((1,) * len(layer["sizes"]), layer.get("offset", 0))
        for axis, (size, stride) in enumerate(zip(layer["sizes"], layer["strides"], strict=True)):
            places = np.concatenate([places + i * stride for i in range(size)], axis)
        ends = layer.get("padding", [[0, 0]] * 3)
        axes = [np.arange(-before, n + after) for n, (before, after) in zip(x.shape[1:], ends, strict=True)]
        mode, inside = layer.get("mode", "zero"), [np.clip(p, 0, n - 1) for p, n in self.sized(axes, x)]
        if mode == "wrap":
            inside = [p % n for p, n in self.sized(axes, x)]
        if mode == "reflect":
            inside = [np.where(p < 0, -p, np.where(p < n, p, 2 * n - 2 - p)) for p, n in self.sized(axes, x)]
        padded = x[:, inside[0]][:, :, inside[1]][:, :, :, inside[2]]
        if mode == "zero":
            for axis, (p, n) in enumerate(self.sized(axes, x), 1):
                beyond = ((p < 0) | (p >= n)).reshape([-1 if k == axis else 1 for k in range(4)])
                padded = np.where(beyond, zeros[0], padded)
        return padded.reshape(len(x), -1)[:, places.ravel()].reshape(len(x), *layer["to"])

    def sized(self, axes: list[Array], x: Array) -> list[tuple[Array, int]]:
        """Positions along each axis with what the map has there."""
        return list(zip(axes, x.shape[1:], strict=True))

    def constant(self, layer: dict, zeros: list[int]) -> Array:
        return self.part(layer, "values")[None]

    def softmax(self, layer: dict, x: Array, zeros: list[int]) -> Array:
        table, y = self.part(layer, "table"), np.empty_like(x)
        groups = layer.get("groups", 1)
        size = x.shape[1] // groups
        masks = self.part(layer, "mask") if layer.get("mask", False) else np.ones((1, 1, 1, 1), np.int64)
        for first in range(0, x.shape[1], size):
            run = x[:, first : first + size]
            mask = masks[first // size // (groups // len(masks))]
            top = np.where(mask == 1, run, -1000).max(1, keepdims=True)
            e = mask * table[np.where(mask == 1, top - run, 0)]
            r = 2**40 // e.sum(1, keepdims=True)
            y[:, first : first + size] = self.out(self.rounded(e * r, layer.get("shift", 32)), layer, -128)
        return y

    def layer_norm(self, layer: dict, x: Array, zeros: list[int]) -> Array:
        u = (x - zeros[0]).reshape(len(x), layer.get("groups", 1), -1, x.shape[2] * x.shape[3])
        over = (2, 3) if layer.get("spatial", False) else 2
        n = u[0, 0].size if layer.get("spatial", False) else u.shape[2]
        e = max(0, ceil(log2(n)) - 15)
        t = 0 if layer.get("rms", False) else u.sum(over, keepdims=True)
        v = n * (u * u).sum(over, keepdims=True) - t * t
        root = np.array([isqrt(int(w)) for w in ((v + layer.get("epsilon", 1)) * 2 ** (16 - 2 * e)).flat])
        r = 2 ** (46 - e) // root.reshape(v.shape)
        n = self.rounded((n * u - t) * r, 26).reshape(x.shape)
        gain, bias = self.column(self.part(layer, "gain")), self.column(self.part(layer, "bias"))
        return self.out(self.rounded(n * gain + bias, layer["shift"]), layer)

    def scan(self, layer: dict, *operands: Array, zeros: list[int]) -> Array:
        x, delta, b, c = ((part - z)[..., 0] for part, z in zip(operands, zeros, strict=True))
        decay, table, skip = (self.part(layer, name) for name in ("decay", "table", "skip"))
        h, y = np.zeros((len(x), *decay.shape), np.int64), np.empty_like(x)
        tokens = range(x.shape[2])
        for token in reversed(tokens) if layer.get("reverse", False) else tokens:
            d, now = np.maximum(delta[:, :, token], 0)[..., None], x[:, :, token]
            i = np.minimum(self.rounded(d * decay, layer["decay_shift"]), 255)
            step = d * now[..., None] * b[:, None, :, token] * layer["step_multiplier"]
            h = self.rounded(h * table[i], 16) + self.rounded(step, layer["step_shift"])
            h = np.clip(h, -(2**31 - 1), 2**31 - 1)
            y[:, :, token] = self.scaled(layer, (h * c[:, None, :, token]).sum(2) + now * skip)
        return y[..., None]
