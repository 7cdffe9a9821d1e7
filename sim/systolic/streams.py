"""Which weight stream a layer takes on a machine: one decision for estimate, simulate, verify."""

from __future__ import annotations

from collections.abc import Sequence

from sim import formats
from sim.accelerator import Accelerator
from sim.errors import InputError
from sim.formats.dense import Block, Dense, Split
from sim.formats.policy import exclusions, own_codewords
from sim.network import Conv, DenseWeight, Network, Weight
from sim.shapes import ConvShape, Shape
from sim.systolic.schedule import packs


def dense_format(shape: ConvShape, accelerator: Accelerator) -> str:
    """How this machine streams dense INT8 weights of a layer."""
    if packs(shape, accelerator) > 1:
        return Block.name
    return Split.name if accelerator.sparse_tile else Dense.name


def stream_format(weight: Weight, accelerator: Accelerator, shape: ConvShape) -> tuple[str, int]:
    """Stream format of a layer of a network, and k (0 without a codebook).

    A dense machine runs any weight, decoded to INT8. A codebook machine runs dense layers and its
    own format: the same d and N:M, k at most its codebook entries.

    Raises:
        InputError: the machine cannot run this weight.
    """
    name = shape.name
    own, found = accelerator.weights, formats.named(weight.format)
    if not own.coded or isinstance(weight, DenseWeight):
        return dense_format(shape, accelerator), 0
    if found.pattern(weight) != formats.named(own.weight).pattern(accelerator):
        raise InputError(
            f"{name}.weight",
            found.pattern(weight),
            f"the accelerator runs {own.pattern(accelerator)}",
            "compress in its format, or choose a machine of this one",
        )
    try:
        own.check_weight(weight, accelerator)
    except InputError as error:
        raise error.within(f"{name}.") from None
    d = accelerator.codeword_length
    if shape.groups > 1 and shape.outputs // shape.groups % d:
        raise InputError(
            f"{name}.groups",
            shape.groups,
            f"a record of d = {d} spans two groups",
            "leave grouped layers uncompressed",
        )
    return own.name, len(weight.codebook) if own.books else 0  # type: ignore[union-attr]


def network_formats(network: Network, accelerator: Accelerator) -> dict[str, tuple[str, int]]:
    """Stream format and k of every convolution and matrix product of a network, by name.

    Raises:
        InputError: the machine cannot run a layer's weights.
    """
    return {
        shape.name: (
            (dense_format(shape, accelerator), 0)
            if shape.dynamic
            else stream_format(_weight(network, shape), accelerator, shape)
        )
        for shape in network.shapes
        if isinstance(shape, ConvShape)
    }


def _weight(network: Network, shape: ConvShape) -> Weight:
    layer = network[shape.name]
    assert isinstance(layer, Conv)
    return layer.weight


def native_formats(shapes: Sequence[Shape], accelerator: Accelerator) -> dict[str, tuple[str, int, str]]:
    """Stream formats of a network of which only the shapes are known: what the machine is made for.

    Returns:
        by name of the convolution: format, k (`own_codewords`, all of a ROM's), and why the layer is
        left out of the compression, or "".
    """
    d, k, form = accelerator.codeword_length, accelerator.codebook_entries, accelerator.weights
    reasons = exclusions(shapes, d)
    found: dict[str, tuple[str, int, str]] = {}
    for shape in shapes:
        if not isinstance(shape, ConvShape):
            continue
        reason = reasons[shape.name] if form.coded else ""
        if reason or not form.coded:
            found[shape.name] = dense_format(shape, accelerator), 0, reason
        else:
            own = k if form.universal else own_codewords(shape, k, d)
            found[shape.name] = form.name, own // form.books * form.books if form.books else 0, ""
    return found
