"""The proofs of all components."""

from __future__ import annotations

from math import comb

from rtl import packets
from rtl.beat_buffer import BeatBuffer
from rtl.block import module_name
from rtl.bus.address_channel import AddressChannel
from rtl.bus.command_buffer import CommandBuffer
from rtl.bus.command_port import CommandPort
from rtl.bus.fifo import Fifo
from rtl.bus.packet_assembler import PacketAssembler
from rtl.bus.read_port import ReadPort
from rtl.bus.registers import Registers
from rtl.bus.row_mover import RowMover
from rtl.bus.runs import Runs
from rtl.bus.sram_fifo import SramFifo
from rtl.bus.tile_mover import TileMover
from rtl.bus.weight_port import WeightPort
from rtl.bus.write_port import WritePort
from rtl.compactor import Compactor
from rtl.entry_counter import EntryCounter
from rtl.formal.prove import Proof
from rtl.geometry import COUNT_BITS, Geometry
from rtl.map_group import MapGroup
from rtl.mask_decoder import MaskDecoder
from rtl.pe import Pe
from rtl.positions import Positions
from rtl.prf import Prf
from rtl.requantizer import Requantizer
from rtl.row_decoder import RowDecoder
from rtl.row_entries import RowEntries
from rtl.unit_buffer import UnitBuffer
from rtl.wrf import Wrf
from sim.accelerator import preset


def _positions(keep: int, group: int) -> Proof:
    return Proof(f"positions {keep}:{group}", lambda: Positions(keep=keep, group=group), "positions",
                 {"KEEP": keep, "GROUP": group}, fast=group == 4)


def _mask_decoder(keep: int, group: int) -> Proof:
    bits = max(1, (comb(group, keep) - 1).bit_length())
    return Proof(f"mask decoder {keep}:{group}", lambda: MaskDecoder(keep=keep, group=group), "mask_decoder",
                 {"KEEP": keep, "GROUP": group, "CODE_BITS": bits})


def _compactor(length: int, keep: int, group: int) -> Proof:
    return Proof(f"compactor {keep}:{group}, d = {length}",
                 lambda: Compactor(length=length, keep=keep, group=group), "compactor",
                 {"LENGTH": length, "KEEP": keep, "GROUP": group,
                  "SUB_BITS": max(1, (group // keep - 1).bit_length())})


def _expose(kind: str, *registers: str) -> tuple[str, ...]:
    """Makes registers outputs, for invariants that name them."""
    module = module_name(kind)
    return ("proc", f"flatten {module}", *(f"expose {module}/w:{name}" for name in registers))


_AXI = {"ADDRESS_BITS": 32, "REQUEST_BITS": 17, "BURST_BEATS": 16, "PAGE_BYTES": 4096, "OUTSTANDING": 32}
_SMALL_WRITES = {"ADDRESS_BITS": 4, "REQUEST_BITS": 3, "BURST_BEATS": 2, "PAGE_BYTES": 4, "OUTSTANDING": 2,
                 "WAITING_WORDS": 2}
_GEOMETRY = Geometry(preset("ews-4"))
_UNIT_BITS = packets.unit(_GEOMETRY).size
_JOB, _TILE, _CHUNK = packets.job(_GEOMETRY), packets.tile(_GEOMETRY), packets.chunk(_GEOMETRY)
_READ_RULES = ("stream_rules", "burst_rules", "read_memory")
_WRITE_RULES = ("stream_rules", "burst_rules", "write_rules")
_WEIGHT_QUEUES = {"WAITING_JOBS": 8, "BUFFER_BEATS": 32, "OUTSTANDING": 32}
_QUICK_DMA = preset("ews-4").model_copy(update={"dma_setup": 2})
_SHALLOW = preset("ews-4").model_copy(update={"prf_depth": 2})
_TWO_RECORDS = preset("ews-cms-4").model_copy(update={"columns": 8})
_CHANNEL = ("begun", "rest_address", "rest_beats", "underway_level", "waiting")


def _requantizer(shift: int) -> Proof:
    product = "codeword_requantizer/w:product"
    return Proof(f"requantizer, any product, shift {shift}", Requantizer, "requantizer", {"SHIFT": shift},
                 prepare=("proc", f"cutpoint {product}", f"expose {product}"), engine="sweeping")


def _unpacking(index_bits: int) -> Proof:
    return Proof(f"record unpacking, index of {index_bits} bits",
                 lambda: RowDecoder(accelerator=_TWO_RECORDS), "unpacking",
                 {"INDEX_BITS": index_bits}, engine="bounded", cycles=8,
                 beside=(lambda: BeatBuffer(port_bits=4, ring_bits=16, rows=2, row_bits=12),))


def _unit_buffer(what: str, of_packet: int, place: int, bit: int) -> Proof:
    return Proof(f"unit buffer, {what}", lambda: UnitBuffer(accelerator=_SHALLOW), "unit_buffer",
                 {"UNIT_BITS": _UNIT_BITS, "UNIT_WORDS": packets.words(packets.unit(_GEOMETRY)),
                  "WORD_BITS": 64, "COLUMNS": _GEOMETRY.accelerator.columns, "GROUP_BITS": 1,
                  "EXTENT_BITS": _GEOMETRY.extent_bits, "PARAMETER_BITS": packets.PARAMETER.size,
                  "A": packets.unit(_GEOMETRY)["a"].offset,
                  "OF_PACKET": of_packet, "PLACE": place, "WHICH": bit},
                 engine="correspondence")


PROOFS = (
    *(_positions(*pattern) for pattern in ((1, 2), (2, 4), (1, 4), (2, 8), (4, 16), (3, 6))),
    *(_mask_decoder(*pattern) for pattern in ((1, 2), (2, 4), (1, 4), (2, 8), (4, 16), (3, 6))),
    *(_compactor(*sizes) for sizes in ((8, 2, 4), (16, 4, 16))),
    Proof("row decoder", lambda: RowDecoder(accelerator=preset("ews-cms-4")), "row_decoder",
          {"ROW_BITS": RowDecoder(accelerator=preset("ews-cms-4")).row.shape().width, "RECORDS": 1}),
    Proof("WRF", lambda: Wrf(depth=4, word_bits=10), "wrf", fast=True),
    Proof("PE", lambda: Pe(depth=2, sum_bits=18), "pe"),
    Proof("PRF", lambda: Prf(depth=4, columns=2, sum_bits=6), "prf"),
    Proof("entry counter, depth 4", lambda: EntryCounter(depth=4), "entry_counter", {"DEPTH": 4}),
    Proof("beat buffer", lambda: BeatBuffer(port_bits=4, ring_bits=8, rows=2, row_bits=5), "beat_buffer"),
    Proof("FIFO", lambda: Fifo(width=3, depth=4), "fifo",
          checkers=("stream_rules", "queue_rules"), fast=True),
    Proof("SRAM FIFO", lambda: SramFifo(width=3, depth=4), "sram_fifo",
          checkers=("stream_rules", "queue_rules"), fast=True),
    Proof("address channel", lambda: AddressChannel(data_bits=64), "address_channel",
          checkers=("stream_rules", "burst_rules", "request_rules"), engine="induction",
          prepare=_expose("address_channel_64", *_CHANNEL)),
    Proof("packet assembler", lambda: PacketAssembler(words=3), "packet_assembler",
          checkers=("stream_rules",), small={"WORD_BITS": 2}, fast=True),
    Proof("runs", Runs, "runs", checkers=("stream_rules",),
          engine="correspondence", small={"ADDRESS_BITS": 6, "WORD_ADDRESS_BITS": 3}, fast=True),
    Proof("map group", lambda: MapGroup(words=8, banks=4), "map_group", {"WORDS": 8, "BANKS": 4},
          engine="correspondence",
          small={"WORD_ADDRESS_BITS": 4, "WORD_BITS": 16, "WORD_BYTES": 2}),
    Proof("row entries", lambda: RowEntries(accelerator=preset("ews-4")), "row_entries",
          {"UNIT_BITS": _UNIT_BITS, "EXTENT_BITS": _GEOMETRY.extent_bits, "COUNT_BITS": COUNT_BITS},
          checkers=("stream_rules",), engine="induction",
          prepare=_expose("row_entries", "waiting")),
    Proof("command buffer", CommandBuffer, "command_buffer", checkers=("stream_rules", "queue_rules"),
          small={"WORD_BITS": 2, "ADDRESS_BITS": 8, "COMMAND_WORDS": 4, "COMMAND_BURST": 2, "LENGTH_BITS": 4},
          engine="reachability"),
    Proof("registers", lambda: Registers(accelerator=preset("ews-4"), counters=("cycles",)), "registers",
          checkers=("stream_rules",), engine="correspondence"),
    Proof("AXI read port", lambda: ReadPort(data_bits=64), "read_port",
          checkers=("stream_rules", "burst_rules"), engine="correspondence",
          prepare=_expose("read_port_64", *(f"channel.{name}" for name in (*_CHANNEL, "dropping")))),
    Proof("AXI write port, small", lambda: WritePort(data_bits=8), "write_port",
          {"STRENGTHENED": 1}, checkers=_WRITE_RULES, small=_SMALL_WRITES,
          engine="correspondence",
          prepare=_expose("write_port_8", "owed", "coming", "sent", "queue_level", "lengths.level",
                          "channel.underway_level", "channel.waiting", "channel.begun",
                          "channel.rest_beats")),
    Proof("AXI write port", lambda: WritePort(data_bits=8), "write_port", _AXI,
          checkers=_WRITE_RULES, engine="bounded", cycles=10),
    Proof("weight port", lambda: WeightPort(accelerator=preset("ews-4")), "weight_port",
          {"JOB_BITS": _JOB.size, "ADDRESS": _JOB["address"].offset, "WAIT": _JOB["wait"].offset,
           "BEATS": _JOB["beats"].offset, "BEAT_COUNT_BITS": _JOB["beats"].width, **_WEIGHT_QUEUES},
          checkers=(*_READ_RULES, "queue_rules"), engine="bounded", cycles=8),
    Proof("row mover", RowMover, "row_mover", checkers=(*_WRITE_RULES, "queue_rules"), engine="bounded",
          cycles=8),
    Proof("tile mover", lambda: TileMover(accelerator=_QUICK_DMA), "tile_mover",
          {"TILE_BITS": _TILE.size, "IFMAP": _TILE["ifmap_address"].offset, "OUTSTANDING": 32},
          checkers=_READ_RULES, engine="bounded", cycles=8),
    Proof("command port, small", lambda: CommandPort(accelerator=preset("ews-4")), "command_port",
          {f"{name}_{unit}": value for name, layout in (("JOB", _JOB), ("TILE", _TILE), ("CHUNK", _CHUNK))
           for unit, value in (("BITS", layout.size), ("WORDS", packets.words(layout)))},
          checkers=_READ_RULES, engine="bounded", cycles=10,
          small={"COMMAND_WORDS": 8, "COMMAND_BURST": 4, "FETCHES": 4, "OUTSTANDING": 4}),
    *(_unpacking(bits) for bits in range(1, 5)),
    _unit_buffer("packet", 1, 1, 5),
    _unit_buffer("parameters", 0, 2, 7),
    *(_requantizer(shift) for shift in range(1, 48)),
)
