"""The words of the stream: packets as the sequencer takes them."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from rtl.digit_serial.ternary_tile import COLUMNS
from sim.digit_serial.accelerator import DigitSerial
from sim.digit_serial.header import FIELDS, STREAM_BITS, TAP, WORDS
from sim.digit_serial.lowering import Packet, Program, Source
from sim.digit_serial.maps import Place
from sim.errors import InputError


def input_packet(program: Program, digits: np.ndarray) -> np.ndarray:
    """Words of the input's packet, uint64; digits int8 [T, C, H, W]."""
    return _map(program.places["input"], digits, program.accelerator)


def _map(place: Place, digits: np.ndarray, acc: DigitSerial) -> np.ndarray:
    whole = np.zeros((len(digits), place.height, place.width, place.blocks * acc.lanes), np.int8)
    whole[..., : place.channels] = np.moveaxis(digits, 1, 3)
    rows = whole.reshape(-1, acc.lanes)
    header = _header({"map": 1, "count": len(rows), "target": place.base}, "input")
    bits = (rows.astype(np.uint64) & np.uint64(3)).reshape(len(rows), -1, min(acc.lanes, STREAM_BITS // 2))
    places = np.arange(bits.shape[2], dtype=np.uint64) * np.uint64(2)
    return np.concatenate([header, (bits << places).sum(2, dtype=np.uint64).ravel()])


def packet_words(packet: Packet, acc: DigitSerial) -> np.ndarray:
    """Of another one, uint64.

    Raises:
        InputError: a field that has too few bits for a layer.
    """
    y, x = divmod(packet.first, packet.width)
    fields = {
        "begins": packet.begins,
        "ends": packet.ends,
        "speaks": packet.target is not None,
        "signed": packet.signed,
        "closes": packet.closes,
        "steps": acc.steps,
        "silent": acc.silent,
        "taps": len(packet.taps),
        "entries": len(packet.weights),
        "count": packet.count,
        "columns": packet.width,
        "column": x,
    }
    if packet.target is None:
        fields["target"] = packet.group
    else:
        fields |= {
            "target": packet.target.base + packet.group + packet.first * packet.target.blocks,
            "target_plane": packet.target.plane,
            "target_step": packet.target.blocks,
        }
    for n, source in enumerate(packet.sources):
        fields |= {f"{name}_{n}": value for name, value in _source(source, y, x).items()}
    return np.concatenate(
        [
            _header(fields, packet.layer),
            np.array(list(_taps(packet)), np.uint64),
            _parameters(packet),
            packet.weights.reshape(-1, COLUMNS).view(np.uint64).ravel(),
        ]
    )


def _source(source: Source, y: int, x: int) -> dict[str, int]:
    place, (stride_y, stride_x) = source.place, source.stride
    line = place.base + y * stride_y * place.width * place.blocks
    return {
        "row": line,
        "pixel": line + x * stride_x * place.blocks,
        "stride_y": stride_y,
        "stride_x": stride_x,
        "row_step": stride_y * place.width * place.blocks,
        "plane": place.plane,
        "height": place.height,
        "pixel_step": stride_x * place.blocks,
        "width": place.width,
        "y": y * stride_y,
        "x": x * stride_x,
    }


def _header(fields: dict[str, int], layer: str) -> np.ndarray:
    words = [0] * WORDS
    for name, value in fields.items():
        at = FIELDS[name]
        if not 0 <= value < 1 << at.bits:
            raise InputError(
                f"layers.{layer}.{name}",
                int(value),
                f"has {at.bits} bits in a packet",
                "make the layer smaller",
            )
        words[at.word] |= int(value) << at.bit
    return np.array(words, np.uint64)


def _taps(packet: Packet) -> Iterator[int]:
    for tap in packet.taps:
        place = packet.sources[tap.source].place
        values = {
            "offset": (tap.dy * place.width + tap.dx) * place.blocks + tap.block,
            "dy": tap.dy,
            "dx": tap.dx,
            "source": tap.source,
            "high": tap.high,
            "entry": tap.entry,
        }
        word, bit = 0, 0
        for name, bits in TAP.items():
            low = -(1 << (bits - 1)) if name in ("offset", "dy", "dx") else 0
            if not low <= values[name] < low + (1 << bits):
                raise InputError(
                    f"layers.{packet.layer}.{name}",
                    values[name],
                    f"has {bits} bits in a tap",
                    "make the map smaller",
                )
            word |= (values[name] & ((1 << bits) - 1)) << bit
            bit += bits
        yield word


def _parameters(packet: Packet) -> np.ndarray:
    halves = np.stack([packet.bias, packet.threshold], 1).astype(np.int32)
    return halves.view(np.uint64).ravel()
