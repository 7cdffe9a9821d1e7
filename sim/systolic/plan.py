"""How a whole network runs: a schedule for every layer, and where each finds its ifmap."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from sim.accelerator import Accelerator
from sim.shapes import ConvShape, PassShape, Shape
from sim.steps import steps
from sim.systolic.mapping import best_schedule
from sim.systolic.schedule import Schedule, Source, spills
from sim.technology import mapping_energy


def plan(
    shapes: Sequence[Shape],
    formats: Mapping[str, tuple[str, int]],
    accelerator: Accelerator,
    objective: str = "edp",
) -> list[Schedule | Source]:
    """A schedule of each convolution, the source of the operands of each pass.

    The network's input and its constants come from DRAM. What a layer reads of the layer before it is
    still in L1 if that one's whole ofmap was small enough to stay there.

    Args:
        formats: stream format and k by name of the convolution.

    Raises:
        InputError: a layer cannot be mapped; the message names it and the limit that it breaks. Or the
            accelerator's technology is unknown.
    """
    mapping_energy(accelerator)  # an unknown technology is no fault of the first layer
    plans: list[Schedule | Source] = []
    unread = True  # the network's input
    left = 0  # bytes that the layer before left in L1, 0 for none
    for shape in steps(shapes, "mapping", len(shapes)):
        source: Source = "l1" if shape.chained and 0 < left <= accelerator.ofmap_bytes else "l2"
        if unread:
            source = "dram"
        if isinstance(shape, ConvShape):
            form, codewords = formats[shape.name]
            plans.append(
                best_schedule(shape, accelerator, form, codewords, objective=objective, source=source)
            )
        else:
            plans.append(_of_pass(shape, accelerator, source))
        unread = unread and _is_constant(shape)
        left = shape.ofmap_bytes
    return plans


def _is_constant(shape: Shape) -> bool:
    return isinstance(shape, PassShape) and shape.stored


def _of_pass(shape: PassShape, accelerator: Accelerator, source: Source) -> Source:
    if shape.stored or spills(shape, accelerator):
        return "dram"
    return "l2" if source == "l1" and shape.operands > 1 else source
