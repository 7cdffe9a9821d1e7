"""What every method begins with: the layers to compress, checked and made ready."""

from __future__ import annotations

import torch
from torch import nn

from algos.codebook import attached
from algos.models.inverted_residual import InvertedResidualNet
from algos.models.resnet import ResNet
from algos.norms import absorb_gain_signs
from sim.errors import InputError

Compressible = ResNet | InvertedResidualNet
"""Networks whose `body()` names the convolutions that are compressed."""


def layers_to_compress(model: Compressible) -> dict[str, nn.Conv2d]:
    """The convolutions of a model's body, by name, with batch-norm gains made positive.

    All others and the classifier stay dense.

    Raises:
        InputError: a weight is not finite, or the model is compressed already.
    """
    for name, layer in model.body().items():
        if attached(layer) is not None:
            raise InputError(f"{name}.weight", "codebook", "is compressed already",
                             "start from the float or the sparse model")
        if not torch.isfinite(layer.weight).all():
            raise InputError(f"{name}.weight", float("nan"), "holds NaN or infinity",
                             "repair the checkpoint before compressing it")
    absorb_gain_signs(model)
    return model.body()
