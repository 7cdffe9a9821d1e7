"""A trained network for grey 28x28 pictures, compressed or not, becomes a `Network` of integers."""

from __future__ import annotations

from algos.body import Trainable
from algos.data.fashion_mnist import Images
from algos.frontend import export_convs, export_tokens
from algos.models.tokens import TokenNet
from sim.network import Network


def export(
    model: Trainable, calibration: Images, *, name: str, metadata: dict[str, object] | None = None
) -> Network:
    """Quantizes weights and activations to INT8; codebooks, assignments, masks and signs stay as they are.

    Args:
        calibration: images that set the activation scales; a few hundred.

    Raises:
        InputError: no calibration images; a tensor of the model is not finite; codewords along the inputs or
            across tensors that the network tells apart; a psum may exceed 32 bits.
    """
    lowered = export_tokens if isinstance(model, TokenNet) else export_convs
    return lowered.export(model, calibration, name=name, metadata=metadata)
