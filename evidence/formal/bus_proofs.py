"""The proofs of the bus side: queues, AXI masters, movers, registers."""

from __future__ import annotations

from collections.abc import Mapping

from evidence.constants import constants
from evidence.formal.prove import Proof, expose
from rtl import packets
from rtl.bus.address_channel import REQUEST_BITS, AddressChannel
from rtl.bus.axi import BURST_BEATS, OUTSTANDING, PAGE_BYTES
from rtl.bus.command_buffer import LENGTH_BITS, CommandBuffer
from rtl.bus.command_port import CommandPort, systolic_streams
from rtl.bus.fifo import Fifo
from rtl.bus.packet_assembler import PacketAssembler
from rtl.bus.read_port import ReadPort
from rtl.bus.registers import Registers
from rtl.bus.row_mover import ROW_BYTES, FinishedRowMover
from rtl.bus.runs import Runs
from rtl.bus.sram_fifo import SramFifo
from rtl.bus.tile_mover import TileMover
from rtl.bus.weight_port import BUFFER_BEATS, WAITING_JOBS, WeightPort
from rtl.bus.window import Window
from rtl.bus.write_port import WritePort
from rtl.geometry import Geometry
from sim.accelerator import Accelerator, preset

_DENSE = preset("ews-4")
_QUICK_DMA = _DENSE.model_copy(update={"dma_setup": 2})
# Jobs of few bits, beats of one byte.
_NARROW = _DENSE.model_copy(
    update={
        "weight_port_bits": 8,
        "wrf_depth": 2,
        "codebook_entries": 2,
        "rows": 1,
        "columns": 1,
        "codeword_length": 1,
    }
)

_READ_RULES = ("stream_rules", "burst_rules", "read_memory")
_WRITE_RULES = ("stream_rules", "burst_rules", "write_rules")
_CHANNEL = ("begun", "rest_beats", "underway_level", "waiting")
_WRITES = (
    "owed",
    "fresh",
    "coming",
    "sent",
    "queue_level",
    "lengths.level",
    *(f"channel.{name}" for name in _CHANNEL),
)
_PORT_CHANNEL = tuple(f"port.channel.{name}" for name in (*_CHANNEL, "dropping"))

_AXI = {
    "ADDRESS_BITS": packets.ADDRESS_BITS,
    "REQUEST_BITS": REQUEST_BITS,
    "BURST_BEATS": BURST_BEATS,
    "PAGE_BYTES": PAGE_BYTES,
    "OUTSTANDING": OUTSTANDING,
}
_L1 = {"WORD_ADDRESS_BITS": packets.WORD_ADDRESS_BITS}
_SHORT_BURSTS = {"REQUEST_BITS": 3, "BURST_BEATS": 2, "OUTSTANDING": 2}
_BYTES = {**_SHORT_BURSTS, "PAGE_BYTES": 4}
_WORDS = {**_SHORT_BURSTS, "PAGE_BYTES": 32, "ADDRESS_BITS": 6, "WORD_ADDRESS_BITS": 2}
_SMALL_WEIGHTS = {
    **_BYTES,
    "ADDRESS_BITS": 3,
    "ROOM_BITS": 3,
    "WAITING_JOBS": 2,
    "BUFFER_BEATS": 4,
    "CREDIT_BITS": 2,
    "ANNOUNCE": 3,
}
_SMALL_TILES = {**_WORDS, "CREDIT_BITS": 2}
_SMALL_COMMANDS = {
    **_WORDS,
    "ADDRESS_BITS": 10,
    "LENGTH_BITS": 4,
    "COMMAND_WORDS": 4,
    "COMMAND_BURST": 2,
    "FETCHES": 2,
}
_MEDIUM_COMMANDS = {"COMMAND_WORDS": 8, "COMMAND_BURST": 4, "FETCHES": 4, "OUTSTANDING": 4}
# Invariants of what the registers inside hold, of small components.
_STRENGTHENED = {"STRENGTHENED": 1}


def _weights(accelerator: Accelerator, small: Mapping[str, int], pulses: int) -> dict[str, int]:
    with constants(small):
        job = packets.job(Geometry(accelerator))
    return {
        "JOB_BITS": job.size,
        "ADDRESS": job["address"].offset,
        "WAIT": job["wait"].offset,
        "BEATS": job["beats"].offset,
        "BEAT_COUNT_BITS": job["beats"].width,
        "BEAT_BITS": accelerator.weight_port_bits,
        "MOST_PULSES": pulses,
    }


def _tiles(small: Mapping[str, int]) -> dict[str, int]:
    with constants(small):
        tile = packets.tile(Geometry(_QUICK_DMA))
    return {"TILE_BITS": tile.size, "IFMAP": tile["ifmap_address"].offset}


def _commands(small: Mapping[str, int]) -> dict[str, int]:
    sizes: dict[str, int] = {}
    with constants(small):
        for name in ("job", "tile", "chunk"):
            layout = packets.LAYOUTS[f"{name}s"](Geometry(_DENSE))
            sizes |= {f"{name.upper()}_BITS": layout.size, f"{name.upper()}_WORDS": packets.words(layout)}
    return sizes


BUS_PROOFS = (
    Proof(
        "FIFO", lambda: Fifo(width=3, depth=4), "fifo", checkers=("stream_rules", "queue_rules"), fast=True
    ),
    Proof(
        "FIFO, head in a register",
        lambda: Fifo(width=3, depth=4, ahead=True),
        "fifo",
        {"AHEAD": 1},
        checkers=("stream_rules", "queue_rules"),
        fast=True,
    ),
    Proof(
        "SRAM FIFO",
        lambda: SramFifo(width=3, depth=4),
        "sram_fifo",
        checkers=("stream_rules", "queue_rules"),
        fast=True,
    ),
    Proof(
        "address channel",
        lambda: AddressChannel(data_bits=64),
        "address_channel",
        checkers=("stream_rules", "burst_rules", "request_rules"),
        engine="induction",
        prepare=expose("address_channel_64", *_CHANNEL, "rest_address"),
    ),
    Proof(
        "window",
        lambda: Window(data_bits=64, address_bits=40),
        "window",
        beside=(lambda: AddressChannel(data_bits=64),),
        engine="induction",
        prepare=expose(
            "address_channel_64", "waiting", "waiting_address", "waiting_length", "begun", "rest_beats"
        ),
        fast=True,
    ),
    Proof(
        "packet assembler",
        lambda: PacketAssembler(words=3),
        "packet_assembler",
        checkers=("stream_rules",),
        small={"WORD_BITS": 2},
        fast=True,
    ),
    Proof(
        "runs",
        Runs,
        "runs",
        checkers=("stream_rules",),
        engine="correspondence",
        small={"ADDRESS_BITS": 6, "WORD_ADDRESS_BITS": 3},
        fast=True,
    ),
    Proof(
        "command buffer",
        CommandBuffer,
        "command_buffer",
        checkers=("stream_rules", "queue_rules"),
        small={"WORD_BITS": 2, "ADDRESS_BITS": 8, "COMMAND_WORDS": 4, "COMMAND_BURST": 2, "LENGTH_BITS": 4},
        engine="reachability",
    ),
    Proof(
        "registers",
        lambda: Registers(accelerator=_DENSE, counters=("cycles",)),
        "registers",
        checkers=("stream_rules",),
        engine="correspondence",
    ),
    Proof(
        "AXI read port",
        lambda: ReadPort(data_bits=64),
        "read_port",
        checkers=("stream_rules", "burst_rules"),
        engine="correspondence",
        prepare=expose(
            "read_port_64", *(f"channel.{name}" for name in (*_CHANNEL, "rest_address", "dropping"))
        ),
    ),
    Proof(
        "AXI write port, small",
        lambda: WritePort(data_bits=8),
        "write_port",
        _STRENGTHENED,
        checkers=(*_WRITE_RULES, "write_lemma"),
        engine="correspondence",
        small={**_BYTES, "ADDRESS_BITS": 4, "WAITING_WORDS": 2},
        prepare=expose("write_port_8", *_WRITES),
    ),
    Proof(
        "AXI write port",
        lambda: WritePort(data_bits=8),
        "write_port",
        _AXI,
        checkers=_WRITE_RULES,
        engine="bounded",
        cycles=10,
    ),
    Proof(
        "weight port, small",
        lambda: WeightPort(accelerator=_NARROW),
        "weight_port",
        _weights(_NARROW, _SMALL_WEIGHTS, pulses=2) | _STRENGTHENED,
        checkers=(*_READ_RULES, "queue_rules", "queue_lemma", "read_lemma"),
        engine="correspondence",
        small=_SMALL_WEIGHTS,
        prepare=expose(
            "weight_port",
            "reserved",
            "ripe",
            "there",
            "ripening",
            *_PORT_CHANNEL,
            *(f"{queue}.level" for queue in ("jobs", "transfers", "buffer")),
            "jobs.head",
            "transfers.head",
            "transfers.out_data",
            "buffer.head",
            memories={"jobs.storage": 2, "transfers.storage": 2, "buffer.storage": 4},
        ),
    ),
    Proof(
        "weight port",
        lambda: WeightPort(accelerator=_DENSE),
        "weight_port",
        _weights(_DENSE, {}, pulses=200)
        | _AXI
        | {"WAITING_JOBS": WAITING_JOBS, "BUFFER_BEATS": BUFFER_BEATS},
        checkers=(*_READ_RULES, "queue_rules"),
        engine="bounded",
        cycles=8,
    ),
    Proof(
        "row mover, small",
        FinishedRowMover,
        "row_mover",
        _STRENGTHENED,
        checkers=(*_WRITE_RULES, "queue_rules", "queue_lemma", "write_lemma"),
        engine="correspondence",
        small={**_WORDS, "WAITING_WORDS": 2, "ROW_BYTES": 24},
        prepare=expose(
            "row_mover",
            "requested",
            "rest",
            "rest_word",
            "port_word_strobe",
            *(f"port.{name}" for name in (*_WRITES, "channel.dropping", "queue.head")),
            memories={"port.queue.storage": 2},
        ),
    ),
    Proof(
        "row mover",
        FinishedRowMover,
        "row_mover",
        _AXI | _L1 | {"ROW_BYTES": ROW_BYTES},
        checkers=(*_WRITE_RULES, "queue_rules"),
        engine="bounded",
        cycles=8,
    ),
    Proof(
        "tile mover, small",
        lambda: TileMover(accelerator=_QUICK_DMA),
        "tile_mover",
        _tiles(_SMALL_TILES) | _STRENGTHENED,
        checkers=(*_READ_RULES, "read_lemma"),
        engine="correspondence",
        small=_SMALL_TILES,
        prepare=expose(
            "tile_mover",
            "loads",
            "awaited",
            "beats",
            "all_asked",
            "follows",
            "wait_",
            "later",
            "runs.valid",
            "runs.line_count",
            "runs.lines_left",
            "runs.planes_left",
            *_PORT_CHANNEL,
        ),
    ),
    Proof(
        "tile mover",
        lambda: TileMover(accelerator=_QUICK_DMA),
        "tile_mover",
        _tiles({}) | _AXI | _L1,
        checkers=_READ_RULES,
        engine="bounded",
        cycles=8,
    ),
    Proof(
        "command port, small",
        lambda: CommandPort(streams=systolic_streams(_DENSE)),
        "command_port",
        _commands(_SMALL_COMMANDS) | _STRENGTHENED | {"APART": 8, "ALIGNED": 4, "MOST_WORDS": 12},
        checkers=(*_READ_RULES, "read_lemma"),
        engine="induction",
        small=_SMALL_COMMANDS,
        prepare=expose(
            "command_port",
            "count",
            "fetches.level",
            "fetches.head",
            "fetches.tail",
            "order.level",
            "order.head",
            "order.tail",
            *_PORT_CHANNEL,
            *(
                f"{stream}.{name}"
                for stream in packets.STREAMS
                for name in (
                    "left",
                    "address",
                    "reserved",
                    *(
                        f"fifo.{register}"
                        for register in ("level", "head", "write_addr", "out_valid", "out_data")
                    ),
                )
            ),
            *(
                f"{stream}_assembler.{name}"
                for stream in packets.STREAMS[:3]
                for name in ("count", "collected", "full")
            ),
            memories={"order.storage": 2, "fetches.storage": 2}
            | {f"{stream}.fifo.storage": 4 for stream in packets.STREAMS},
        ),
    ),
    Proof(
        "command port, medium",
        lambda: CommandPort(streams=systolic_streams(_DENSE)),
        "command_port",
        _commands({})
        | _AXI
        | _MEDIUM_COMMANDS
        | {"LENGTH_BITS": LENGTH_BITS, "APART": 16, "ALIGNED": 3, "MOST_WORDS": 32},
        checkers=_READ_RULES,
        engine="bounded",
        cycles=10,
        small=_MEDIUM_COMMANDS,
    ),
)
