"""Passes over a graph that spell out what is one operator to torch and several layers to the hardware."""

from __future__ import annotations

from collections.abc import Mapping

from algos.frontend.graph import Graph
from algos.frontend.operator import Operator
from algos.frontend.rewrite.attention import spell_attention


def rewrite(graph: Graph, known: Mapping[str, Operator]) -> None:
    """Every pass, in place."""
    spell_attention(graph, known)
    graph.connect()
