"""The small token networks that ship with the package."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import nn

from algos import zoo
from algos.data import fashion_mnist
from algos.frontend.calibrate import PIXELS, Scheme
from algos.frontend.export import quantize
from algos.training import accuracy, normalize
from algos.zoo import tokens
from sim.network import run


@pytest.mark.parametrize(
    ("name", "load", "least"), [("vim", tokens.load_vim, 0.8), ("deit", tokens.load_deit, 0.8)]
)
def test_accuracies(name: str, load: Callable[[], nn.Module], least: float) -> None:
    assert 0 < (tokens.FOLDER / f"{name}.safetensors").stat().st_size < 1e6
    assert accuracy(load(), zoo.load_images()[1].first(300)) > least


@pytest.mark.slow
@pytest.mark.skipif(
    not fashion_mnist.DEBIAN.exists(), reason="Debian's dataset-fashion-mnist is not installed"
)
def test_vim_loses_little_in_integers() -> None:
    """At most 0.2 points of 10,000 images, where the range leaves out the tails of its scans."""
    module, (training, test) = tokens.load_vim(), fashion_mnist.load()
    batches = normalize(training.pixels[:512]).split(64)
    found = quantize(
        module, batches, input=PIXELS, scheme=Scheme("percentile"), allow=["blocks.1.ways.1.selective_scan"]
    )
    last, right = found.network.layers[-1].name, 0
    for few, labels in zip(normalize(test.pixels).split(250), test.labels.split(250), strict=True):
        scores = run(found.network, found.integers(few))[last]
        right += int((torch.from_numpy(np.argmax(scores.reshape(len(few), -1), 1)) == labels).sum())
    assert right / len(test) > accuracy(module, test) - 0.002
