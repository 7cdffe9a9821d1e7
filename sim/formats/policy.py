"""Which layers a compression leaves out, and how many codewords a layer has of its own."""

from __future__ import annotations

from collections.abc import Sequence

from sim.shapes import ConvShape, Shape


def exclusions(shapes: Sequence[Shape], d: int) -> dict[str, str]:
    """Why a convolution is left out of the compression with codewords of length d, by name; else "".

    Stem and classifiers stay dense INT8 (derived from the MAC counts of MVQ Table 5), as
    do depth-wise and grouped layers, products of two activations, and layers whose output channels d
    does not divide. Classifiers are the last layer and, in a network with maps, layers on a 1x1 map.
    """
    convs = [shape for shape in shapes if isinstance(shape, ConvShape)]
    maps = any(shape.size[1] > 1 for shape in convs)
    return {
        shape.name: _exclusion(
            shape, d, shape is convs[0], shape is convs[-1] or (maps and shape.size == (1, 1))
        )
        for shape in convs
    }


def _exclusion(shape: ConvShape, d: int, first: bool, classifier: bool) -> str:
    subvectors = shape.weights // d
    return (
        "two activations"
        if shape.dynamic
        else "first convolution"
        if first
        else "classifier"
        if classifier
        else "grouped"
        if shape.groups > 1
        else f"{shape.outputs} output channels, not a multiple of d = {d}"
        if shape.outputs % d
        else f"only {subvectors} sub-vectors"
        if subvectors < 4
        else ""
    )


def own_codewords(shape: ConvShape, k: int, d: int) -> int:
    """Codewords of a layer with a codebook of its own: k, or half its sub-vectors if these are fewer."""
    return min(k, shape.weights // d // 2)
