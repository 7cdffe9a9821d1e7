"""The small token networks that ship with the package."""

from __future__ import annotations

from algos import zoo
from algos.training import accuracy
from algos.zoo import tokens


def test_vim() -> None:
    path = tokens.FOLDER / "vim.safetensors"
    assert 0 < path.stat().st_size < 1e6
    assert accuracy(tokens.load_vim(), zoo.load_images()[1].first(300)) > 0.7
