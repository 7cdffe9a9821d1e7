"""docs/network.md: an executor written from the page alone computes what the functional model computes."""

from __future__ import annotations

import doctest
import json
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydantic_core import PydanticUndefined

from algos import zoo
from algos.frontend.export import export
from sim import artifact, formats, synthetic
from sim.artifact import header
from sim.network import (
    KINDS,
    Add,
    AveragePool,
    Concat,
    Conv,
    LayerNorm,
    MatMul,
    Multiply,
    Network,
    Pool,
    Requantization,
    Scan,
    Softmax,
    run,
)
from tests.docs.network_executor import Executor, Weights
from tests.sim.network.kinds import every_layer
from tests.sim.network.networks import random_images

PAGE = Path("docs/network.md")


def differing(network: Network, images: np.ndarray, executor: Executor) -> list[str]:
    """Tensors of a network that an executor computes otherwise, or in another shape."""
    expected, found = run(network, images), executor.run(images)
    assert list(found) == list(expected)
    return [name for name, tensor in found.items() if not np.array_equal(tensor, expected[name])]


def saved(network: Network, folder: Path) -> Path:
    artifact.save(network, folder / "network.safetensors")
    return folder / "network.safetensors"


def with_ties(network: Network) -> Network:
    """The same graph with factors that are powers of two: many values lie halfway between two integers."""
    return replace(network, layers=tuple(_with_ties(network, layer) for layer in network.layers))


def _with_ties(network: Network, layer: Any) -> Any:
    match layer:
        case Conv(requantization=None):
            return layer
        case Conv(requantization=q):
            shift = np.maximum(q.shift, 16) - np.uint8(15)
            return replace(
                layer, requantization=replace(q, multiplier=np.ones_like(q.multiplier), shift=shift)
            )
        case Softmax():  # of one largest value in a run the others are 1/512
            others = network.maps[layer.name][0] // layer.groups - 1
            return replace(layer, table=np.array([512 - others] + 255 * [1], np.uint16), shift=32, mask=None)
        case LayerNorm():
            return replace(layer, gain=np.full_like(layer.gain, 64), bias=0 * layer.bias, shift=10)
        case Scan():
            steps = {"step_multiplier": 1, "step_shift": 12, "skip": layer.skip >> 13}
            return replace(layer, **steps, multiplier=1, shift=4)
        case Add() | Concat():
            return replace(layer, multipliers=(1,) * len(layer.multipliers), shift=max(layer.shift - 15, 1))
        case AveragePool() | MatMul() | Multiply() | Pool():
            return replace(layer, multiplier=1, shift=max(layer.shift - 15, 1))
    return layer


def test_examples_of_the_page() -> None:
    found = doctest.testfile(str(PAGE.resolve()), module_relative=False)
    assert found.attempted > 10
    assert not found.failed


@pytest.mark.parametrize("change", [lambda network: network, with_ties])
@pytest.mark.parametrize("seed", range(6))
def test_every_kind_of_layer(seed: int, change: Callable[[Network], Network], tmp_path: Path) -> None:
    network = change(every_layer(seed, universal=seed % 2 == 1))
    kinds = {layer["kind"] for layer in Executor(saved(network, tmp_path)).header["layers"]}
    assert kinds == KINDS.keys()
    assert not differing(network, random_images(network, seed), Executor(saved(network, tmp_path)))


@pytest.mark.parametrize("weight", formats.FORMATS)
def test_every_weight_format(weight: str, tmp_path: Path) -> None:
    network = synthetic.synthetic("resnet20", weight, k=64, keep=4, group=8, size=8)
    executor = Executor(saved(network, tmp_path))
    formats = {layer["weight"]["format"] for layer in executor.header["layers"] if layer["kind"] == "conv"}
    known = {"vq": "codebook", "mvq": "codebook", "ssvq": "codebook", "rom": "codebook"}
    assert formats == {"dense", known.get(weight, weight)}
    assert not differing(network, random_images(network, 1), executor)


def test_the_shipped_resnet() -> None:
    executor = Executor(zoo.FOLDER / "network.safetensors")
    pixels = zoo.load_images()[1].pixels[:2].numpy()
    images = executor.quantize(pixels / 255)
    np.testing.assert_array_equal(images, pixels.astype(np.int64) - 128)
    assert not differing(zoo.load_network(), images.astype(np.int8), executor)


@pytest.mark.parametrize("load", [zoo.load_vim, zoo.load_deit])
def test_the_shipped_token_networks(load: Callable, tmp_path: Path) -> None:
    training, test = zoo.load_images()
    network = export(load(), training.first(8), name="tokens")
    executor = Executor(saved(network, tmp_path))
    images = executor.quantize(test.pixels[:1].numpy() / 255).astype(np.int8)
    assert not differing(network, images, executor)


def test_real_inputs_round_to_even(tmp_path: Path) -> None:
    network = every_layer(0)
    real = np.arange(-400, 400).reshape(20, 40) * network.input.scale / 2
    assert (Executor(saved(network, tmp_path)).quantize(real) == network.input.quantize(real)).all()


ROUNDED = ("grouped", "average", "both", "squeeze", "scaled", "join", "standard", "scores", "weights", "scan")
"""A layer of each kind that rounds."""


class RoundedHalvesDown(Executor):
    def rounded(self, v, s):
        return -super().rounded(-v, s)


class PaddedWithZero(Executor):
    def fill(self, zero_point):
        return 0


class TokensBesideChannels(Executor):
    def reshape(self, layer, x, zeros):
        return super().reshape(layer, np.moveaxis(x, 1, 3), zeros)


class GroupsInterleaved(Executor):
    def softmax(self, layer, x, zeros):
        order = np.arange(x.shape[1]).reshape(-1, layer["groups"]).T.ravel()
        y = np.empty_like(x)
        y[:, order] = super().softmax(layer, x[:, order], zeros)
        return y


class TableFromZero(Executor):
    def table(self, layer, x, zeros):
        return self.part(layer, "table")[x % 256]


class HighBitsFirst(Weights):
    def bit(self, word, place):
        return super().bit(word, 3 - place)  # codewords and masks of `every_layer` have 4 elements


class SignsHighBitFirst(Weights):
    def signs(self, words, d):
        return super().signs(words, d)[..., ::-1]


class MasksDescending(Weights):
    def masks(self, codes, keep, group):
        return 1 - super().masks(codes, group - keep, group)


class ElementsApart(Weights):
    """Element j of codeword o is output channel j K/d + o."""

    def decode(self, name, fields):
        weight = super().decode(name, fields)
        if fields["format"] == "dense":
            return weight
        d = self.codebook(fields).shape[1]
        return weight.reshape(-1, d, *weight.shape[1:]).swapaxes(0, 1).reshape(weight.shape)


@pytest.mark.parametrize(
    ("executor", "weights", "layer"),
    [
        *((RoundedHalvesDown, Weights, layer) for layer in ROUNDED),
        (PaddedWithZero, Weights, "stem"),
        (TokensBesideChannels, Weights, "tokens"),
        (GroupsInterleaved, Weights, "weights"),
        (TableFromZero, Weights, "excite"),
        (Executor, HighBitsFirst, "k"),
        (Executor, SignsHighBitFirst, "grouped"),
        (Executor, MasksDescending, "k"),
        (Executor, ElementsApart, "k"),
    ],
)
def test_a_rule_read_otherwise_shows(executor, weights, layer: str, tmp_path: Path) -> None:
    """In one of a few networks the layer differs, from operands that are right."""

    def differs(seed: int) -> bool:
        network = with_ties(every_layer(seed))
        values = run(network, random_images(network, seed))
        broken = executor(saved(network, tmp_path), weights)
        (fields,) = (fields for fields in broken.header["layers"] if fields["name"] == layer)
        return not np.array_equal(broken.run_layer(fields, values), values[layer])

    assert any(map(differs, range(6)))


FIELDS = re.compile(r"^\*\*(\w+)(, with output)?\*\*(.*)$", re.MULTILINE)
HEADERS = {
    "Header": header.NetworkHeader,
    "Step": header.StepHeader,
    "Input": header.InputHeader,
    "Dense": header.DenseHeader,
    "Codebook": header.CodebookHeader,
    "Other": header.FormatHeader,
    "Requantization": header.header(Requantization),
}
HEADING = "kind", "name", "input", "inputs"
"""Fields that section 5 says once for all layers."""


def fields_of_the_page() -> dict[str, dict[str, str | None]]:
    """Defaults as JSON text, None where a field must be there, by header or kind and by field."""
    found, kind = {}, ""
    for line in PAGE.read_text().splitlines():
        if line.startswith("### "):
            kind = re.split(r"[ :]", line)[1]
        match = FIELDS.match(line)
        if match and match[1] != "Tensors":
            output = {"zero_point": "0", "low": "-128", "high": "127"} if match[2] else {}
            given = re.findall(r"`(\w+)` [^;=]*(?:= ([^;]+))?", match[3])
            fields = {name: default or None for name, default in given}
            found[kind if match[1] == "Fields" else match[1]] = output | fields
    return found


def test_fields_and_defaults_are_those_of_the_header() -> None:
    models = HEADERS | {name: header.header(kind) for name, kind in KINDS.items()}
    page = fields_of_the_page()
    assert page.keys() == models.keys()
    for name, model in models.items():
        expected = {
            field: None if info.default is PydanticUndefined and not info.default_factory else info
            for field, info in model.model_fields.items()
            if name in HEADERS or field not in HEADING
        }
        assert page[name].keys() == expected.keys(), name
        for field, info in expected.items():
            if field in ("format", "schema_version"):  # must be there, though it has a single value
                continue
            default = None if info is None else json.dumps(info.get_default(call_default_factory=True))
            assert page[name][field] == default, (name, field)
