"""Which weight stream a layer takes on a machine: one decision for estimate, simulate, verify."""

from __future__ import annotations

from sim.accelerator import Accelerator
from sim.errors import InputError
from sim.network import DenseWeight, Weight
from sim.schedule import Format
from sim.shapes import ConvShape


def dense_format(accelerator: Accelerator) -> Format:
    """How this machine streams dense INT8 weights."""
    return "split" if accelerator.sparse_tile else "dense"


def stream_format(weight: Weight, accelerator: Accelerator, name: str) -> tuple[Format, int]:
    """Stream format of a layer of a network, and k (0 without a codebook).

    A dense machine runs any weight, decoded to INT8. A codebook machine runs dense layers and its
    own format: the same d and N:M, k at most its codebook entries.

    Args:
        name: of the layer, for messages.

    Raises:
        InputError: the machine cannot run this weight.
    """
    if accelerator.loader == "dense" or isinstance(weight, DenseWeight):
        return dense_format(accelerator), 0
    k, d = weight.codebook.shape
    if d != accelerator.codeword_length:
        raise InputError(f"{name}.d", d, "the accelerator's codeword_length is "
                         f"{accelerator.codeword_length}", "compress with that d, or set "
                         f"codeword_length = {d}")
    if k > accelerator.codebook_entries:
        raise InputError(f"{name}.k", k, f"the codebook RF holds {accelerator.codebook_entries}",
                         f"compress with a smaller k, or set codebook_entries = {k}")
    own = (accelerator.keep, accelerator.group) if accelerator.loader == "masked" else None
    found = None if weight.mask_codes is None else (weight.keep, weight.group)
    if own != found:
        raise InputError(f"{name}.mask", _pattern(found), f"the accelerator runs {_pattern(own)}",
                         "compress with its pattern, or choose a machine of this one")
    return ("mvq" if own else "vq"), k


def _pattern(mask: tuple[int, int] | None) -> str:
    return f"{mask[0]}:{mask[1]}" if mask else "no mask"


def native_format(
    shape: ConvShape, accelerator: Accelerator, first: bool
) -> tuple[Format, int, str]:
    """Stream format of a layer of which only the shape is known: what the machine is made for.

    Stem and classifier stay dense INT8 (derived from the MAC counts of MVQ Table 5), as
    do layers whose output channels d does not divide.

    Args:
        first: the network's first convolution.

    Returns:
        format, k (at most half the sub-vectors of the layer), and why the layer is left out of the
        compression, or "".
    """
    if accelerator.loader == "dense":
        return "dense", 0, ""
    d = accelerator.codeword_length
    reason = ("first convolution" if first
              else "classifier" if shape.size == (1, 1)
              else f"{shape.outputs} output channels, not a multiple of d = {d}"
              if shape.outputs % d else "")
    subvectors = shape.weights // d
    if reason or subvectors < 4:
        return dense_format(accelerator), 0, reason or f"only {subvectors} sub-vectors"
    k = min(accelerator.codebook_entries, subvectors // 2)
    return ("mvq" if accelerator.loader == "masked" else "vq"), k, ""


