"""Operators no importer knows, and the user's word that they are work of the vector unit."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from sim.errors import InputError, nearest
from sim.importers.steps import Step, Tensor, view, work

OPTION = "--treat-as-vector"


def vector(
    name: str,
    operator: str,
    sources: Sequence[Tensor],
    outs: Sequence[Tensor],
    vector_operators: Collection[str],
) -> list[Step]:
    """One lane operation for each element read or written, whichever are more.

    Raises:
        InputError: the user has not said that the operator is work of the vector unit.
    """
    if operator not in vector_operators:
        raise unsupported(name, operator)
    active = [source for source in sources if not source.constant]
    largest = max(tensor.elements for tensor in (*active, *outs))
    first, *others = outs
    step = work(name, "other", active, first, largest, operands=min(2, max(1, len(active))))
    return [step, *(view(name, first, other) for other in others)]


def unsupported(name: str, operator: str) -> InputError:
    """The refusal of an operator that may be work of the vector unit."""
    return InputError(
        f"node {name}",
        operator,
        "this operator is not supported",
        f"{OPTION} {operator} (vector_operators={[operator]!r} in Python) counts it as "
        "one operation an element on the vector unit, or leave it out of the network",
    )


def hidden_products(name: str, operator: str, fix: str) -> InputError:
    """The refusal of an operator whose multiply-accumulates would be lost on the vector unit."""
    return InputError(
        f"node {name}",
        operator,
        "this operator computes matrix products or convolutions "
        "in a form that is not supported, and is no vector work",
        fix,
    )


def check_options(
    vector_operators: Collection[str], present: Collection[str], known: Collection[str]
) -> None:
    """Refuses options that would change nothing.

    Raises:
        InputError: an operator that the network does not contain, or that is supported.
    """
    for operator in vector_operators:
        if operator not in present:
            raise InputError(OPTION, operator, "not in the network", nearest(operator, present))
        if operator in known:
            raise InputError(
                OPTION, operator, "this operator has a meaning of its own", "leave the option out"
            )


def refuse(errors: Sequence[InputError]) -> None:
    """Raises one error that says all."""
    if len(errors) == 1:
        raise errors[0]
    if errors:
        problems = "; ".join(f"{error.field} ({error.value}): {error.problem}" for error in errors)
        fixes = "; ".join(dict.fromkeys(error.fix for error in errors))
        raise InputError("network", f"{len(errors)} problems", problems, fixes)
