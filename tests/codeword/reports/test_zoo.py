"""The report on modules of others: its rules and its page, without any of their packages."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from algos.frontend.export import quantize
from algos.frontend.operators import OPERATORS
from algos.frontend.record import record
from codeword.reports.registry import REPORTS, Task
from codeword.reports.zoo import excerpts, hardware, measure, modules, one, origin, settings, synthetic, text
from sim import network as functional
from sim.network import Network


class Block(nn.Module):
    """Two residual blocks, the first with a projection beside its branch, and a pool."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.stem_norm = nn.Conv2d(3, 4, 3, padding=1, bias=False), nn.BatchNorm2d(4)
        self.conv, self.norm = nn.Conv2d(4, 8, 3, padding=1, bias=False), nn.BatchNorm2d(8)
        self.beside, self.beside_norm = nn.Conv2d(4, 8, 1, bias=False), nn.BatchNorm2d(8)
        self.last, self.last_norm = nn.Conv2d(8, 8, 3, padding=1, bias=False), nn.BatchNorm2d(8)
        self.classes = nn.Linear(8, 5)
        self.token = nn.Parameter(torch.zeros(1, 8, 1, 1))

    def forward(self, x: Tensor) -> Tensor:
        x = torch.relu(self.stem_norm(self.stem(x)))
        x = torch.relu(self.norm(self.conv(x)) + self.beside_norm(self.beside(x)))
        x = torch.relu(x + self.last_norm(self.last(x)))  # the branch is the second operand
        return self.classes((x + self.token).mean((2, 3)))


@pytest.fixture(scope="module")
def settled() -> tuple[Block, list[Tensor]]:
    torch.manual_seed(0)
    module, batches = Block(), synthetic.samples((3, 8, 8))
    synthetic.settle(module, batches)
    return module, batches


def test_branches_end_in_small_gains_and_statistics_are_measured(settled: tuple[Block, list[Tensor]]) -> None:
    module, batches = settled
    ends = synthetic.branches(record(module, (batches[0][:1],), OPERATORS))
    assert ends == {"norm", "last_norm"}
    for name in ("stem_norm", "norm", "beside_norm", "last_norm"):
        norm = getattr(module, name)
        gain, offset = (settings.BRANCH, 0.0) if name in ends else (1.0, settings.OFFSET)
        assert (norm.weight == gain).all()
        assert (norm.bias == offset).all()
    seen = torch.cat([module.stem(batch) for batch in batches])
    mean = torch.stack([module.stem(batch).mean((0, 2, 3)) for batch in batches]).mean(0)
    torch.testing.assert_close(module.stem_norm.running_mean, mean)
    assert seen.shape[0] == settings.BATCHES * settings.SAMPLES
    assert not module.training
    assert 0 < float(module.token.detach().std()) < 3 * settings.HEAD


def test_samples_are_standard() -> None:
    assert len(batches := synthetic.samples((3, 64, 64))) == settings.BATCHES
    assert float(torch.cat(batches).std()) == pytest.approx(1, abs=0.1)
    assert torch.equal(batches[0], synthetic.samples((3, 64, 64))[0])


def test_excerpts_compute_what_their_layers_do(settled: tuple[Block, list[Tensor]]) -> None:
    module, batches = settled
    network: Network = quantize(module, batches, allow="*").network
    cuts = excerpts.smallest(network)
    assert {"3x3", "1x1", "addition on a convolution"} <= cuts.keys()
    tensors = functional.run(network, network.input.quantize(batches[0][:1].numpy()))
    for cut in cuts.values():
        alone = functional.run(cut.network, tensors[cut.reads])[cut.network.layers[-1].name]
        assert np.array_equal(alone, tensors[cut.layer])
        assert len(cut.network.layers) <= 3
    small = min(layer.macs for layer in network.shapes if layer.name in ("stem", "conv", "last"))
    assert cuts["3x3"].network.macs == small


class Odd(nn.Module):
    """What no layer of integers does."""

    def forward(self, x: Tensor) -> Tensor:
        return x.flatten(1).cumprod(1)


def entry(name: str, build: type[nn.Module]) -> modules.Entry:
    return modules.Entry(name, "torch", build, (3, 8, 8))


def test_a_module_step_by_step(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ran = []

    def verified(cut: excerpts.Excerpt, ifmap: np.ndarray, *_: Any) -> dict[str, Any]:
        ran.append(cut.kind)
        return {"equal": True, "words": ifmap.size, "cycles_rtl": 7}

    monkeypatch.setattr(one, "verified", verified)
    for name in ("block", "again"):
        one.measure(entry(name, Block), tmp_path)
    one.measure(entry("odd", Odd), tmp_path)
    block, again, odd = (json.loads((tmp_path / f"{n}.json").read_text()) for n in ("block", "again", "odd"))
    assert block["int8_engine"]["bit_exact"]
    assert block["vq_engine"]["bit_exact"]
    assert block["int8"]["sqnr_db"] > 20
    assert block["vq"]["coded_layers"] == 3
    assert block["parameters"] == sum(p.numel() for p in Block().parameters())
    assert block["rtl"]["kinds"] == again["rtl"]["kinds"] == list(dict.fromkeys(ran)) == ran
    assert not again["rtl"]["shown"]
    assert "aten.cumprod" in odd["int8"]["refused"]
    assert text.complete(block)
    assert not text.complete(odd)


def test_kinds_that_are_large_wherever_they_are(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """They are missing in the module's own run, and shown by the next stage, with the input of the same layer."""
    ran: list[str] = []

    def verified(cut: excerpts.Excerpt, ifmap: np.ndarray, *how: Any) -> dict[str, Any]:
        ran.append(cut.kind)
        assert ifmap.shape[1:] == cut.network.input.shape
        if cut.kind == refused:
            return {"refused": "too wide"}
        if cut.kind == narrow and settings.ROOM not in how:
            return {"refused": "too small"}
        return {"equal": True, "words": ifmap.size, "cycles_rtl": 7}

    monkeypatch.setattr(one, "verified", verified)
    monkeypatch.setattr(one, "RTL", {coded: (*found[:2], 0) for coded, found in settings.RTL.items()})
    one.measure(entry("block", Block), tmp_path)
    assert not ran
    had = hardware.kinds(json.loads((tmp_path / "block.json").read_text()))
    refused, narrow, *_ = sorted(had)
    assert hardware.missing(tmp_path) == had
    assert {kind.endswith(", codebook") for kind in had} == {False, True}
    hardware.show(entry("block", Block), tmp_path)
    assert sorted(ran) == sorted([*had, refused, narrow])
    assert hardware.missing(tmp_path) == {refused}
    assert not hardware.untried(tmp_path, json.loads((tmp_path / "block.json").read_text()))


def test_interrupted_modules_run_again_and_others_do_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    task = Task(tmp_path / "work", tmp_path / "zoo.json")
    entries = [entry(name, Block) for name in ("done", "stale", "begun", "fails", "hangs")]
    monkeypatch.setattr(measure, "ENTRIES", [*entries, modules.Entry("absent", "no_such_package", Block)])
    task.work.mkdir()
    before = {"name": "absent", "package": "no_such_package"}  # of an earlier run, where it was installed
    task.out.write_text(json.dumps([before, {"name": "of no entry"}]))
    made_of = {one.name: origin.made_of(one) for one in entries}
    records = {name: {"name": name, "made_of": made_of[name]} for name in made_of}
    records["done"]["rtl"] = records["stale"]["rtl"] = {}  # type: ignore[assignment]
    records["stale"]["made_of"] = made_of["done"]
    for name, found in records.items():
        (task.work / f"{name}.json").write_text(json.dumps(found))
    ran = []

    def process(command: list[str], timeout: float, **_: Any) -> subprocess.CompletedProcess[str]:
        ran.append(command[-2])
        if command[-2] == "hangs":
            raise subprocess.TimeoutExpired(command, timeout)
        return subprocess.CompletedProcess(command, int(command[-2] == "fails"), "", "trace\nKilled")

    monkeypatch.setattr(subprocess, "run", process)
    measure.run(task)
    assert ran == ["stale", "begun", "fails", "hangs"]
    found = {module["name"]: module for module in task.figures()}
    assert found["absent"] == before
    assert found.keys() - {"absent"} == {"done", "stale", "begun", "fails", "hangs"}
    assert found["fails"]["ended"] == "status 1 Killed"
    assert found["hangs"]["ended"] == f"not done in {measure.SECONDS} seconds"
    measure.run(task)
    assert ran == ["stale", "begun", "fails", "hangs", "stale", "begun"]


HEAD = {"package": "p", "version": "1", "note": "", "weights": "synthetic", "parameters": 1234}
FIT = {
    "sha256": "0123456789abcdef",
    "layers": 3,
    "sqnr_db": 30.04,
    "correlation": 0.99961,
    "worst": "a.b",
    "worst_alone_db": None,
}
CODED = {"coded_layers": 4, "layers_to_code": 5, "bits_per_weight": 1.25, "sqnr_db": None}


def test_the_page() -> None:
    shown = {
        "3x3": {"accelerator": "ews-4", "layer": "a.b", "equal": True, "words": 1000, "cycles_rtl": 2000},
        "5x5": {"accelerator": "ews-4", "layer": "c", "equal": False, "words": 1, "cycles_rtl": 2},
        "1x1, table": {"accelerator": "ews-4", "layer": "d", "refused": "no table"},
    }
    exact = {"bit_exact": True}
    rtl = {"kinds": [*shown, "linear"], "shown": shown}
    good = {"name": "good", **HEAD, "int8": FIT, "int8_engine": exact, "vq": FIT | CODED, "vq_engine": exact}
    good["rtl"] = rtl
    other = good | {
        "name": "other",
        "rtl": {"kinds": ["3x3"], "shown": {}},
        "vq_engine": {"bit_exact": False},
    }
    bad = {
        "name": "bad",
        **HEAD,
        "int8": {"refused": "too | odd"},
        "vq": {"failed": "E()"},
        "ended": "killed",
    }
    ours = good | {"name": "own", "package": "ours", "weights": "trained", "note": "trained"}
    page = text.page([good, other, bad, ours])
    assert "3 modules that nobody here wrote, and 1 of ours" in page
    assert (
        "**2 of the 3 become INT8 that the cycle engine computes bit for bit, 1 with codebooks too.**" in page
    )
    row = "| p 1 | synthetic | 1,234 | 3 | 30.0 | 0.9996 | exact `a.b` | 4 of 5 | 1.25 | exact |"
    assert f"| good {row} yes yes | `01234567` |" in page
    assert f"| other {row} yes **no** | `01234567` |" in page
    assert "| bad | p 1 | synthetic | 1,234 | - | - | - | - | - | - | - | - - | - |" in page
    assert "| own | ours 1 | trained |" in page
    assert "| 3x3 (3 modules) | good `a.b` | ews-4 | 1,000 | 2,000 | equal |" in page
    assert "| 5x5 (2 modules) | good `c` | ews-4 | 1 | 2 | **differs** |" in page
    assert "| 1x1, table (2 modules) | good `d` | ews-4 | - | - | no table |" in page
    assert "| linear (2 modules) | - | - | - | - | not run, its layers are large |" in page
    assert "| bad | INT8 | too / odd |" in page
    assert "| bad | VQ | failed: E() |" in page
    assert "| bad | INT8 on the engine | killed |" in page


def test_the_list() -> None:
    names = [one.name for one in modules.ENTRIES]
    assert len(set(names)) == len(names)
    assert sum(one.package != "ours" for one in modules.ENTRIES) >= 25


def test_no_committed_layer_differs() -> None:
    for module in json.loads(REPORTS["zoo"].out.read_text()):
        assert all(step.get("bit_exact", True) for step in module.values() if isinstance(step, dict))
        shown = module.get("rtl", {}).get("shown", {}).values()
        assert all(found.get("equal", True) for found in shown)
        assert all(found["cycles_rtl"] == found["cycles_model"] for found in shown if "equal" in found)
