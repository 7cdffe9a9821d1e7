"""Bytes and their windows."""

from __future__ import annotations

import pytest
import torch

from algos.data import text
from sim.errors import InputError


def test_windows_follow_one_another():
    tokens = torch.arange(23, dtype=torch.uint8)
    assert text.windows(tokens, 5, 3).tolist() == torch.arange(15).reshape(3, 5).tolist()
    assert text.windows(tokens, 5).shape == (4, 5)


def test_windows_from_random_places_are_those_of_the_text():
    tokens = torch.arange(200, dtype=torch.uint8)
    found = text.windows(tokens, 7, 50, seed=3)
    assert found.dtype == torch.int64
    assert (found.diff(dim=1) == 1).all()
    assert torch.equal(found, text.windows(tokens, 7, 50, seed=3))
    assert not torch.equal(found, text.windows(tokens, 7, 50, seed=4))
    assert text.windows(tokens, 200, 2, seed=0)[:, 0].tolist() == [0, 0]


@pytest.mark.parametrize(("length", "count", "seed"), [(9, None, None), (9, 1, 0), (4, 3, None)])
def test_a_text_that_is_too_short(length, count, seed):
    with pytest.raises(InputError, match=f"of {length}': the text has 8 tokens"):
        text.windows(torch.zeros(8, dtype=torch.uint8), length, count, seed)


def test_parts_and_pairs():
    learned, held_out = text.parts(torch.arange(100, dtype=torch.uint8))
    assert (learned[0], learned[-1], held_out[0], held_out[-1]) == (0, 89, 90, 99)
    pairs = text.Pairs(learned, 6, 4, 10, torch.Generator().manual_seed(0))
    assert len(pairs) == 10
    for inputs, targets in pairs:
        assert inputs.shape == (4, 6)
        assert torch.equal(inputs + 1, targets)


def test_files(tmp_path):
    path = tmp_path / "text.txt"
    with pytest.raises(InputError, match="cannot be read"):
        text.load(path)
    path.write_bytes(b"")
    with pytest.raises(InputError, match="is empty"):
        text.load(path)
    path.write_bytes(b"whale")
    assert bytes(text.load(path).tolist()) == b"whale"
