"""The queue of trainings: what it runs, and that it does not run twice."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from algos import comparison
from algos.comparison import METHODS, Queue
from algos.mvq import MvqConfig
from sim import artifact
from sim.network import CodebookWeight
from tests.algos.models import images


@pytest.fixture
def queue(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Queue:
    """Two methods, one seed, a few small images."""
    monkeypatch.setattr(comparison, "SEEDS", (0,))
    monkeypatch.setattr(comparison, "FINAL", ())
    monkeypatch.setattr(comparison, "TUNED", 64)
    monkeypatch.setattr(comparison, "CALIBRATION", 32)
    monkeypatch.setattr(comparison, "EPOCHS", 1)
    monkeypatch.setattr(comparison, "FLOAT", replace(comparison.FLOAT, epochs=1, batch=32))
    monkeypatch.setattr(comparison, "METHODS", {"vq-1.5": comparison.Masked(MvqConfig(k=4, d=8, case="A"))})
    monkeypatch.setattr(comparison.mvq, "FINE_TUNING", replace(comparison.mvq.FINE_TUNING, batch=32))
    monkeypatch.setattr(Queue, "runs", lambda self: (
        (n, s, m) for n, s, m in (("resnet8", 0, "float"), ("resnet8", 0, "vq-1.5"))))
    return Queue(images(64), images(32, seed=1), tmp_path)


def test_results_networks_and_no_second_run(queue: Queue, monkeypatch: pytest.MonkeyPatch) -> None:
    queue.run()
    found = json.loads((queue.work / "resnet8-0-vq-1.5.json").read_text())
    network = artifact.load(queue.work / "resnet8-0-vq-1.5.safetensors")
    assert isinstance(network["block0.conv1"].weight, CodebookWeight)
    assert 0 <= found["accuracy_integer"] <= 1
    assert found["bits_per_weight"] == pytest.approx(32 / found["compression_ratio"])

    def never(*arguments: object) -> None:
        raise AssertionError("ran again")

    monkeypatch.setattr(Queue, "_run", never)
    queue.run()
    (queue.work / "resnet8-0-float.json").unlink()
    with pytest.raises(AssertionError, match="ran again"):
        queue.run()


def test_settings_take_about_the_bits_that_they_are_called_by() -> None:
    """Without codebooks, which depend on the network: never more than the name says."""
    for name, method in METHODS.items():
        config = method.config
        index = (config.k - 1).bit_length() / config.d
        masks = 11 / 16 if name.startswith("mvq") else 0
        signs = name.startswith("ssvq")
        assert 0.5 < index + masks + signs <= float(name.split()[0].rsplit("-", 1)[1])
