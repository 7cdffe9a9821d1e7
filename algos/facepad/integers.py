"""A student in integers, and what it says of faces."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from algos import reference
from algos.facepad.networks import ATTACK, REAL, Student, normalized
from algos.frontend.export import Quantized, quantize
from sim.network import Network

NAME = "mobilenet-v3-facepad"


def in_integers(student: Student, pixels: Tensor) -> Quantized:
    """INT8 weights (or codes, as they are) and activations.

    Args:
        pixels: uint8 [n, 3, H, W], frames that set the scales.
    """
    student = student.to(memory_format=torch.contiguous_format).eval()
    return quantize(student, [normalized(pixels)], name=NAME)


def logit_scale(found: Quantized, student: Student, pixels: Tensor) -> float:
    """What a unit of the integers' difference of logits is worth: least squares against the float student."""
    with torch.no_grad():
        real = student.eval()(normalized(pixels))
    ours = margins(found.network, found.integers(normalized(pixels)))
    theirs = (real[:, REAL] - real[:, ATTACK]).double()
    return float(ours @ theirs / (ours @ ours))


def margins(network: Network, images: np.ndarray, batch: int = 16) -> Tensor:
    """Logit of a real face less that of an attack, integers as float64 [n].

    Args:
        images: int8 [n, 3, H, W], as `Quantized.integers` gives them.
    """
    found = []
    for first in range(0, len(images), batch):
        last = reference.run(network, torch.from_numpy(images[first : first + batch]).long())
        logits = last[network.layers[-1].name].flatten(1).double()
        found.append(logits[:, REAL] - logits[:, ATTACK])
    return torch.cat(found)


def integer_scores(network: Network, pixels: Tensor, scale: float) -> Tensor:
    """Probability of a real face [n] from the integers alone.

    Args:
        pixels: uint8 [n, 3, H, W].
        scale: of `logit_scale`.
    """
    images = network.input.quantize(normalized(pixels).double().numpy())
    return torch.sigmoid(scale * margins(network, images))
