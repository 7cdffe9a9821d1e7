"""Vectors for what begins and ends layers."""

from __future__ import annotations

from functools import partial

import numpy as np

from evidence.mutation.suite import Inputs, Vectors, VectorSuite
from evidence.mutation.words import below, chance, number
from rtl.control.layer_controller import LayerController
from sim.accelerator import load

_RANDOM_CYCLES, _LONG_CYCLES = 12_000, 12_000
_LAYER_COUNT_BITS = 8
_ACC = load("ews-4", {"dma_setup": 3, "l2_latency": 1})
_PULSES = ("begin", "load", "pass_start", "allowed", "end", "done", "control", "drain", "running")


def _kind_known(inputs: Inputs) -> bool:
    """Whether the next unit is there."""
    return bool(inputs["pass_waiting"] or inputs["rows_waiting"])


def _known(inputs: Inputs) -> bool:
    """Whether a layer may begin."""
    return bool(inputs["pass_waiting"] or (inputs["rows_waiting"] and inputs["chunk_valid"]))


class _Layers:
    """A method a state; it returns the outputs that differ from 0.

    Attributes:
        then: state of the next cycle, if nothing halts the run.
        left: layers to run; `at`: control cycles that have passed.
        passes: the layer is a pass; `gone`: its rows have left; `rests`: cycles since the work ended.
    """

    def __init__(self, tail: int) -> None:
        self.tail = tail
        self.reset()

    def reset(self) -> None:
        self.state = self.then = "idle"
        self.left = self.at = self.rests = self.passes = self.gone = 0

    def outputs(self, inputs: Inputs) -> dict[str, int]:
        outputs = dict.fromkeys(_PULSES, 0)
        outputs |= {"passing": self.passes}
        self.then = self.state
        return outputs | getattr(self, f"_{self.state}")(inputs)

    def clock(self, inputs: Inputs) -> None:
        halts = inputs["halt"] and self.state not in ("idle", "halted")
        self.state = "halted" if halts else self.then
        if inputs["rst"]:
            self.reset()

    def _idle(self, inputs: Inputs) -> dict[str, int]:
        if inputs["start"]:
            self.then, self.left = "prime", inputs["layers"]
        return {}

    def _prime(self, inputs: Inputs) -> dict[str, int]:
        if self.left == 0:
            self.then = "idle"
            return {"done": 1}
        if not (inputs["primed"] and _known(inputs)):
            return {}
        self.then, self.at = "control", 0
        return {"begin": 1}

    def _control(self, inputs: Inputs) -> dict[str, int]:
        outputs = {"running": 1, "control": 1}
        if self.at < 3:
            self.at += 1
        elif _known(inputs):
            outputs["pass_start" if inputs["pass_waiting"] else "load"] = 1
            self.then, self.passes, self.rests, self.gone = "work", inputs["pass_waiting"], 0, 0
        return outputs

    def _work(self, inputs: Inputs) -> dict[str, int]:
        drains = not inputs["active"] and not inputs["pass_busy"]
        outputs: dict[str, int] = {"running": 1, "allowed": 1, "drain": drains}
        works = not self.gone if self.passes else not inputs["settled"]
        self.gone |= inputs["sent"]
        if not works and self.rests < self.tail - 1:
            self.rests += 1
        elif not works and inputs["idle"]:
            outputs["end"], self.at = 1, 0
            self.left -= 1
            if self.left == 0:
                outputs["done"], self.then = 1, "idle"
            else:
                outputs["begin"] = begins = _kind_known(inputs)
                self.then = "control" if begins else "gap"
        return outputs

    def _gap(self, inputs: Inputs) -> dict[str, int]:
        if not _kind_known(inputs):
            return {}
        self.then = "control"
        return {"begin": 1}

    def _halted(self, inputs: Inputs) -> dict[str, int]:
        self.then = "idle"
        return {"done": 1}


def _layer_controller(rng: np.random.Generator) -> Vectors:
    model = _Layers(_ACC.dma_setup + _ACC.l2_latency)
    for n in range(_RANDOM_CYCLES + _LONG_CYCLES):
        long = n > _RANDOM_CYCLES  # runs to the end, so that the upper bits of the number of layers count
        layers = below(rng, 5) if chance(rng, 0.7) else 1 << below(rng, _LAYER_COUNT_BITS)
        if long or chance(rng, 0.2):
            layers = number(rng, _LAYER_COUNT_BITS)
        fast = n // 1500 % 2
        often = 1.0 if long else 0.95 if fast else 0.4
        pass_waiting = chance(rng, 0.4)
        halts = 0.05 if model.state in ("prime", "gap") else 0.0005 if fast else 0.01
        inputs = {
            "start": chance(rng, 0.3),
            "layers": layers,
            "primed": chance(rng, often),
            "halt": chance(rng, halts),
            "rst": chance(rng, 0.0005),
            "pass_waiting": pass_waiting,
            "rows_waiting": int(not pass_waiting and chance(rng, often)),
            "chunk_valid": chance(rng, often),
            "settled": chance(rng, often),
            "active": chance(rng, 0.5),
            "pass_busy": chance(rng, 0.5),
            "sent": chance(rng, 0.3),
            "idle": chance(rng, often),
        }
        if long:
            inputs |= {"halt": 0, "rst": 0, "rows_waiting": int(not pass_waiting), "sent": 1}
        elif n == _RANDOM_CYCLES:
            inputs["rst"] = 1
        yield inputs, model.outputs(inputs)
        model.clock(inputs)


SUITES = (
    VectorSuite(
        "layer_controller",
        partial(LayerController, accelerator=_ACC),
        _layer_controller,
        small={"LAYER_COUNT_BITS": _LAYER_COUNT_BITS},
    ),
)
