"""A module becomes a `Network` of integers."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_leaves

from algos.body import Trainable
from algos.data.fashion_mnist import Images
from algos.frontend import compare
from algos.frontend.arguments import (
    Arguments,
    Source,
    Sources,
    beginning,
    first_samples,
    looked,
    names,
    opened,
    parts,
)
from algos.frontend.calibrate import PIXELS, Activation, Histogram, Scheme
from algos.frontend.correction import corrected
from algos.frontend.equalization import equalized
from algos.frontend.foreign import opened as opened_weights
from algos.frontend.graph import Graph, Value
from algos.frontend.lookup import taken_off
from algos.frontend.lower import Held, Lowering, Renaming, lacking, refusal
from algos.frontend.operators import OPERATORS
from algos.frontend.record import evaluating, record
from algos.frontend.rewrites import rewrite
from algos.models.resnet import ResNet
from algos.training import normalize
from sim.errors import InputError
from sim.network import Network

LEAST, COMPARED = 4, 16
"""Samples on which every tensor is compared, fewer of large ones."""

BATCH = 64
"""Of our own models' calibration images."""

ELEMENTS = 2**25
"""Of all values that are held at once while the float network runs: 128 MiB."""


@dataclass(frozen=True)
class Quantized:
    """A network of integers, and what a network file does not hold.

    Attributes:
        fidelity: how near each tensor is to the float network, in execution order.
        activations: scale, zero point and clamp of each of them, by name.
        sources: what the module takes, and how that becomes the network's input.
    """

    network: Network
    fidelity: compare.Comparison
    activations: Mapping[str, Activation]
    sources: Sources

    def integers(self, *inputs: Tensor) -> np.ndarray:
        """int8 [n, C, H, W]: what the module takes, each [n, ...], as the network takes it."""
        return self.network.input.quantize(self.sources.real(self.sources.looked(inputs)))


def quantize(
    module: nn.Module,
    batches: Iterable[Any],
    *,
    name: str = "",
    input: Activation | None = None,
    results: Sequence[Activation] = (),
    scheme: Scheme | None = None,
    bias_correction: bool = False,
    equalize: bool = False,
    metadata: Mapping[str, object] | None = None,
    rename: Renaming | None = None,
    allow: Collection[str] = (),
) -> Quantized:
    """INT8 weights and activations; codebooks, assignments, masks and signs stay as they are.

    Args:
        module: takes tensors [n, ...], see `operators`; whole numbers where an embedding looks them up first:
            the network of integers begins behind it. Of several arguments and results the names are in
            `Network.metadata`.
        batches: tensors, or tuples, lists or dictionaries that begin with what the module takes or name it; each of
            one size but for n.
        name: of the network; by default the module's class.
        input: scale and zero point of the network's input, where the module takes one tensor; by default from the
            batches.
        results: the same of each result: a cache of keys has one scale for all tokens. By default from the batches.
        scheme: how activations become INT8, by default with zero points and least squared error.
        bias_correction: biases make up for what rounding shifts on average (`correction`).
        equalize: channels of convolutions in a row get like ranges first (`equalization`).
        rename: regular expressions in the names of layers, and what replaces them.
        allow: patterns of the names of tensors that may be far from the float network's on the first batch.

    Raises:
        InputError: no batches, a tensor that is not finite, everything that has no layer of integers, a psum that
            may exceed 32 bits, or a tensor that is too far from the float network's.
    """
    scheme, module = scheme or Scheme(), opened_weights(module)
    require_finite(module)
    first, others = opened(module, batches)
    example = first_samples(first, 1)
    if equalize:
        module = equalized(module, example)
    graph = record(module, example, OPERATORS)
    titles, lookups = names(graph, module), taken_off(graph)
    rewrite(graph, OPERATORS)
    first, others = looked(lookups, first), (looked(lookups, other) for other in others)
    check(module, example, graph, first_samples(first, 1))
    seen = observed(graph, first, others)
    if input is not None and len(graph.inputs) > 1:
        raise InputError(
            "input", len(graph.inputs), "inputs of the module", "leave their scales to the batches"
        )
    sources = Sources(
        tuple(
            Source(title, input or scheme.activation(seen[value]), beginning(value), lookup)
            for title, value, lookup in zip(titles, graph.inputs, lookups, strict=True)
        )
    )
    if results and len(results) != len(graph.outputs):
        problem = f"the module returns {len(graph.outputs)}"
        raise InputError("results", len(results), problem, "give a scale and zero point for each")
    given = dict(zip(graph.outputs, results, strict=True)) if results else {}
    lowering = Lowering(graph, seen, scheme, sources, rename or {}, given)
    with torch.no_grad():
        layers = tuple(lowering.run())
    _require_given(given, lowering.held)
    said = {**(metadata or {}), **sources.metadata, **lowering.results()}
    network = Network(name or type(module).__name__, sources.spec, layers, said)
    some = first_samples(first, max(LEAST, min(COMPARED, chunk(graph))))
    images, real = sources.real(some), floats(graph, some)
    if bias_correction:
        network = corrected(network, images, real, lowering.sums)
    found = compare.compare(network, images, real, lowering.held)
    compare.require(found, allow)
    activations = {one.tensor: one.activation for one in lowering.held.values()}
    return Quantized(network, found, activations, sources)


def _require_given(given: Mapping[Value, Activation], held: Mapping[Value, Held]) -> None:
    """Refuses scales of results that the layer which writes them has no say in."""
    for number, (value, wanted) in enumerate(given.items()):
        found = held[value].activation
        if (found.scale, found.zero_point) != (wanted.scale, wanted.zero_point):
            kept = f"the scale {found.scale:.4g} and zero point {found.zero_point} of its input"
            problem = f"{held[value].tensor} keeps {kept}"
            raise InputError(f"results[{number}]", wanted.scale, problem, "give those, or none")


RENAMED: Renaming = {
    r"^conv$": "stem",
    r"^mean$": "pool",
    r"^blocks\.(\d+)": r"block\1",
    r"shortcut\.0": "shortcut",
    r"^patches\.project": "patches",
    r"attention\.qkv\.([012])": lambda found: "qkv"[int(found[1])],
    r"in_proj\.([01])": lambda found: ("u", "gate")[int(found[1])],
    r"ways\.([01])": lambda found: ("forward", "backward")[int(found[1])],
    r"out_proj$": "out",
    r"dt_proj$": "delta",
    r"selective_scan$": "scan",
    r"attention\.proj$": "proj",
    r"attention\.scaled_dot_product_attention\.matmul$": "logits",
    r"attention\.scaled_dot_product_attention\.softmax$": "softmax",
    r"x_proj\.([012])": lambda found: ("low", "b", "c")[int(found[1])],
}
"""Names in the networks of our own models."""


def export(
    model: Trainable, calibration: Images, *, name: str, metadata: Mapping[str, object] | None = None
) -> Network:
    """`quantize` of a network for grey 28x28 pictures, whose input is the byte - 128.

    A ResNet keeps zero points of 0, so that what a ReLU left out is a zero operand.

    Args:
        calibration: images that set the activation scales; a few hundred.

    Raises:
        InputError: as `quantize`.
    """
    require_calibration(calibration)
    return quantize(
        model,
        normalize(calibration.pixels).split(BATCH),
        input=PIXELS,
        scheme=Scheme(symmetric=isinstance(model, ResNet)),
        name=name,
        metadata=metadata,
        rename=RENAMED,
    ).network


def require_calibration(images: Images) -> None:
    """Raises InputError where there are none."""
    if not len(images):
        raise InputError("calibration", 0, "no images", "give a few hundred training images")


def require_finite(model: nn.Module) -> None:
    """Raises InputError where a tensor of the model is not."""
    buffers = {name for name, _ in model.named_buffers()}  # masks of attention hold -inf
    for field, tensor in model.state_dict().items():
        if not tensor.is_floating_point() or torch.isfinite(tensor).all():
            continue
        if field not in buffers or torch.isnan(tensor).any() or (tensor == torch.inf).any():
            raise InputError(
                field, float("nan"), "holds NaN or infinity", "repair the checkpoint before exporting it"
            )


def check(module: nn.Module, example: Arguments, graph: Graph, start: Arguments) -> None:
    """Runs both once: what was recorded is what the module does.

    Args:
        start: what the graph takes in the place of the module's `example`.

    Raises:
        InputError: it is not, or a result is not finite.
    """
    with evaluating(module):
        wanted = [leaf for leaf in tree_leaves(module(*example)) if isinstance(leaf, Tensor)]
        values = graph.run(start)
    for value, expected in zip(graph.outputs, wanted, strict=True):
        if not torch.isfinite(expected).all():
            first = next((v for v, t in values.items() if not torch.isfinite(t).all()), value)
            name = first.producer.name if first.producer else "input"
            fix = "check the calibration data"
            raise InputError(f"activation {name}", float("nan"), "holds NaN or infinity", fix)
        found = values[value] if value in values else value.data  # noqa: SIM401  data is computed
        near = 1e-3 * float(expected.abs().max())
        if not torch.allclose(found.double(), expected.double(), rtol=1e-3, atol=near):
            raise InputError(
                "module",
                graph.name,
                f"the recorded graph differs by {float((found - expected).abs().max()):.3g}",
                "report this module",
            )


def observed(graph: Graph, first: Arguments, others: Iterable[Arguments]) -> dict[Value, Histogram]:
    """What each value is on all batches; on one sample where the network has no integers anyway.

    Raises:
        InputError: nothing can run an operator that has none on a batch.
    """
    lacks = [lack for node in graph.nodes if (lack := lacking(node)) is not None]
    if not lacks:
        return observe(graph, chain([first], others))
    try:
        return observe(graph, [first_samples(first, 1)])
    except (RuntimeError, InputError) as error:  # an infinite mask, where no softmax takes it
        raise refusal(graph.name, lacks) from error


def observe(graph: Graph, batches: Iterable[Arguments]) -> dict[Value, Histogram]:
    """What each value is, image by image; no more than a chunk of them is held."""
    seen: dict[Value, Histogram] = {}
    for batch in batches:
        for part in parts(batch, chunk(graph)):
            for value, tensor in floats(graph, part).items():
                if tensor.is_floating_point() and tensor.numel():
                    name = value.producer.name if value.producer else "input"
                    seen.setdefault(value, Histogram(f"activation {name}")).add(tensor)
    return seen


def chunk(graph: Graph) -> int:
    """Images that run at once."""
    each = sum(value.elements for node in graph.nodes for value in node.outputs)
    return max(1, ELEMENTS // max(each, 1))


def floats(graph: Graph, given: Arguments) -> dict[Value, Tensor]:
    """Every value of the float network, [n, ...] with the graph's batch of one in the place of dots."""
    order: list[Value] = []

    def one(*sample: Tensor) -> list[Tensor]:
        found = graph.run(sample)
        order[:] = found
        return list(found.values())

    with torch.no_grad():
        found = torch.vmap(one)(*(each[:, None] for each in given))
    return dict(zip(order, found, strict=True))
