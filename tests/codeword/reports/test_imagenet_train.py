"""The agreement of compressed networks with the float one, in miniature."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
import torch

from algos.methods import mvq, ssvq, vq
from algos.methods.mvq import MvqConfig
from algos.methods.ssvq import SsvqConfig
from algos.methods.vq import VqConfig
from codeword.reports.imagenet import train
from codeword.reports.imagenet.train import Bench, rows, sqnr
from sim import artifact
from tests.algos.models.test_inverted_residual import small


@pytest.fixture(scope="module")
def bench() -> Bench:
    model = small()
    inputs = torch.randn(6, 3, 32, 32, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        logits = model(inputs)
    labels = logits.argmax(1)
    labels[0] = (labels[0] + 1) % 1000
    return Bench("small", model, inputs, labels, logits)


def test_signal_to_noise_ratio() -> None:
    """What is orthogonal to the signal is noise, whatever the factor: 10 log10(1 / sin^2)."""
    signal, noise = np.array([3.0, 0, 4, 0]), np.array([0.0, 0.5, 0, 0])
    for factor in (1e-4, 1, 70):
        found = sqnr(torch.tensor(signal), torch.tensor(factor * (signal + noise)))
        cosine = signal @ (signal + noise) / np.linalg.norm(signal) / np.linalg.norm(signal + noise)
        assert found == pytest.approx(-10 * math.log10(1 - cosine**2))
    assert sqnr(torch.tensor(signal), torch.zeros(4)) == 0


def test_measures(bench: Bench) -> None:
    assert bench.measure(bench.logits)["agree"] == 6
    assert bench.measure(bench.logits)["right"] == 5
    turned = bench.logits.clone()
    turned[2] = -turned[2]
    assert bench.measure(turned)["agree"] == 5


def test_rows_and_networks(bench: Bench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        train,
        "RATES",
        {
            "vq": (vq.METHOD, (VqConfig(4, 4, epochs=0), VqConfig(64, 2, epochs=0))),
            "ssvq": (ssvq.METHOD, (SsvqConfig(k=16, d=4, epochs=0),)),
            "mvq 1:2": (mvq.METHOD, (MvqConfig(k=16, d=4, pattern=(1, 2), epochs=0),)),
        },
    )
    before = bench.model.blocks[1].expand[0].weight.clone()
    found = list(rows(bench, tmp_path))
    assert torch.equal(bench.model.blocks[1].expand[0].weight, before)
    assert [row["method"] for row in found] == ["INT8", "vq", "vq", "ssvq", "mvq 1:2"]
    whole, coarse, fine = (row["float_activations"]["sqnr_db"] for row in found[:3])
    assert whole > 100 > fine > coarse > 0  # INT8 with float activations is the float network
    assert found[0]["integers"]["sqnr_db"] > 15
    for row in found[1:]:
        with_signs_or_masks = {"vq": 0, "ssvq": 1, "mvq 1:2": 0.5}[row["method"]]
        assert row["bits_per_weight"] > math.log2(min(row["k"], 16)) / row["d"] + with_signs_or_masks
        coded = artifact.load(tmp_path / row["file"])["blocks.1.expand.0"].weight
        assert coded.codebook.shape == (min(row["k"], coded.assignments.size // 2), row["d"])
    monkeypatch.setattr(Bench, "row", None)
    assert list(rows(bench, tmp_path)) == found  # kept


def test_the_rates_are_equal() -> None:
    """Assignments with signs or masks: 2, 2.5 and 4 bits a weight for each method."""
    extra = {"vq": 0, "ssvq": 1, "mvq 1:2": 0.5}
    for method, (_, configs) in train.RATES.items():
        assert [math.log2(c.k) / c.d + extra[method] for c in configs] == [2, 2.5, 4]
