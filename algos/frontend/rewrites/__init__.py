"""Patterns of operators that are one, and operators that are several: a graph becomes one that has integers."""

from __future__ import annotations

from collections.abc import Mapping

from algos.frontend.graph import Graph
from algos.frontend.operator import Operator
from algos.frontend.rewrites.attention import attention, masked, turned
from algos.frontend.rewrites.builder import Rule, apply
from algos.frontend.rewrites.elementwise import larger, sloped
from algos.frontend.rewrites.norms import logarithm, rms, unit
from algos.frontend.rewrites.pooling import dilated
from algos.frontend.rewrites.products import constant_factor, resampled, stacked
from algos.frontend.rewrites.scan import scanned
from algos.frontend.rewrites.transposed import transposed

RULES: tuple[Rule, ...] = (
    scanned,
    stacked,
    attention,
    masked,
    rms,
    rms,
    unit,
    turned,
    constant_factor,
    resampled,
    transposed,
    dilated,
    logarithm,
    larger,
    sloped,
)
"""In their order; `rms` twice, for the norm and for its gain."""


def rewrite(graph: Graph, operators: Mapping[str, Operator]) -> None:
    """Applies every rule, in place.

    Args:
        operators: by name, "aten.matmul".
    """
    for rule in RULES:
        apply(rule, graph, operators)
