"""Operands of real layers: what a tile, the loader, the PRF and the storer see of ResNet-20."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from safetensors.numpy import load_file

from rtl.power.evaluator import LANES
from sim import artifact
from sim.accelerator import Accelerator
from sim.network import CodebookWeight, Conv, Network
from sim.systolic.engine import simulate
from sim.systolic.plan import plan
from sim.systolic.program import chunk_table, lower, token_ifmap
from sim.systolic.schedule import Schedule
from sim.systolic.streams import network_formats

NETWORK = "resnet20-fashion"
_FOLDER = Path(__file__).parents[2] / "algos" / "zoo" / "resnet20_fashion"
_IMAGES = 4


@dataclass(frozen=True, eq=False)
class Sample:
    """Tokens of one chunk of a layer, in an own place of the layer for each pattern.

    Attributes:
        weights: int8 [entries, patterns, H, L], what the array holds, INT8.
        records: codeword index and mask code by array row, [rows in load order, patterns]; None without.
        codebook: int8 [k, d] of those.
        activations: int8 [tokens, patterns, H].
        entry: WRF entry of each token.
        groups: A, so that PRF word and output channel of a token are `entry mod A`.
        channels: output channel [A, patterns, L] of a column, -1 where it has none.
        layer: for its requantization.
    """

    layer: Conv
    weights: np.ndarray
    activations: np.ndarray
    entry: np.ndarray
    groups: int
    channels: np.ndarray
    records: tuple[np.ndarray, np.ndarray] | None
    codebook: np.ndarray | None

    @property
    def sums(self) -> np.ndarray:
        """int [tokens, patterns, H + 1, L]: the psum above each row, and below the last."""
        products = self.activations[..., None].astype(np.int64) * self.weights[self.entry]
        below = np.cumsum(products, 2)
        return np.concatenate([np.zeros_like(below[:, :, :1]), below], 2)


def sample_images(count: int) -> tuple[Network, np.ndarray]:
    """The shipped network, and int8 test images of it."""
    network: Network = artifact.load(_FOLDER / "network.safetensors")
    with np.load(_FOLDER / "images.npz") as file:
        return network, network.input.quantize(file["test_pixels"][:count] / 255.0)


class Layers:
    """The compressed convolutions of the shipped network, with their tensors for a few test images."""

    def __init__(self, machine: Accelerator) -> None:
        self.machine = machine
        self.network, images = sample_images(_IMAGES)
        plans = plan(self.network.shapes, network_formats(self.network, machine), machine)
        self.tensors = simulate(self.network, machine, images, compare=False, plans=plans).tensors
        schedules = {
            shape.name: how
            for shape, how in zip(self.network.shapes, plans, strict=True)
            if isinstance(how, Schedule)
        }
        self.layers = {
            layer.name: (layer, schedules[layer.name])
            for layer in self.network.layers
            if isinstance(layer, Conv) and isinstance(layer.weight, CodebookWeight)
        }
        trained = load_file(_FOLDER / "float.safetensors")
        self._float = {name: _quantized(trained[_float_name(name)]) for name in self.layers}

    def samples(self, name: str, count: int, tokens: int, *, dense: bool = False) -> Iterator[Sample]:
        """`dense`: with the weights before pruning, each layer scaled to INT8."""
        layer, schedule = self.layers[name]
        program = lower(layer, schedule)
        ifmap = token_ifmap(self.tensors[layer.input], layer, program, self.network.zero_point(layer.input))
        chunks, _ = chunk_table(schedule)
        values = self._float[name] if dense else layer.weight.decode()
        rng = np.random.default_rng([ord(letter) for letter in name])
        for _ in range(count):
            yield self._sample(layer, chunks[rng.integers(len(chunks))], values, ifmap, tokens, rng)

    def _sample(
        self,
        layer: Conv,
        chunk: np.void,
        values: np.ndarray,
        ifmap: np.ndarray,
        tokens: int,
        rng: np.random.Generator,
    ) -> Sample:
        rows, columns = self.machine.rows, self.machine.columns
        outputs, inputs, _, kernel_x = values.shape
        A, B, D = int(chunk["A"]), int(chunk["B"]), int(chunk["D"])
        entries = A * B * D
        q, r, s = np.unravel_index(np.arange(entries), (D, B, A))
        # Every pattern moves to another group of output channels.
        steps = -(-outputs // columns)
        shift = rng.integers(steps, size=LANES)
        output = (chunk["output"] // columns + s[:, None] + shift) % steps * columns
        output = output[..., None] + np.arange(columns)
        channel = chunk["channel"] + r[:, None] * rows + np.arange(rows)
        ky, kx = np.divmod(chunk["position"] + q, kernel_x)
        there = (output < outputs)[:, :, None] & (channel < inputs)[:, None, :, None]
        known = np.minimum(channel, inputs - 1)
        place = (
            np.minimum(output, outputs - 1)[:, :, None],
            known[:, None, :, None],
            ky[:, None, None, None],
            kx[:, None, None, None],
        )
        weights = np.where(there, values[place], 0)
        records = None
        if isinstance(layer.weight, CodebookWeight) and columns == layer.weight.d:
            assert layer.weight.mask_codes is not None
            first = place[0][..., 0] // layer.weight.d
            where = (first, place[1][..., 0], place[2][..., 0], place[3][..., 0])
            records = tuple(
                array[where].transpose(0, 2, 1).reshape(-1, LANES)
                for array in (layer.weight.assignments, layer.weight.mask_codes[..., 0])
            )
        pixels = max(1, min(int(chunk["pixels"]), -(-tokens // entries)))
        start = rng.integers(chunk["pixels"] - pixels + 1, size=LANES)
        y, x = np.divmod(start + np.arange(pixels)[:, None], chunk["width"])
        line = (chunk["tile"] + y)[:, None] * layer.stride[0] + ky[:, None]
        pixel = x[:, None] * layer.stride[1] + kx[:, None]
        image = rng.integers(len(ifmap), size=LANES)
        found = ifmap[image[None, None, :, None], known[None, :, None], line[..., None], pixel[..., None]]
        found = np.where((channel < inputs)[None, :, None], found, 0)
        return Sample(
            layer,
            weights,
            found.reshape(-1, LANES, rows),
            np.tile(np.arange(entries), pixels),
            A,
            np.where(output < outputs, output, -1)[:A],
            records,
            layer.weight.codebook if isinstance(layer.weight, CodebookWeight) else None,
        )


def _float_name(layer: str) -> str:
    block, part = layer.split(".")
    return f"blocks.{block.removeprefix('block')}.{part}{'.0' if part == 'shortcut' else ''}.weight"


def _quantized(values: np.ndarray) -> np.ndarray:
    return np.rint(values * (127 / np.abs(values).max())).astype(np.int8)


def zero_rate(values: np.ndarray) -> float:
    return float((values == 0).mean())


def toggle_rate(values: np.ndarray, width: int) -> float:
    """Share of the bits of [tokens, ...] that change from one token to the next."""
    values = values.astype(np.int64) & (1 << width) - 1
    changed = values[1:] ^ values[:-1]
    return float(np.mean(changed[..., None] >> np.arange(width) & 1))
