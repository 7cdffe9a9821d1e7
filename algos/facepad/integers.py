"""A student in integers, and what it says of faces."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor

from algos import reference, zoo
from algos.facepad.networks import ATTACK, REAL, Student, normalized
from algos.frontend.export import quantize
from sim import artifact
from sim.network import Network

NAME = "mobilenet-v3-facepad"
SCALE = "logit_scale"
"""In a network's metadata: what a unit of the difference of its logits is worth."""
THRESHOLD = "threshold"
"""Likewise: least score of a real face, where the errors of the development set are equal."""
SHIPPED = Path(zoo.__file__).with_name("facepad_synthetic") / "network.safetensors"


def in_integers(student: Student, pixels: Tensor) -> Network:
    """INT8 weights (or codes, as they are) and activations; SCALE is in its metadata.

    Args:
        pixels: uint8 [n, 3, H, W], frames that set the scales.
    """
    student = student.to(memory_format=torch.contiguous_format).eval()
    network = quantize(student, [normalized(pixels)], name=NAME).network
    with torch.no_grad():
        real = student(normalized(pixels))
    ours, theirs = margins(network, pixels), (real[:, REAL] - real[:, ATTACK]).double()
    scale = float(ours @ theirs / (ours @ ours))  # least squares
    return replace(network, metadata={**network.metadata, SCALE: scale})


def shipped() -> Network:
    """A student in integers that comes with the package, trained on synthetic attacks alone (see its README)."""
    return artifact.load(SHIPPED)


def margins(network: Network, pixels: Tensor, batch: int = 16) -> Tensor:
    """Logit of a real face less that of an attack, integers as float64 [n].

    Args:
        pixels: uint8 [n, 3, H, W].
    """
    images = network.input.quantize(normalized(pixels).double().numpy())
    found = []
    for first in range(0, len(images), batch):
        last = reference.run(network, torch.from_numpy(images[first : first + batch]).long())
        logits = last[network.layers[-1].name].flatten(1).double()
        found.append(logits[:, REAL] - logits[:, ATTACK])
    return torch.cat(found)


def integer_scores(network: Network, pixels: Tensor) -> Tensor:
    """Probability of a real face [n] from the integers alone, of a network of `in_integers`.

    Args:
        pixels: uint8 [n, 3, H, W].
    """
    return torch.sigmoid(float(str(network.metadata[SCALE])) * margins(network, pixels))
