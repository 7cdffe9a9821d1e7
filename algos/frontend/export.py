"""A module becomes a `Network` of integers."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
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
from algos.frontend.calibrate import PIXELS, Activation, Histogram, Scheme
from algos.frontend.correction import corrected
from algos.frontend.equalization import equalized
from algos.frontend.foreign import opened as opened_weights
from algos.frontend.graph import Graph, Value, standard
from algos.frontend.lookup import Lookup, taken_off
from algos.frontend.lower import Lowering, Renaming, lacking, refusal
from algos.frontend.operators import OPERATORS
from algos.frontend.record import evaluating, record
from algos.frontend.rewrites import rewrite
from algos.models.resnet import ResNet
from algos.training import normalize
from sim.errors import InputError
from sim.network import Network, TensorSpec

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
        order: int64 [C, H, W], where the elements of the network's input lie in a sample.
        lookup: what makes the network's input of numbers of things; None where the module takes floats.
    """

    network: Network
    fidelity: compare.Comparison
    activations: Mapping[str, Activation]
    order: np.ndarray
    lookup: Lookup | None = None

    def integers(self, inputs: Tensor) -> np.ndarray:
        """int8 [n, C, H, W]: what the module takes [n, ...] as the network takes it."""
        real = self.lookup(inputs) if self.lookup else inputs
        return self.network.input.quantize(_placed(real, self.order))


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
        module: takes one tensor [n, ...], see `operators`; whole numbers where an embedding looks them up first:
            the network of integers begins behind it. Of several results the names are in `Network.metadata`.
        batches: tensors, or tuples, lists or dictionaries that begin with one; each of one size but for n.
        name: of the network; by default the module's class.
        input: scale and zero point of the network's input; by default from the batches.
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
    first, others = opened(batches)
    if equalize:
        module = equalized(module, first[:1])
    graph = record(module, (first[:1],), OPERATORS)
    require_one(graph)
    lookup, example = taken_off(graph), first[:1]
    rewrite(graph, OPERATORS)
    if lookup is not None:
        first, others = lookup(first), map(lookup, others)
    check(module, example, graph, first[:1])
    seen = observed(graph, first, others)
    (source,) = graph.inputs
    quantized = input or scheme.activation(seen[source])
    given = dict(zip(graph.outputs, results, strict=True)) if results else {}
    lowering = Lowering(graph, seen, scheme, quantized, rename or {}, given)
    with torch.no_grad():
        layers = tuple(lowering.run())
    layout = lowering.held[source].layout
    spec = TensorSpec(layout.map, quantized.scale, quantized.zero_point)
    said = {**(metadata or {}), **(lookup.metadata if lookup else {}), **lowering.results()}
    network = Network(name or type(module).__name__, spec, layers, said)
    some = first[: max(LEAST, min(COMPARED, chunk(graph)))]
    images = _placed(some, layout.index())
    real = floats(graph, some)
    if bias_correction:
        network = corrected(network, images, real, lowering.sums)
    found = compare.compare(network, images, real, lowering.held)
    compare.require(found, allow)
    activations = {one.tensor: one.activation for one in lowering.held.values()}
    return Quantized(network, found, activations, layout.index(), lookup)


def _placed(samples: Tensor, order: np.ndarray) -> np.ndarray:
    """float64 [n, C, H, W] of [n, ...]."""
    return np.asarray(samples.double().flatten(1).numpy()[:, order])


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


def opened(batches: Iterable[Any]) -> tuple[Tensor, Iterator[Tensor]]:
    """The inputs of the first batch, and those of the others.

    Raises:
        InputError: there is none.
    """
    stream = (first_tensor(batch) for batch in batches)
    first = next(stream, None)
    if first is None:
        raise InputError("calibration", 0, "no images", "give a few hundred training images")
    return first, stream


def first_tensor(batch: Any) -> Tensor:
    """The input of a batch, float [n, ...]."""
    while not isinstance(batch, Tensor):
        batch = next(iter(batch.values() if isinstance(batch, Mapping) else batch))
    if not len(batch):
        raise InputError("calibration", 0, "no images", "give a few hundred training images")
    return standard(batch)


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


def require_one(graph: Graph) -> None:
    """Raises InputError where the module takes several tensors."""
    if len(graph.inputs) != 1:
        raise InputError(
            "module",
            graph.name,
            f"takes {len(graph.inputs)} tensors",
            "wrap it in a module of one input, which it splits",
        )


def check(module: nn.Module, example: Tensor, graph: Graph, start: Tensor) -> None:
    """Runs both once: what was recorded is what the module does.

    Args:
        start: what the graph takes in the place of the module's `example`.

    Raises:
        InputError: it is not, or a result is not finite.
    """
    with evaluating(module):
        wanted = [leaf for leaf in tree_leaves(module(example)) if isinstance(leaf, Tensor)]
        values = graph.run((start,))
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


def observed(graph: Graph, first: Tensor, others: Iterable[Tensor]) -> dict[Value, Histogram]:
    """What each value is on all batches; on one sample where the network has no integers anyway.

    Raises:
        InputError: nothing can run an operator that has none on a batch.
    """
    lacks = [lack for node in graph.nodes if (lack := lacking(node)) is not None]
    if not lacks:
        return observe(graph, chain([first], others))
    try:
        return observe(graph, [first[:1]])
    except (RuntimeError, InputError) as error:  # an infinite mask, where no softmax takes it
        raise refusal(graph.name, lacks) from error


def observe(graph: Graph, batches: Iterable[Tensor]) -> dict[Value, Histogram]:
    """What each value is, image by image; no more than a chunk of them is held."""
    seen: dict[Value, Histogram] = {}
    for batch in batches:
        for part in batch.split(chunk(graph)):
            for value, tensor in floats(graph, part).items():
                if tensor.is_floating_point() and tensor.numel():
                    name = value.producer.name if value.producer else "input"
                    seen.setdefault(value, Histogram(f"activation {name}")).add(tensor)
    return seen


def chunk(graph: Graph) -> int:
    """Images that run at once."""
    each = sum(value.elements for node in graph.nodes for value in node.outputs)
    return max(1, ELEMENTS // max(each, 1))


def floats(graph: Graph, images: Tensor) -> dict[Value, Tensor]:
    """Every value of the float network, [n, ...] with the graph's batch of one in the place of dots."""
    order: list[Value] = []

    def one(image: Tensor) -> list[Tensor]:
        found = graph.run((image,))
        order[:] = found
        return list(found.values())

    with torch.no_grad():
        found = torch.vmap(one)(images[:, None])
    return dict(zip(order, found, strict=True))
