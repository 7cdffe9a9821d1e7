"""Vectors for the registers: what software writes and reads, what units report."""

from __future__ import annotations

from functools import partial

import numpy as np

from evidence.mutation.suite import Inputs, Vectors, VectorSuite
from evidence.mutation.words import below, chance, number
from rtl.bus.registers import Registers
from sim.accelerator import load

_ACC = load("ews-4")
# In the order of their addresses (docs/hardware.md), not as rtl has them.
_STREAMS = ("jobs", "tiles", "chunks", "units")
_COUNTERS = ("cycles", "beats")
_PORTS = ("commands", "weights", "maps_read", "maps_write")
_CONSTANTS = {  # as sim.accelerator describes ews-4
    0x00: 0x44574443,
    0x04: 0x00020000,
    0x08: _ACC.rows | _ACC.columns << 8 | _ACC.tile_rows << 16 | _ACC.tile_columns << 24,
    0x0C: _ACC.sparse_tile << 4 | _ACC.codeword_length << 5 | _ACC.keep << 13 | _ACC.group << 18,
    0x10: _ACC.wrf_depth | _ACC.prf_depth << 16,
    0x14: _ACC.codebook_entries | _ACC.weight_port_bits << 17,
    0x18: _ACC.l1_bytes,
    0x1C: 32,
}


_CONTROL, _STATUS, _LAYER_COUNT = 0x20, 0x24, 0x30
_WATCHDOG, _FIRST_STREAM, _FIRST_WINDOW, _FIRST_COUNTER = 0x34, 0x40, 0x60, 0x100
_WINDOWS = ("commands", "weights", "maps")
_WINDOW_OF_PORT = (0, 1, 2, 2)
_RESPONSE, _WINDOW, _SETUP, _LEFT, _EXPIRED, _OVERFLOW = range(1, 7)
_OKAY, _SLVERR = 0, 2


class _Registers:
    """What software sees.

    Attributes:
        values: registers that hold what was written.
        upper: upper half of the counter of which the lower half was read last.
        port, error_address: of the first error.
        read: data and response that wait; `response`: of a write, one that waits.
    """

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        self.values = dict.fromkeys((_LAYER_COUNT, _WATCHDOG, *range(_FIRST_STREAM, 0x90, 4)), 0)
        self.values[_WATCHDOG] = 1 << 28
        self.enable = self.running = self.clearing = self.starting = 0
        self.done = self.error = self.pending = self.code = 0
        self.port = self.layers = self.upper = self.error_address = 0
        self.read: tuple[int, int] | None = None
        self.response: int | None = None

    @property
    def busy(self) -> int:
        return self.running | self.clearing

    def value(self, address: int, inputs: Inputs) -> int | None:
        """What a read gives; None: there is no register."""
        status = self.busy | self.done << 1 | self.error << 2 | self.port << 4 | self.pending << 8
        known = (
            _CONSTANTS
            | self.values
            | {_CONTROL: self.enable << 2, _STATUS: status | self.code << 12, 0x2C: self.layers}
            | {0x28: self.error_address & 0xFFFFFFFF, 0x38: self.error_address >> 32}
        )
        for n, name in enumerate(_COUNTERS):
            low = _FIRST_COUNTER + 8 * n
            known |= {low: inputs[f"count_{name}"] & 0xFFFFFFFF, low + 4: self.upper}
        return known.get(address)

    def outputs(self, inputs: Inputs) -> dict[str, int]:
        """Of this cycle; `start` and `clear` are those of the write that it takes."""
        answered = self.response is None or inputs["bready"]
        self.takes = bool(inputs["awvalid"] and inputs["wvalid"] and answered)
        self.accepts = self.read is None or bool(inputs["rready"])
        self.write = inputs["awaddr"] & ~3
        self.mask = sum(0xFF << 8 * lane for lane in range(4) if inputs["wstrb"] >> lane & 1)
        self.bits = inputs["wdata"] & self.mask if self.takes else 0
        control = self.bits if self.write == _CONTROL else 0
        self.begins = bool(control & 1 and not self.busy and not control >> 1 & 1)
        self.clear = bool(control >> 1 & 1) or self.begins
        self.ready = bool(self.clearing and inputs["ports_idle"] and not self.clear)
        self.fault = self._fault(inputs)
        self.fails = bool(self.fault and not self.error)
        self.start = bool(self.ready and self.starting and not self.fails)
        outputs = {
            "awready": self.takes,
            "wready": self.takes,
            "bvalid": self.response is not None,
            "arready": self.accepts,
            "rvalid": self.read is not None,
            "layer_count": self.values[_LAYER_COUNT],
            "start": self.start,
            "clear": self.clear,
            "stop": self.error,
            "busy": self.busy,
            "irq": self.pending & self.enable,
            "watches": self.busy and not self.clear,
            "watchdog": self.values[_WATCHDOG],
        }
        for w, name in enumerate(_WINDOWS):
            base, size = self._window(w)
            outputs |= {f"{name}_page": base // 4096 % (1 << 20), f"{name}_pages": size // 4096 % (1 << 21)}
        for s, name in enumerate(_STREAMS):
            base = _FIRST_STREAM + 8 * s
            outputs |= {f"{name}_base": self.values[base], f"{name}_count": self.values[base + 4]}
        if self.response is not None:
            outputs["bresp"] = self.response
        if self.read is not None:
            outputs |= {"rdata": self.read[0], "rresp": self.read[1]}
        return outputs

    def clock(self, inputs: Inputs) -> None:
        self._clock_read(inputs)
        self._clock_write(inputs)
        self._clock_run(inputs)
        if inputs["rst"]:
            self.reset()

    def _clock_read(self, inputs: Inputs) -> None:
        if not self.accepts:
            return
        self.read = None
        if inputs["arvalid"]:
            address = inputs["araddr"] & ~3
            value = self.value(address, inputs)
            self.read = (0, _SLVERR) if value is None else (value, _OKAY)
            if address >= _FIRST_COUNTER and address % 8 == 0 and value is not None:
                name = _COUNTERS[(address - _FIRST_COUNTER) // 8]
                self.upper = inputs[f"count_{name}"] >> 32

    def _clock_write(self, inputs: Inputs) -> None:
        if inputs["bready"]:
            self.response = None
        if not self.takes:
            return
        self.response = _SLVERR if self.value(self.write, inputs) is None else _OKAY
        if self.write in self.values:
            kept = 0xFFFF if self.write == _LAYER_COUNT else 0xFFFFFFFF
            self.values[self.write] = (self.values[self.write] & ~self.mask | self.bits) & kept
        if self.write == _CONTROL and self.mask & 1:
            self.enable = self.bits >> 2 & 1

    def _clock_run(self, inputs: Inputs) -> None:
        """A run, its end and its errors; a later rule counts more."""
        self.layers = (self.layers + (inputs["layer_end"] & self.running)) % (1 << 32)
        if self.write == _STATUS and self.bits >> 8 & 1:
            self.pending = 0
        if self.ready:
            self.clearing = self.starting = 0
        if self.start:
            self.running = 1
        if self.running and inputs["finished"] and not self.start:
            self.running, self.done, self.pending = 0, int(not self.fails), 1
        if self.fails:
            self.running = self.clearing = self.starting = 0
            self.error = self.pending = 1
            assert self.fault is not None
            self.code, self.port, self.error_address = self.fault
        if self.clear:
            self.running, self.clearing, self.starting = 0, 1, int(self.begins)
            self.done = self.error = self.pending = self.code = 0
        if self.begins:
            self.layers = 0

    def _window(self, number: int) -> list[int]:
        """Base and size in bytes."""
        at = _FIRST_WINDOW + 16 * number
        return [self.values[low] | self.values[low + 4] << 32 for low in (at, at + 8)]

    def _fault(self, inputs: Inputs) -> tuple[int, int, int] | None:
        """Code, port and address of what is wrong in this cycle."""
        if self.ready and self.starting:
            streams = any(self.values[_FIRST_STREAM + 8 * s] % 8 for s in range(4))
            for w in range(3):
                base, size = self._window(w)
                if base % 4096 or size % 4096 or base + size > 1 << 32 or (w == 0 and streams):
                    return _SETUP, w, self._asked(inputs)[2]
        found = self._asked(inputs)
        if found[0]:
            return found
        if inputs["overflow"] and self.busy:
            return _OVERFLOW, 0, 0
        if inputs["expired"]:
            return _EXPIRED, 0, 0
        if inputs["finished"] and inputs["left"] and self.busy:
            return _LEFT, 0, 0
        return None

    def _asked(self, inputs: Inputs) -> tuple[int, int, int]:
        """What a port reports; its address even where another error counts more."""
        for n, name in enumerate(_PORTS):
            refused = inputs[f"{name}_refused"]
            if refused or inputs[f"{name}_error"]:
                base, _ = self._window(_WINDOW_OF_PORT[n])
                at = (base + inputs[f"{name}_error_address"]) % (1 << 32)
                return _WINDOW if refused else _RESPONSE, n, at
        return 0, 0, 0


def _address(rng: np.random.Generator) -> int:
    """A register, or an address that differs from one in a bit."""
    known = [
        *_CONSTANTS,
        *range(0x20, 0x3C, 4),
        *range(0x40, 0x90, 4),
        *range(0x100, 0x100 + 8 * len(_COUNTERS), 4),
    ]
    address = known[below(rng, len(known))]
    return address ^ 1 << 2 + below(rng, 10) if chance(rng, 0.5) else address


def _inputs(rng: np.random.Generator, n: int) -> dict[str, int]:
    """Of cycle n: for a while runs are short, then long."""
    counts = [number(rng, 64) for _ in _COUNTERS]
    write, read = _address(rng), _address(rng)
    if chance(rng, 0.3):
        write = _CONTROL
    if chance(rng, 0.2):
        read = _STATUS
    data = number(rng, 32)
    # A start needs all windows and the bases of the streams right.
    if (write >= _FIRST_WINDOW or write % 8 == 0) and _FIRST_STREAM <= write < 0x90 and not chance(rng, 0.03):
        data = number(rng, 20) << 12 if write % 16 == 0 else 0
    if write == _CONTROL:
        data = data & ~3 | (1 if chance(rng, 0.5) else 0) | (2 if chance(rng, 0.1) else 0)
    busy_phase = n // 200 % 2
    fails = [chance(rng, 0.01) for _ in _PORTS]
    if chance(rng, 0.004):
        fails = [chance(rng, 0.5) for _ in _PORTS]
    addresses = [number(rng, 32) for _ in _PORTS]
    inputs = {
        "awaddr": write | below(rng, 4),
        "awvalid": chance(rng, 0.6),
        "awprot": below(rng, 8),
        "wdata": data,
        "wstrb": 15 if chance(rng, 0.5) else below(rng, 16),
        "wvalid": chance(rng, 0.7),
        "bready": chance(rng, 0.7),
        "araddr": read | below(rng, 4),
        "arprot": below(rng, 8),
        "arvalid": chance(rng, 0.7),
        "rready": chance(rng, 0.7),
        "rst": chance(rng, 0.002),
        "finished": chance(rng, 0.02 if busy_phase else 0.3),
        "layer_end": chance(rng, 0.9 if busy_phase else 0.3),
        "ports_idle": chance(rng, 0.4),
        "left": chance(rng, 0.2),
        "expired": chance(rng, 0.005),
        "overflow": chance(rng, 0.005),
    }
    inputs |= {f"{port}_error": fail for port, fail in zip(_PORTS, fails, strict=True)}
    inputs |= {f"{port}_refused": fail and chance(rng, 0.5) for port, fail in zip(_PORTS, fails, strict=True)}
    inputs |= {f"{port}_error_address": at for port, at in zip(_PORTS, addresses, strict=True)}
    return inputs | {f"count_{name}": count for name, count in zip(_COUNTERS, counts, strict=True)}


def _registers(rng: np.random.Generator) -> Vectors:
    model = _Registers()
    for n in range(8000):
        inputs = _inputs(rng, n)
        yield inputs, model.outputs(inputs)
        model.clock(inputs)


SUITES = (
    VectorSuite(
        "registers",
        partial(Registers, accelerator=_ACC, counters=_COUNTERS),
        _registers,
        view="""
    if (!bvalid) seen_bresp = 0;
    if (!rvalid) begin seen_rdata = 0; seen_rresp = 0; end""",
    ),
)
