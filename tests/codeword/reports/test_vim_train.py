"""The experiment's script in miniature: rows are made once, resumed, and what they say is so."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import nn

from algos.methods.vim_vq import VimVqConfig
from algos.models.deit import DeiT
from algos.models.vim import Vim
from algos.training import Recipe
from codeword.reports.vim import train
from sim import artifact
from sim.network import CodebookWeight, Conv
from tests.algos.data.test_data import write_idx
from tests.algos.small_models import images

TINY = VimVqConfig(k=8, d=4, steps=4, batch=4)


@pytest.fixture
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for split, part in (("train", images(12)), ("t10k", images(20, seed=1))):
        write_idx(tmp_path / f"{split}-images-idx3-ubyte", part.pixels[:, 0].numpy())
        write_idx(tmp_path / f"{split}-labels-idx1-ubyte", part.labels.numpy())
    torch.manual_seed(0)
    state = Vim(16, 1).state_dict(), DeiT(16, 1, 2).state_dict()
    monkeypatch.setattr(train, "WIDTH", 16)
    monkeypatch.setattr(train, "SEEDS", (0,))
    monkeypatch.setattr(train, "DEPTH", 3)
    monkeypatch.setattr(train, "FLOAT", Recipe(1, 1e-3, "adamw", batch=4))
    monkeypatch.setattr(train, "load_vim", lambda: restored(Vim(16, 1), state[0]))
    monkeypatch.setattr(train, "load_deit", lambda: restored(DeiT(16, 1, 2), state[1]))
    monkeypatch.setattr(train, "SETTINGS", {"2 bit": TINY})
    monkeypatch.setattr(train, "CALIBRATION", 8)
    return tmp_path


def restored(model: nn.Module, state: dict[str, torch.Tensor]) -> nn.Module:
    model.load_state_dict(state)
    return model.eval()


def test_rows_are_resumed(data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[str] = []

    def here(command: list[str], check: bool) -> None:
        """The row's process, in this one."""
        assert command[:3] == [sys.executable, "-m", "codeword.reports.vim.train"]
        assert check
        made.append(command[4])
        if made == ["kmeans", "convex", "vim-vq"]:
            raise KeyboardInterrupt
        monkeypatch.setattr(sys, "argv", command[2:])
        train.main()

    monkeypatch.setattr(subprocess, "run", here)
    work, out = tmp_path / "work", tmp_path / "vim.json"
    with pytest.raises(KeyboardInterrupt):
        train.reproduce(data, work, out)
    assert len(json.loads(out.read_text())["rows"]) == 2
    train.reproduce(data, work, out)
    assert made == ["kmeans", "convex", "vim-vq", "vim-vq"]
    rows = json.loads(out.read_text())["rows"]
    assert {row["method"]: row["soft_equals_hard"] for row in rows} == {
        "kmeans": True,
        "convex": False,
        "vim-vq": True,
    }
    for row in rows:
        assert row["index_bits_per_weight"] == 0.75
        assert row["bits_per_weight"] > 0.75
        assert row["peak_rss_bytes"] >= row["peak_rss_growth_bytes"] >= 0
        assert len(row["block_error"]) == 3

    exports = json.loads(out.read_text())["exports"]
    assert list(exports) == ["vim", "deit"]
    for name, projections in (("vim", 3 + 2 * 4), ("deit", 6)):
        assert exports[name]["config"]["axis"] == "output"
        layers = artifact.load(work / f"{name}.safetensors").layers
        coded = [v for v in layers if isinstance(v, Conv) and isinstance(v.weight, CodebookWeight)]
        assert len(coded) == projections

    (work / "2bit-convex-0.json").write_text(
        (work / "2bit-convex-0.json").read_text().replace(rows[0]["weights_sha256"], "another network")
    )
    made[1:] = []
    train.reproduce(data, work, out)
    assert made[1:] == ["convex"]

    monkeypatch.setattr(train, "SETTINGS", {"2 bit": replace(TINY, steps=3)})
    made.clear()
    made.append("no interruption")
    train.reproduce(data, work, out)
    assert made[1:] == ["convex", "vim-vq"]  # of another configuration


def test_block_error_of_the_model_itself_is_none() -> None:
    model = Vim(16, 2).eval()
    assert train.block_error(model, model, images(4)) == [0, 0]
