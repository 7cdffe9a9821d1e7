"""Networks that share their weights in one file: a bank of parameters by step.

A diffusion network runs once a time step on the same weights, with scales, tables and biases of the step. The file has
the network of step 0, and of every later step what differs from it: fields in the header's `steps`, tensors under the
name `LAYER.part@STEP`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from sim.errors import InputError

Fields = dict[str, Any]
Tensors = Mapping[str, np.ndarray]
WEIGHT = ("weight", "assignments", "mask_codes", "signs", "codebook")
"""Last parts of the names of tensors that all steps share."""


def apart(
    base: Fields, first: Tensors, other: Fields, second: Tensors, number: int
) -> tuple[Fields, Tensors]:
    """What a step's file has of its own: an entry of `steps`, and tensors under their names in the bank.

    Args:
        base, first: header and tensors of step 0.
        other, second: of the step.

    Raises:
        InputError: other layers, other weights, or another map at the input.
    """
    _require_same(
        [one["name"] for one in base["layers"]], [one["name"] for one in other["layers"]], number, "layers"
    )
    _require_same(sorted(first), sorted(second), number, "tensors")
    _require_same(base["input"]["shape"], other["input"]["shape"], number, "an input shape")
    own: Fields = {}
    for one, two in zip(base["layers"], other["layers"], strict=True):
        for field in ("kind", "input", "inputs"):
            _require_same(one.get(field), two.get(field), number, f"{one['name']}.{field}")
        if changed := {key: value for key, value in two.items() if one.get(key) != value}:
            own[two["name"]] = changed
    tensors = {name: tensor for name, tensor in second.items() if not np.array_equal(tensor, first[name])}
    for name in tensors:
        if name.rpartition(".")[2] in WEIGHT:
            _require_same(name, "a weight of its own", number, name)
    said = {key: value for key, value in other["metadata"].items() if base["metadata"].get(key) != value}
    entry = {"input": other["input"], "layers": own, "metadata": said}
    return entry, {f"{name}@{number}": tensor for name, tensor in tensors.items()}


def chosen(fields: Fields, tensors: Tensors, number: int) -> tuple[Fields, Tensors]:
    """Header and tensors of one step, as a file of it alone would have them.

    Raises:
        InputError: the bank has no such step, or names a layer that it does not have.
    """
    bank = fields.get("steps", [])
    if not isinstance(bank, list) or not 0 <= number <= len(bank):
        last = len(bank) if isinstance(bank, list) else 0
        raise InputError("step", number, f"the network has steps 0 to {last}", "choose one of them")
    own = {key: value for key, value in fields.items() if key != "steps"}
    if not number:
        return own, tensors
    entry = bank[number - 1]
    if not isinstance(entry, dict) or not entry.keys() <= {"input", "layers", "metadata"}:
        raise InputError(f"steps.{number - 1}", entry, "is no step", "export the network again")
    changed = entry.get("layers", {})
    known = {one.get("name") for one in own["layers"]}
    if unknown := sorted(changed.keys() - known):
        raise InputError(f"steps.{number - 1}.layers", unknown[0], "is no layer", "export the network again")
    own["layers"] = [{**one, **changed.get(one["name"], {})} for one in own["layers"]]
    own["input"] = entry.get("input", own["input"])
    own["metadata"] = {**own.get("metadata", {}), **entry.get("metadata", {})}
    ending = f"@{number}"
    special = {name.removesuffix(ending): tensor for name, tensor in tensors.items() if name.endswith(ending)}
    return own, {**tensors, **special}


def count(fields: Fields) -> int:
    """Steps of a file."""
    return len(fields.get("steps", [])) + 1


def _require_same(one: object, two: object, number: int, what: str) -> None:
    if one != two:
        problem = f"has {what} other than step 0"
        raise InputError("step", number, problem, "quantize the same network with the scales of each step")
