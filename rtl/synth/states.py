"""What a cell that holds a state does, by its pins."""

from __future__ import annotations

from dataclasses import dataclass

from rtl.synth.function import Expression, parse


@dataclass(frozen=True)
class FlipFlop:
    """State of an edge-triggered cell. Without `clear` or `preset` the pin does not exist.

    Attributes:
        state, inverse: names by which output functions refer to it.
        both: value of state and inverse under clear and preset at once: L, H, N, T or X.
    """

    state: str
    inverse: str
    clocked_on: Expression
    next_state: Expression
    clear: Expression | None
    preset: Expression | None
    both: tuple[str, str]


@dataclass(frozen=True)
class GatePins:
    """Pins of a clock-gating cell: a latch that is open while the clock is low, and an AND.

    Attributes:
        scan: enables too; None where it has none.
    """

    clock: str
    enable: str
    output: str
    scan: str | None

    @property
    def function(self) -> Expression:
        """Whether the clock that arrives goes on, over the pins."""
        return parse(f"{self.clock} & ({' | '.join(filter(None, (self.enable, self.scan)))})")


@dataclass(frozen=True)
class LatchPins:
    """Pins of a latch that follows `data` while `enable` is 1.

    Attributes:
        idle: what pins that clear or preset it have while they do not, by name.
    """

    data: str
    enable: str
    output: str
    idle: dict[str, int]
