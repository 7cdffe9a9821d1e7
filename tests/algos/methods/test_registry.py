"""What holds for every method, and that a new one is a file and a line."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterator
from dataclasses import fields, replace
from pathlib import Path

import pytest
import torch

import codeword
from algos import checkpoint, reference, zoo
from algos.body import layers_to_compress
from algos.methods import mvq, registry, ssvq, vim_vq, vq
from algos.methods.method import Data
from algos.methods.registry import METHODS
from algos.training import silent
from algos.weights.codebook import attached
from codeword import cli
from sim import artifact
from sim.errors import InputError
from sim.network import CodebookWeight
from tests.algos.small_models import images, resnet8

THROWAWAY = """
from dataclasses import dataclass

import torch

from algos.methods.method import Method, described
from algos.methods.prepared import LayerReport
from algos.weights.bits import bits
from algos.weights.codebook import Codebook, MaskedWeight, attach


@dataclass(frozen=True)
class SampleConfig:
    k: int = described("sub-vectors of a layer that become its codewords", 8)
    d: int = described("codeword length", 8)
    last: bool = described("the last ones instead of the first", False)


def encode(task):
    reports = {}
    for name, target in task.plan.targets.items():
        vectors = target.vectors()
        codewords = vectors[-target.k:] if task.config.last else vectors[:target.k]
        nearest = torch.cdist(vectors, codewords).argmin(1)
        error = float((vectors - codewords[nearest]).square().sum())
        attach(target.layer, MaskedWeight(Codebook(codewords), nearest, torch.ones_like(vectors), target.shape, (0, 0)))
        reports[name] = LayerReport(error, error, target.bits)
    return task.prepared(reports)


def storage(config, targets):
    return [bits(target.subvectors, target.k, target.d) for target in targets]


METHOD = Method("sample", "codewords are sub-vectors", SampleConfig(), encode, storage)
"""


@pytest.fixture
def sample(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A method as one adds it: this file, and its line in the registry."""
    (tmp_path / "throwaway_sample.py").write_text(THROWAWAY)
    monkeypatch.syspath_prepend(tmp_path)
    method = importlib.import_module("throwaway_sample").METHOD
    monkeypatch.setitem(METHODS, method.name, method)
    yield method.name
    del sys.modules["throwaway_sample"]


@pytest.fixture
def model(tmp_path: Path) -> Path:
    path = tmp_path / "tiny.safetensors"
    checkpoint.save(resnet8(8), path)
    return path


def test_a_new_method_is_a_file_and_a_line(
    sample: str, model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same network from the API and from the command, which has its options."""
    out = tmp_path / "out.safetensors"
    words = ["codeword", "compress", str(model), "--method", sample, "-k", "4", "-o", str(out)]
    monkeypatch.setattr(sys, "argv", words)
    with pytest.raises(SystemExit) as stop:
        cli.main()
    assert not stop.value.code
    one, two = artifact.load(out), codeword.compress(str(model), method=sample, k=4)
    other = codeword.compress(str(model), method=sample, k=4, last=True)
    pixels = images(8).pixels
    assert torch.equal(reference.logits(one, pixels), reference.logits(two, pixels))
    assert not torch.equal(reference.logits(two, pixels), reference.logits(other, pixels))
    monkeypatch.setattr(sys, "argv", [*words, "--alpha", "8"])
    with pytest.raises(SystemExit) as stop:
        cli.main()
    assert stop.value.code == 2


def test_names_and_words() -> None:
    assert list(METHODS)[:5] == ["vq", "mvq", "ssvq", "vq4all", "vim-vq"]
    for name, method in METHODS.items():
        assert method.name == name
        assert method.configured(None, {}) == method.defaults
        silent_fields = {one.name for one in fields(method.defaults) if "help" not in one.metadata}
        assert silent_fields == ({"freezing"} if name == "ssvq" else set())
    with pytest.raises(InputError, match=r"method = 'mvk': unknown\. Fix: use 'mvq'"):
        registry.named("mvk")


def test_configurations() -> None:
    method = METHODS["mvq"]
    assert method.configured(None, {"k": 8, "pattern": (2, 16)}) == mvq.MvqConfig(k=8, pattern=(2, 16))
    assert method.configured(mvq.MvqConfig(k=8), {"d": 32}) == mvq.MvqConfig(k=8, d=32)
    with pytest.raises(InputError, match=r"alpha = 2: is no option of mvq\. Fix: choose among .*pattern"):
        method.configured(None, {"alpha": 2})
    with pytest.raises(InputError, match=r"config = 'SsvqConfig': is not of mvq\. Fix: give a MvqConfig"):
        method.configured(ssvq.SsvqConfig(), {})
    with pytest.raises(InputError, match=r"start = 'far'.*uniform"):
        METHODS["vim-vq"].configured(None, {"start": "far"})
    with pytest.raises(InputError, match="epochs = -1"):
        method.configured(None, {"epochs": -1})
    with pytest.raises(InputError, match="batch = 0"):
        method.configured(None, {"batch": 0})


def test_plain_vq_is_case_a_of_mvq() -> None:
    """Codebooks and assignments of both, before fine-tuning."""
    one, two = resnet8(), resnet8()
    nothing = Data(images(1), images(1))
    vq.METHOD.apply(one, nothing, vq.VqConfig(k=16, d=8, epochs=0), None, silent)
    mvq.cluster(two, mvq.MvqConfig(k=16, d=8, case="A", pattern=(4, 16)))
    for name, layer in one.body().items():
        a, b = attached(layer), attached(two.body()[name])
        assert a is not None
        assert b is not None
        assert torch.equal(a.assignments, b.assignments)
        assert torch.equal(a.codebook.codewords, b.codebook.codewords)


@pytest.mark.parametrize("count", [mvq.FEW - 1, mvq.FEW])
@pytest.mark.parametrize("name", ["vq", "mvq"])
def test_the_rate_of_mvq_follows_the_number_of_images(name: str, count: int) -> None:
    method = METHODS[name]
    assert method.recipe is not None
    found = method.recipe(method.configured(None, {"k": 4, "epochs": 3, "seed": 7}), count)
    assert (found.epochs, found.seed) == (3, 7)
    assert found.rate == (3e-4 if count < mvq.FEW else 2e-3)
    assert method.recipe(method.configured(None, {"rate": 0.5}), count).rate == 0.5


@pytest.mark.parametrize("method", [vim_vq.METHOD, *vim_vq.RELATIVES], ids=lambda method: method.name)
def test_relatives_of_vim_vq(method) -> None:
    """Each compresses what ViM-VQ does, and nothing else."""
    assert METHODS[method.name] is method
    config = replace(method.defaults, k=8, d=8, steps=2, batch=4)
    net = method.compress(zoo.load("deit-fashion"), Data(images(8), images(8)), config)
    assert net.name == method.name
    weight = net["block0.fc1"].weight
    assert isinstance(weight, CodebookWeight)
    assert weight.codebook.shape == (8, 8)
    with pytest.raises(InputError, match=f"method = '{method.name}': compresses Vim and DeiT, not ResNet"):
        method.compress(resnet8(), Data(images(8), images(8)), config)


def test_a_model_is_compressed_once() -> None:
    model = resnet8()
    ssvq.METHOD.apply(model, Data(images(1), images(1)), ssvq.SsvqConfig(epochs=0), None, silent)
    with pytest.raises(InputError, match="already"):
        layers_to_compress(model)
