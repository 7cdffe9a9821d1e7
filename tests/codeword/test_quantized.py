"""Quantized ONNX files on the command line."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from tests.codeword.conftest import Command
from tests.codeword.test_bad_input import assert_refused
from tests.sim.importers.quantized.definition import Model
from tests.sim.importers.quantized.test_lower import conv, image


@pytest.fixture
def quantized(tmp_path: Path) -> tuple[Path, Model, str]:
    """Two convolutions of eight channels, an addition and a mean."""
    model, x = image(8)
    y = model.quantize(model.node("Relu", [conv(model, x, (8, 8, 3, 3), 0.031, pads=[1] * 4)]), 0.02, -128)
    z = model.quantize(model.node("Add", [y, x]), 0.04, 1)
    out = model.quantize(model.node("GlobalAveragePool", [z]), 0.02)
    return model.save(tmp_path / "net.onnx", out), model, out


def test_estimate_simulate_and_what_is_said(
    codeword: Command, quantized: tuple[Path, Model, str], tmp_path: Path
) -> None:
    path, model, out = quantized
    result = codeword("estimate", path, "-a", "ews-4", "--json")
    assert json.loads(result.out)["macs"] == 8 * 8 * 9 * 12 * 12
    assert "net: 3 layers with integers of the file" in result.err
    given = np.random.default_rng(0).normal(size=(1, 8, 12, 12)).astype(np.float32)
    np.save(tmp_path / "x.npy", given)
    result = codeword(
        "simulate", path, "-a", "ews-4", "--input", tmp_path / "x.npy", "-o", tmp_path / "y.npy", "--json"
    )
    assert json.loads(result.out)["bit_exact"]
    integers = np.load(tmp_path / "y.npy").reshape(-1)
    assert np.abs(integers * np.float32(0.02) - model.run(given)[out].reshape(-1)).max() <= 0.021


def test_integers_that_are_no_layers(codeword: Command, tmp_path: Path) -> None:
    model, x = image(8)
    total = model.node("Add", [conv(model, x, (8, 8, 1, 1), 0.031), x])
    path = model.save(tmp_path / "net.onnx", model.quantize(total, 0.1))
    assert_refused(codeword("simulate", path, "-a", "ews-4"), "node add", "quantize the output of conv")
    result = codeword("estimate", path, "-a", "ews-4", "--json")
    assert result.status == 0
    assert "shapes alone, since its integers are no layers" in result.err


def test_a_float_network_has_no_integers(codeword: Command, tmp_path: Path) -> None:
    model = Model([1, 8, 4, 4])
    y = model.node("Conv", ["x", model.constant(np.ones((4, 8, 1, 1)))])
    path = model.save(tmp_path / "net.onnx", y)
    assert_refused(codeword("simulate", path, "-a", "ews-4"), "a float network", "quantize it")
    assert codeword("estimate", path, "-a", "ews-4").status == 0


@pytest.mark.slow
def test_a_layer_on_the_verilog(codeword: Command, quantized: tuple[Path, Model, str]) -> None:
    path, _, _ = quantized
    result = codeword("verify", "-a", "ews-4", "--network", path, "--json")
    assert result.status == 0
    assert json.loads(result.out)["mismatches"] == 0
