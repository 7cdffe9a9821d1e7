"""The student through the front end: what its integers say is what its floats say."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional as F

from algos.facepad.distillation import logits, train_student
from algos.facepad.integers import THRESHOLD, in_integers, integer_scores, shipped
from algos.facepad.networks import scores
from algos.facepad.samples import Samples
from algos.recipe import Recipe
from sim.network import Conv


@pytest.mark.slow
def test_integers_say_what_floats_say() -> None:
    """Of a student that tells rough pictures from smooth ones."""
    torch.manual_seed(0)
    smooth = F.interpolate(255 * torch.rand(64, 3, 4, 4), 32, mode="bilinear")
    labels = torch.arange(64) % 2
    pixels = (0.6 * smooth + 100 * labels[:, None, None, None] * torch.rand(64, 3, 32, 32)).byte()
    samples = Samples(pixels, pixels, labels, torch.arange(64), ("picture",) * 64)
    student = train_student(samples, Recipe(10, 1e-3, "adamw", 8, schedule="cosine", precision="float32"))
    wanted = scores(logits(student, samples))
    network = in_integers(student, pixels)
    said = integer_scores(network, pixels)
    assert wanted.std() > 0.1
    assert (said - wanted).abs().mean() < 0.05
    depthwise = [layer for layer in network.layers if isinstance(layer, Conv) and layer.groups > 1]
    assert len(depthwise) == 15


def test_the_student_that_ships() -> None:
    network = shipped()
    assert network.input.shape == (3, 112, 112)
    assert sum(shape.macs for shape in network.shapes if shape.name.startswith("head")) == 960 * 512 + 512 * 2
    dark = torch.zeros(1, 3, 112, 112, dtype=torch.uint8)
    assert 0 < float(network.metadata[THRESHOLD]) < 1
    assert 0 <= integer_scores(network, dark).item() <= 1
