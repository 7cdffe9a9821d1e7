"""Layer shapes of any PyTorch module, from its graph."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager, suppress
from math import prod
from typing import Any

import torch
from torch import nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from algos.frontend.graph import Graph, Node, Value
from algos.frontend.operator import Call
from algos.frontend.operators import OPERATORS
from algos.frontend.record import evaluating, record
from sim.errors import InputError
from sim.importers import assemble, checked
from sim.importers.steps import Step, Tensor, view
from sim.importers.unknown import check_options, vector
from sim.shapes import Shape


def import_module(
    module: nn.Module, example_inputs: Sequence[Any], vector_operators: Collection[str] = ()
) -> list[Shape]:
    """Layer shapes of a module in execution order, in evaluation mode.

    Args:
        module: maps are [1, C, H, W], sequences [..., tokens, channels].
        example_inputs: arguments of its `forward`, with a batch of 1. Their shapes are fixed; they run
            through the module once to count its operations.
        vector_operators: ATen operators without an own meaning here, such as "aten.cumsum", that are
            one lane operation an element.

    Raises:
        InputError: a module that torch.export cannot record, an operator that is not supported, more
            than one image, or multiply-accumulates other than FlopCounterMode counts.
    """
    arguments = tuple(example_inputs)
    graph = record(module, arguments, OPERATORS)
    _require_one_image(graph)
    present = {node.operation for node in graph.nodes}
    check_options(vector_operators, present, set(OPERATORS))
    steps = [step for node in graph.nodes for step in _steps(node, vector_operators)]
    given = {value.name for node in graph.nodes for value in node.inputs if value.constant}
    given |= {value.name for value in graph.inputs}
    shapes = assemble(steps, given, [value.name for value in graph.outputs])
    return checked(graph.name, shapes, _macs(module, arguments, graph), "torch.utils.flop_counter").shapes


def _require_one_image(graph: Graph) -> None:
    """Raises InputError where a map has a batch; what the network itself makes several images of may be one."""
    for value in graph.inputs:
        for node in value.users:
            if "conv" in node.operation and value.extent[0] != 1:
                raise InputError(
                    f"{node.name}: batch",
                    value.extent[0],
                    "layer shapes describe one image",
                    "export the network with a batch of 1",
                )


def _macs(module: nn.Module, arguments: tuple[Any, ...], graph: Graph) -> int:
    """Multiply-accumulates of one run, without those that give constants; fused attention, which escapes the
    counter, is switched off."""
    fast = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)
    learned = [parameter for parameter in module.parameters() if parameter.requires_grad]
    try:
        for (
            parameter
        ) in learned:  # FlopCounterMode asks what takes gradients for its function, and there is none
            parameter.requires_grad_(False)
        with evaluating(module), sdpa_kernel(SDPBackend.MATH), _spelled():
            counted = {torch.ops.aten._grouped_mm: _expert_flops}  # it has no formula for it
            with FlopCounterMode(display=False, custom_mapping=counted) as all_of_them:
                module(*arguments)
            with FlopCounterMode(display=False) as constant:
                for node in _before(graph):
                    _run_without_values(node)
    finally:
        torch.backends.mha.set_fastpath_enabled(fast)
        for parameter in learned:
            parameter.requires_grad_(True)
    return (all_of_them.get_total_flops() - constant.get_total_flops()) // 2


@contextmanager
def _spelled() -> Iterator[None]:
    """Without oneDNN, which has a kernel for a whole LSTM, of which the counter knows nothing."""
    before = torch._C._get_mkldnn_enabled()
    torch._C._set_mkldnn_enabled(False)
    try:
        yield
    finally:
        torch._C._set_mkldnn_enabled(before)


def _expert_flops(tokens: Sequence[int], experts: Sequence[int], *_: Any, **__: Any) -> int:
    """Of [tokens, inner] and [experts, inner, columns]: each token meets the matrix of one expert."""
    return 2 * prod(tokens) * experts[-1]


def _before(graph: Graph) -> set[Node]:
    """What computes constants."""
    found: set[Node] = set()
    waiting = [value for node in graph.nodes for value in node.inputs if value.constant]
    while waiting:
        node = waiting.pop().producer
        if node is not None and node not in found:
            found.add(node)
            waiting += node.inputs
    return found


def _run_without_values(node: Node) -> None:
    """What needs values to run multiplies no matrices."""
    known = {value: torch.empty(value.extent, dtype=value.dtype, device="meta") for value in node.inputs}
    with suppress(RuntimeError, NotImplementedError):
        node.run(known)


def _steps(node: Node, vector_operators: Collection[str]) -> list[Step]:
    """What a node does, and names for its further results.

    Raises:
        InputError: an operator that is not supported.
    """
    call = Call(node.name, node.operation, _seen(node.arguments), tuple(map(_seen, node.outputs)))
    if node.operator is None:
        sources = [_seen(value) for value in node.inputs]
        return vector(node.name, node.operation, sources, list(call.outputs), vector_operators)
    steps = node.operator.steps(call)
    written = {step.output for step in steps}
    others = [
        out
        for value, out in zip(node.outputs[1:], call.outputs[1:], strict=True)
        if value.users and out.name not in written
    ]
    return steps + [view(f"{node.name}.{out.name}", call.out, out) for out in others]


def _seen(argument: Any) -> Any:
    """An argument with `Tensor` in the place of values."""
    if isinstance(argument, Value):
        return Tensor(argument.name, argument.extent, argument.constant)
    if isinstance(argument, dict):
        return {name: _seen(value) for name, value in argument.items()}
    return [_seen(item) for item in argument] if isinstance(argument, list) else argument
