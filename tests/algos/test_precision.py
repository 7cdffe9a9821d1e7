"""The precision of a training: chosen by the processor, kept by a checkpoint."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from algos import precision
from algos.methods.method import Data
from algos.methods.registry import METHODS
from algos.models.resnet import ResNet
from algos.precision import bfloat16_is_fast, computing, resolved
from algos.training import Recipe, computed_in, fit, silent
from sim.errors import InputError
from tests.algos.small_models import images

RECIPE = Recipe(epochs=2, rate=0.05, batch=16)
ASKED = "from algos.precision import resolved; print(resolved('auto'))"


class Interrupted(Exception):
    pass


def net() -> ResNet:
    torch.manual_seed(0)
    return ResNet(8, 4)


@pytest.mark.parametrize(
    "switches", [{"ATEN_CPU_CAPABILITY": "avx2"}, {"DNNL_MAX_CPU_ISA": "AVX2"}], ids=["aten", "onednn"]
)
def test_a_processor_without_avx512_trains_in_float32(switches: dict[str, str]) -> None:
    found = subprocess.run(
        [sys.executable, "-c", ASKED], env=os.environ | switches, capture_output=True, text=True, check=True
    )
    assert found.stdout.strip() == "float32"


@pytest.mark.parametrize("amx", [False, True])
@pytest.mark.parametrize("avx512_bf16", [False, True])
@pytest.mark.parametrize("capability", ["AVX2", "AVX512"])
def test_auto_is_bfloat16_where_the_processor_multiplies_it(
    monkeypatch: pytest.MonkeyPatch, avx512_bf16: bool, amx: bool, capability: str
) -> None:
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: avx512_bf16)
    monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda: amx)
    monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: capability)
    onednn = torch.ops.mkldnn._is_mkldnn_bf16_supported()
    assert bfloat16_is_fast() == ((avx512_bf16 or amx) and capability == "AVX512" and onednn)


def test_what_is_asked_for_is_computed() -> None:
    assert [resolved("float32"), resolved("bfloat16")] == ["float32", "bfloat16"]
    x = torch.ones(2, 2)
    with computing("float32"):
        assert (x @ x).dtype == torch.float32
    with computing("bfloat16"):
        assert (x @ x).dtype == torch.bfloat16


def test_an_unknown_precision() -> None:
    with pytest.raises(InputError, match=r"precision = 'bfloat': unknown\. Fix: use 'bfloat16'"):
        fit(net(), images(32), replace(RECIPE, precision="bfloat"))  # type: ignore[arg-type]


@pytest.mark.parametrize("asked", ["float32", "bfloat16"])
def test_a_training_computes_in_its_precision_and_says_so(tmp_path: Path, asked: precision.Precision) -> None:
    model, seen = net(), set()
    model.fc.register_forward_hook(lambda module, inputs, output: seen.add(output.dtype))
    fit(model, images(32), replace(RECIPE, epochs=1, precision=asked), tmp_path / "run.pt")
    assert seen == {getattr(torch, asked)}
    assert computed_in(tmp_path / "run.pt") == asked


@pytest.mark.parametrize("first", [False, True])
def test_a_training_goes_on_in_its_precision_on_another_processor(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, first: bool
) -> None:
    steps, path = 0, tmp_path / "run.pt"

    def interrupt() -> None:
        nonlocal steps
        steps += 1
        if steps == 3:  # within the second epoch
            raise Interrupted

    monkeypatch.setattr(precision, "bfloat16_is_fast", lambda: first)
    whole = fit(net(), images(32), RECIPE)
    with pytest.raises(Interrupted):
        fit(net(), images(32), RECIPE, path, after_step=interrupt)
    monkeypatch.setattr(precision, "bfloat16_is_fast", lambda: not first)
    resumed = fit(net(), images(32), RECIPE, path)
    assert torch.equal(resumed.fc.weight, whole.fc.weight)
    assert computed_in(path) == ("bfloat16" if first else "float32")


@pytest.mark.parametrize("asked", ["float32", "bfloat16"])
@pytest.mark.parametrize("name", ["vq", "mvq", "ssvq", "vq4all", "aqlm"])
def test_every_method_that_trains_takes_it_from_its_configuration(
    tmp_path: Path, name: str, asked: precision.Precision
) -> None:
    torch.manual_seed(0)
    model, method, data = ResNet(8, 16), METHODS[name], images(16)
    small = {"k": 16, "candidates": 4} if name == "vq4all" else {"k": 16}
    config = method.configured(None, {**small, "epochs": 1, "batch": 16, "precision": asked})
    seen = set()

    def see(module: nn.Module, inputs: object, output: Tensor) -> None:
        if module.training:
            seen.add(output.dtype)

    model.fc.register_forward_hook(see)
    method.apply(model, Data(data, data), config, tmp_path / "run.pt", silent)
    assert seen == {getattr(torch, asked)}
    assert computed_in(tmp_path / "run.pt") == asked


def test_the_methods_with_a_precision() -> None:
    """Those that the test above runs."""
    trained = {name for name, method in METHODS.items() if hasattr(method.defaults, "precision")}
    assert trained == {"vq", "mvq", "ssvq", "vq4all", "aqlm"}
