"""The queue of trainings: what it runs, and that it does not run twice."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from algos.methods import mvq, vim_vq, vq
from algos.methods.mvq import MvqConfig
from algos.methods.vim_vq import VimVqConfig
from algos.methods.vq import VqConfig
from codeword.reports.comparison import contenders, train
from codeword.reports.comparison.contenders import METHODS, Contender
from codeword.reports.comparison.train import SEVERAL_SEEDS, Queue
from sim import artifact
from sim.network import CodebookWeight
from tests.algos.small_models import images


@pytest.fixture
def queue(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Queue:
    """A few methods on two networks, one seed, a few small images."""
    monkeypatch.setattr(train, "TUNED", 64)
    monkeypatch.setattr(contenders, "CALIBRATION", 32)
    monkeypatch.setattr(contenders, "EPOCHS", 1)
    monkeypatch.setattr(train, "FLOAT", replace(train.FLOAT, epochs=1, batch=32))
    monkeypatch.setattr(
        train,
        "METHODS",
        {
            "resnet8": {"vq-1.5": Contender(vq.METHOD, VqConfig(k=4, d=8, batch=32))},
            "deit": {
                "mvq-1.5": Contender(mvq.METHOD, MvqConfig(k=4, batch=32)),
                "vim-vq-1.5": Contender(vim_vq.METHOD, VimVqConfig(k=4, d=8, axis="output", steps=2)),
            },
        },
    )
    monkeypatch.setattr(train, "SEEDS", (0,))
    monkeypatch.setattr(train, "SPARSE", {"deit": replace(train.SPARSE["deit"], batch=32)})
    return Queue(images(64), images(32, seed=1), tmp_path)


def test_results_networks_and_no_second_run(queue: Queue, monkeypatch: pytest.MonkeyPatch) -> None:
    queue.run()
    found = json.loads((queue.work / "resnet8-0-vq-1.5.json").read_text())
    network = artifact.load(queue.work / "resnet8-0-vq-1.5.safetensors")
    assert isinstance(network["block0.conv1"].weight, CodebookWeight)
    assert 0 <= found["accuracy_integer"] <= 1
    assert found["bits_per_weight"] == pytest.approx(32 / found["compression_ratio"])
    assert artifact.load(queue.work / "deit-0-mvq-1.5.safetensors")["block2.fc1"].weight.keep == 4
    assert artifact.load(queue.work / "deit-0-vim-vq-1.5.safetensors")["block0.v"].weight.format == "vq"

    def never(*arguments: object) -> None:
        raise AssertionError("ran again")

    monkeypatch.setattr(Queue, "_run", never)
    queue.run()
    (queue.work / "resnet8-0-float.json").unlink()
    with pytest.raises(AssertionError, match="ran again"):
        queue.run()


def test_one_seed_of_everything_comes_first(tmp_path: Path) -> None:
    found = list(Queue(images(1), images(1), tmp_path).runs())
    assert len(set(found)) == len(found)
    first = {(network, method) for network, methods in METHODS.items() for method in ("float", *methods)}
    assert set(found[: len(first)]) == {(network, 0, method) for network, method in first}
    assert {network for network, seed, _ in found if seed} == set(SEVERAL_SEEDS)
    assert [network for network, seed, method in found if seed and method == "float"] == ["resnet8"] * 2


def test_settings_take_about_the_bits_that_they_are_called_by() -> None:
    """Without codebooks, which depend on the network: never more than the name says."""
    for name, method in (pair for methods in METHODS.values() for pair in methods.items()):
        config = method.config
        index = (config.k - 1).bit_length() / config.d
        masks = 11 / 16 if name.startswith("mvq") else 0
        signs = name.startswith("ssvq")
        assert 0.5 < index + masks + signs <= float(name.split()[0].rsplit("-", 1)[1])
