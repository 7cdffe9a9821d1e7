"""Scaled dot-product attention."""

from __future__ import annotations

from algos.frontend.operator import Call, Operator
from sim.importers.steps import Step, attention


class Attention(Operator):
    """softmax(query key^T) value."""

    names = ("scaled_dot_product_attention",)

    def steps(self, call: Call) -> list[Step]:
        return attention(call.name, call["query"], call["key"], call["value"], call.out, call["attn_mask"])
