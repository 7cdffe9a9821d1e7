"""The proofs of all components."""

from __future__ import annotations

from math import comb

from evidence.formal.bus_proofs import BUS_PROOFS
from evidence.formal.prove import Proof, expose
from rtl import packets
from rtl.array.pe import Pe
from rtl.array.prf import Prf
from rtl.array.wrf import Wrf
from rtl.control.entry_counter import EntryCounter
from rtl.control.watchdog import Watchdog
from rtl.digit_serial.neuron import Neuron
from rtl.digit_serial.ternary_pe import TernaryPe
from rtl.geometry import Geometry
from rtl.l1.map_group import MapGroup
from rtl.storer.finished_rows import FinishedRows
from rtl.storer.requantizer import Requantizer
from rtl.storer.stripe_buffer import StripeBuffer
from rtl.weights.beat_buffer import BeatBuffer
from rtl.weights.compactor import Compactor
from rtl.weights.mask_decoder import MaskDecoder
from rtl.weights.positions import Positions
from rtl.weights.row_decoder import RowDecoder
from rtl.weights.scaled_weight import ScaledWeight
from rtl.weights.ternary_digits import TernaryDigits
from sim.accelerator import preset
from sim.formats import named
from sim.formats.scaled import Scaled


def _positions(keep: int, group: int) -> Proof:
    return Proof(
        f"positions {keep}:{group}",
        lambda: Positions(keep=keep, group=group),
        "positions",
        {"KEEP": keep, "GROUP": group},
        fast=group == 4,
    )


def _mask_decoder(keep: int, group: int) -> Proof:
    bits = max(1, (comb(group, keep) - 1).bit_length())
    return Proof(
        f"mask decoder {keep}:{group}",
        lambda: MaskDecoder(keep=keep, group=group),
        "mask_decoder",
        {"KEEP": keep, "GROUP": group, "CODE_BITS": bits},
    )


def _compactor(length: int, keep: int, group: int) -> Proof:
    return Proof(
        f"compactor {keep}:{group}, d = {length}",
        lambda: Compactor(length=length, keep=keep, group=group),
        "compactor",
        {
            "LENGTH": length,
            "KEEP": keep,
            "GROUP": group,
            "SUB_BITS": max(1, (group // keep - 1).bit_length()),
        },
    )


_RULES = {"int4": 0, "int3": 0, "int2": 0, "nvfp4": 1, "mxfp4": 2, "mxint8": 3}
"""What a weight is of its element and scale, as scaled_weight.sv numbers it."""


def _scaled_weight(name: str) -> Proof:
    form = named(name)
    assert isinstance(form, Scaled)
    scale_bits = form.rows * form.bits
    return Proof(
        f"scaled weight, {name}",
        lambda: ScaledWeight(form=name, bits=form.bits, scale_bits=scale_bits),
        "scaled_weight",
        {
            "BITS": form.bits,
            "SCALE_BITS": scale_bits,
            "RULE": _RULES[name],
            "LOWEST": form.lowest,
            "CODES": form.codes,
        },
    )


def _scaled_rows(name: str) -> Proof:
    """Of an array of four columns."""
    machine = preset(f"{name}-g32-4")
    form = machine.weights
    return Proof(
        f"rows of scales, {name}",
        lambda: RowDecoder(accelerator=machine),
        "scaled_rows",
        {
            "ROW_BITS": Geometry(machine).row_bits,
            "COLUMNS": machine.columns,
            "BITS": form.unit_bits(machine, 0),
            "PARTS": form.scale_rows(machine),
        },
    )


_GEOMETRY = Geometry(preset("ews-4"))
_STRIPE_BITS = packets.stripe(_GEOMETRY).size
_SHALLOW = preset("ews-4").model_copy(update={"prf_depth": 2})
_TWO_RECORDS = preset("ews-cms-4").model_copy(update={"columns": 8})


def _requantizer(shift: int) -> Proof:
    product = "codeword_requantizer/w:product"
    return Proof(
        f"requantizer, any product, shift {shift}",
        Requantizer,
        "requantizer",
        {"SHIFT": shift},
        prepare=("proc", f"cutpoint {product}", f"expose {product}"),
        engine="sweeping",
    )


def _stripe_buffer(what: str, of_packet: int, place: int, bit: int) -> Proof:
    return Proof(
        f"unit buffer, {what}",
        lambda: StripeBuffer(accelerator=_SHALLOW),
        "unit_buffer",
        {
            "UNIT_BITS": _STRIPE_BITS,
            "UNIT_WORDS": packets.words(packets.stripe(_GEOMETRY)),
            "WORD_BITS": 64,
            "COLUMNS": _GEOMETRY.accelerator.columns,
            "GROUP_BITS": 1,
            "EXTENT_BITS": _GEOMETRY.extent_bits,
            "PARAMETER_BITS": packets.PARAMETER.size,
            "A": packets.stripe(_GEOMETRY)["a"].offset,
            "OF_PACKET": of_packet,
            "PLACE": place,
            "WHICH": bit,
        },
        engine="correspondence",
    )


PROOFS = (
    *(_positions(*pattern) for pattern in ((1, 2), (2, 4), (1, 4), (2, 8), (4, 16), (3, 6))),
    *(_mask_decoder(*pattern) for pattern in ((1, 2), (2, 4), (1, 4), (2, 8), (4, 16), (3, 6))),
    *(_compactor(*sizes) for sizes in ((8, 2, 4), (16, 4, 16))),
    *(_scaled_weight(name) for name in _RULES),
    *(_scaled_rows(name) for name in ("int4", "int3", "int2")),
    Proof("ternary digits", TernaryDigits, "ternary_digits"),
    Proof(
        "row decoder",
        lambda: RowDecoder(accelerator=preset("ews-cms-4")),
        "row_decoder",
        {"ROW_BITS": RowDecoder(accelerator=preset("ews-cms-4")).row.shape().width, "RECORDS": 1},
    ),
    Proof("WRF", lambda: Wrf(depth=4, word_bits=10), "wrf", fast=True),
    Proof(
        "PE",
        lambda: Pe(depth=2, sum_bits=18),
        "pe",
        engine="correspondence",
        prepare=expose("pe", "weight", "product"),
    ),
    Proof("ternary PE", lambda: TernaryPe(depth=2, sum_bits=11), "ternary_pe"),
    Proof("neuron, charges of 6 bits", lambda: Neuron(charge_bits=6, parameter_bits=4), "neuron"),
    Proof("PRF", lambda: Prf(depth=4, columns=2, sum_bits=6), "prf"),
    Proof("watchdog", Watchdog, "watchdog", small={"LIMIT_BITS": 4}, fast=True),
    Proof("entry counter, depth 4", lambda: EntryCounter(depth=4), "entry_counter", {"DEPTH": 4}),
    Proof("beat buffer", lambda: BeatBuffer(port_bits=4, ring_bits=8, rows=2, row_bits=5), "beat_buffer"),
    Proof(
        "map group",
        lambda: MapGroup(words=8, banks=4),
        "map_group",
        {"WORDS": 8, "BANKS": 4},
        engine="correspondence",
        small={"WORD_ADDRESS_BITS": 4, "WORD_BITS": 16, "WORD_BYTES": 2},
    ),
    Proof(
        "row entries",
        lambda: FinishedRows(accelerator=preset("ews-4")),
        "row_entries",
        {"UNIT_BITS": _STRIPE_BITS, "EXTENT_BITS": _GEOMETRY.extent_bits},
        checkers=("stream_rules",),
        prepare=expose("row_entries", "waiting", "behind", "some", "second"),
        small={"COUNT_BITS": 8},
    ),
    Proof(
        "record unpacking",
        lambda: RowDecoder(accelerator=_TWO_RECORDS),
        "unpacking",
        {"BEAT_BITS": 8, "RING_BITS": 32},
        engine="induction",
        prepare=expose("row_decoder", memories={"codebook.copy_0.words": 16, "codebook.copy_1.words": 16})
        + expose("beat_buffer", "low__addr", "write__addr", "lane", "offset", memories={"ring": 2}),
        beside=(lambda: BeatBuffer(port_bits=8, ring_bits=32, rows=2, row_bits=12),),
    ),
    *BUS_PROOFS,
    _stripe_buffer("packet", 1, 1, 5),
    _stripe_buffer("parameters", 0, 2, 7),
    *(_requantizer(shift) for shift in range(1, 48)),
)
