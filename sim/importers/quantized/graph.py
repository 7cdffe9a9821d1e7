"""What a quantized network is before it becomes layers: ONNX operators, values of all constants."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np


@dataclass(frozen=True)
class GraphNode:
    """An operator.

    Attributes:
        operator: of ONNX, of its latest version.
        inputs: names of tensors; "" where an optional one is left out.
        attributes: Python values; text is str.
    """

    name: str
    operator: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    attributes: Mapping[str, Any] = field(default_factory=dict)

    def input(self, position: int) -> str:
        """Name of an input, "" where it is left out."""
        return self.inputs[position] if position < len(self.inputs) else ""


Evaluate = Callable[[GraphNode, Sequence[np.ndarray | None]], list[np.ndarray]]


@dataclass(frozen=True)
class QuantizedGraph:
    """Nodes in execution order.

    Attributes:
        name: of the network.
        inputs: shapes by name, with a batch of 1 in front.
        constants: by name.
        evaluate: results of a node whose inputs are all constant.
        shapes: of tensors, as far as they are known; only refusals need them, to go on behind a node.
        notes: what was assumed on the way.
    """

    name: str
    nodes: Sequence[GraphNode]
    inputs: Mapping[str, tuple[int, ...]]
    outputs: Sequence[str]
    constants: Mapping[str, np.ndarray]
    evaluate: Evaluate
    shapes: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
