"""The shipped Llama and its text."""

from __future__ import annotations

import math

import torch

from algos.data import text
from algos.zoo import llama


@torch.no_grad()
def test_it_knows_the_book():
    """Far below the entropy of single letters of English, about 4.1 bits (Shannon 1951)."""
    model, parts = llama.load_llama(), llama.load_text()
    for name, most in (("calibration", 2.6), ("held_out", 2.6)):
        windows = text.windows(parts[name], llama.SHAPE.context + 1, 4)
        bits = float(llama.loss(model(windows[:, :-1]), windows[:, 1:])) / math.log(2)
        assert 1 < bits < most
    shuffled = windows[:, torch.randperm(windows.shape[1], generator=torch.Generator().manual_seed(0))]
    assert float(llama.loss(model(shuffled[:, :-1]), shuffled[:, 1:])) / math.log(2) > 4


def test_what_ships():
    parts = llama.load_text()
    assert {name: len(part) for name, part in parts.items()} == llama.TEXTS
    assert all(part.dtype == torch.uint8 for part in parts.values())
    assert bytes(parts["calibration"][:20].tolist()) == b"CHAPTER 1. Loomings."
    assert sum(p.numel() for p in llama.load_llama().parameters()) == 1_672_896
    assert sum(path.stat().st_size for path in llama.FOLDER.iterdir()) < 5e6


def test_the_build_goes_on_and_ships_what_it_says(tmp_path, monkeypatch):
    from dataclasses import replace

    source = tmp_path / "book.txt"
    source.write_bytes(bytes(range(65, 91)) * 40)
    monkeypatch.setattr(llama, "FOLDER", tmp_path / "zoo")
    monkeypatch.setattr(
        llama, "SHAPE", llama.Shape(dim=16, blocks=1, heads=2, kv_heads=1, hidden=16, context=8)
    )
    monkeypatch.setattr(llama, "TEXTS", {"calibration": 100, "held_out": 50})
    monkeypatch.setattr(llama, "UPDATES", 3)
    monkeypatch.setattr(llama, "RECIPE", replace(llama.RECIPE, epochs=2))
    llama.build(source, tmp_path / "work")
    first = {name: value.clone() for name, value in llama.load_llama().state_dict().items()}
    llama.build(source, tmp_path / "work")  # whole already: nothing is trained again
    assert all(value.equal(first[name]) for name, value in llama.load_llama().state_dict().items())
    parts = llama.load_text()
    learned, held_out = text.parts(text.load(source))
    assert parts["calibration"].equal(learned[:100])
    assert parts["held_out"].equal(held_out[:50])
