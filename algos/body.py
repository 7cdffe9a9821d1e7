"""What every method begins with: the layers to compress, checked and made ready."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeAlias

import torch
from torch import nn

from algos.models.inverted_residual import InvertedResidualNet
from algos.models.resnet import ResNet
from algos.models.tokens import TokenNet
from algos.norms import absorb_gain_signs
from algos.weights.codebook import in_integers
from sim.errors import InputError

Compressible = ResNet | InvertedResidualNet | TokenNet
"""Networks whose `body()` names the layers that are compressed."""

Trainable = ResNet | TokenNet
"""Those for grey 28x28 pictures, which the methods train and export."""

Layer: TypeAlias = nn.Conv2d | nn.Linear


def layers_to_compress(model: Compressible) -> Mapping[str, Layer]:
    """The layers of a model's body, by name, with batch-norm gains made positive.

    All others and the classifier stay dense.

    Raises:
        InputError: a weight is not finite, or the model is compressed already.
    """
    for name, layer in model.body().items():
        if in_integers(layer) is not None:
            raise InputError(
                f"{name}.weight",
                "codebook",
                "is compressed already",
                "start from the float or the sparse model",
            )
        if not torch.isfinite(layer.weight).all():
            raise InputError(
                f"{name}.weight",
                float("nan"),
                "holds NaN or infinity",
                "repair the checkpoint before compressing it",
            )
    absorb_gain_signs(model)
    return model.body()
