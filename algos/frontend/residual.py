"""Residual paths of 16 bits, as two INT8 tensors: a sum, and what its rounding left.

For the sum y of a skip x with remainder r and a branch u, with steps of INT8 layers alone: t = u + r, y = round(x + t),
d = x - y, r' = t + d. What t and d cost is steps as fine as the branch is small; that of y, which covers the
whole path, is kept in r' and comes back at the next sum. Norms and branches read y.
"""

from __future__ import annotations

from algos.frontend.calibrate import Activation
from algos.frontend.graph import Value
from algos.frontend.lower import Held, Lowering, Tail, ratios
from sim.network import Add


def skip(to: Lowering, left: Value, right: Value) -> Value | None:
    """Which operand of a sum is the path: what something else reads too; None where both are or neither is."""
    paths = [value for value in (left, right) if value in to.rests or len(set(value.users)) > 1]
    return paths[0] if len(paths) == 1 else None


def path_sum(to: Lowering, name: str, path: tuple[Value, Held], branch: Held, tail: Tail) -> None:
    """Adds the layers of a sum, whose remainder no layer needs where no other sum follows."""
    value, held = path
    out, rest = to.emitted(tail), to.rests.get(value)
    if rest is not None and rest.layout == branch.layout:
        low, high = (a + b for a, b in zip(_reach(branch.activation), _reach(rest.activation), strict=True))
        branch = added(to, f"{name}.branch", branch, rest, to.scheme.fitted(low, high))
    name = to.name(name)
    whole = added(to, name, branch, held, out)
    to.settle(tail, whole.tensor, out)
    low, high = _reach(branch.activation)
    back = to.scheme.fitted(-high - out.scale, -low + out.scale)
    difference = added(to, f"{name}.difference", held, to.turned(whole, negative=True), back)
    most = out.scale / 2 + back.scale
    to.rests[tail.out] = added(to, f"{name}.rest", branch, difference, to.scheme.fitted(-most, most))


def added(to: Lowering, name: str, one: Held, other: Held, out: Activation) -> Held:
    """A sum as a layer."""
    (m, n), shift = ratios([one.scale / out.scale, other.scale / out.scale])
    name = to.name(name)
    to.add(Add(name, (one.tensor, other.tensor), (m, n), shift, out.zero_point, out.low, out.high))
    return Held(name, out, one.layout)


def _reach(activation: Activation) -> tuple[float, float]:
    """Real values of the integers."""
    scale, zero = activation.scale, activation.zero_point
    return scale * (activation.low - zero), scale * (activation.high - zero)
