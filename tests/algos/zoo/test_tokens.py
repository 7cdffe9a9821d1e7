"""The small token networks that ship with the package."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from torch import nn

from algos import zoo
from algos.training import accuracy
from algos.zoo import tokens


@pytest.mark.parametrize(
    ("name", "load", "least"), [("vim", tokens.load_vim, 0.8), ("deit", tokens.load_deit, 0.8)]
)
def test_accuracies(name: str, load: Callable[[], nn.Module], least: float) -> None:
    assert 0 < (tokens.FOLDER / f"{name}.safetensors").stat().st_size < 1e6
    assert accuracy(load(), zoo.load_images()[1].first(300)) > least
