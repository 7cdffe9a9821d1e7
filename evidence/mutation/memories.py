"""Vectors for on-chip memories and what reads them."""

from __future__ import annotations

from functools import partial

import numpy as np

from evidence.mutation.suite import Expected, Vectors, VectorSuite
from evidence.mutation.words import below, chance, number, pack
from rtl.ifmap.arf import Arf
from rtl.l1.map_group import MapGroup
from rtl.l1.psum_store import PsumStore
from rtl.l1.sram import SinglePortSram, Sram
from rtl.weights.rom import Rom, init_files
from rtl.weights.rom_arbiter import RomArbiter
from rtl.weights.rom_bank import RomBank
from rtl.weights.signs import Signs
from sim.accelerator import Accelerator, load


def _self_test(rng: np.random.Generator, depth: int, width: int) -> dict[str, int]:
    """What the port for self-test asks for."""
    return {
        "bist_write": chance(rng, 0.5),
        "bist_read": chance(rng, 0.5),
        "bist_address": below(rng, depth),
        "bist_write_data": number(rng, width),
    }


def _sram(rng: np.random.Generator) -> Vectors:
    depth, width, grain = 4, 8, 4
    words: list[int] = [0] * depth
    shown: tuple[int, int] | None = None  # word, bits that are certain
    for _ in range(400):
        enable, write, read = below(rng, 4), below(rng, depth), below(rng, depth)
        data, reads = number(rng, width), chance(rng, 0.6)
        tested, test = chance(rng, 0.3), _self_test(rng, depth, width)
        yield (
            {
                "write_enable": enable,
                "write_address": write,
                "write_data": data,
                "read_enable": reads,
                "read_address": read,
                "bist_enable": tested,
            }
            | test,
            {} if shown is None else {"read_data": shown},
        )
        if tested:
            write = read = test["bist_address"]
            enable, data, reads = 3 * test["bist_write"], test["bist_write_data"], test["bist_read"]
        mask = sum((1 << grain) - 1 << grain * n for n in range(2) if enable >> n & 1)
        if reads:
            # A word that is written in the same cycle gives old or new bits.
            shown = words[read], (1 << width) - 1 & ~(mask if write == read else 0)
        words[write] = words[write] & ~mask | data & mask


def _single_port_sram(rng: np.random.Generator) -> Vectors:
    depth, width = 4, 6
    words: list[int] = [0] * depth
    shown: int | None = None
    for _ in range(400):
        enable, write = chance(rng, 0.7), chance(rng, 0.5)
        address, data = below(rng, depth), number(rng, width)
        tested, test = chance(rng, 0.3), _self_test(rng, depth, width)
        yield (
            {"enable": enable, "write": write, "address": address, "write_data": data, "bist_enable": tested}
            | test,
            {} if shown is None else {"read_data": shown},
        )
        if tested:
            address, data, write = test["bist_address"], test["bist_write_data"], test["bist_write"]
            enable = write | test["bist_read"]
        if enable and write:
            words[address], shown = data, None
        elif enable:
            shown = words[address]


def _signs(rng: np.random.Generator) -> Vectors:
    columns = 3
    for _ in range(200):
        magnitudes, signs = rng.integers(0, 256, columns) * (rng.random(columns) < 0.9), number(rng, columns)
        yield (
            {"magnitudes": pack(magnitudes, 8), "signs": signs},
            {"weights": pack([-m if signs >> n & 1 else m for n, m in enumerate(magnitudes)], 8)},
        )


def _rom_arbiter(rng: np.random.Generator) -> Vectors:
    records, reads, bits = 5, 2, 3
    for n in range(200):
        requests, addresses = n % 32, rng.integers(0, 1 << bits, records)
        asking = [record for record in range(records) if requests >> record & 1]
        served = asking[:reads]
        yield (
            {"requests": requests, "addresses": pack(addresses, bits)},
            {
                "granted": pack([1 << record for record in served], records),
                "read_enable": (1 << len(served)) - 1,
                "read_address": pack([addresses[record] for record in served], bits),
                "rest": sum(1 << record for record in asking[reads:]),
            },
        )


def _rom(acc: Accelerator, contents: np.ndarray, rng: np.random.Generator) -> Vectors:
    banks, length = acc.rom_banks, acc.codeword_length
    records, entries = acc.columns // length, acc.codebook_entries
    shown: Expected = {}
    for _ in range(300):
        pending = [record for record in range(records) if chance(rng, 0.7)]
        indices = rng.integers(0, entries, records)
        if chance(rng, 0.3):
            indices = indices[:1].repeat(records)
        inputs = {
            "requests": pack([record in pending for record in range(records)], 1),
            "indices": pack(indices, (entries - 1).bit_length()),
        }
        look = chance(rng, 0.9)
        given_up = chance(rng, 0.05)
        while True:
            taken = [
                [r for r in pending if indices[r] % banks == bank][: acc.rom_ports] for bank in range(banks)
            ]
            served = [r for of_bank in taken for r in of_bank] if look else []
            done = len(served) == len(pending)
            yield (inputs | {"look": look, "rst": given_up}, dict(shown) | ({"done": done} if look else {}))
            read = [contents[indices[r]].tobytes() if r in served else None for r in range(records)]
            shown = {
                "hits": pack([word is not None for word in read], 1),
                "codewords": (
                    pack([int.from_bytes(word or b"", "little") for word in read], 8 * length),
                    pack([0 if word is None else -1 for word in read], 8 * length),
                ),
            }
            if given_up:
                shown = {"hits": 0}
            if done or given_up or not look:
                break
            pending = [r for r in pending if r not in served]


def _rom_bank(words: list[int], ports: int, rng: np.random.Generator) -> Vectors:
    bits, width = (len(words) - 1).bit_length(), 16
    shown: list[int | None] = [None] * ports
    for _ in range(200):
        addresses, enable = rng.integers(0, len(words), ports), number(rng, ports)
        yield (
            {"read_enable": enable, "read_address": pack(addresses, bits)},
            {
                "read_data": (
                    pack([word or 0 for word in shown], width),
                    pack([0 if word is None else -1 for word in shown], width),
                )
            },
        )
        shown = [words[addresses[n]] if enable >> n & 1 else shown[n] for n in range(ports)]


def _arf(rng: np.random.Generator) -> Vectors:
    depth, width = 8, 6
    words: dict[int, int] = {}
    shown: int | None = None
    for n in range(500):
        write, read, data = below(rng, depth), below(rng, depth), number(rng, width)
        writes, reads = chance(rng, 0.6), int(n > 60 and chance(rng, 0.6))
        yield (
            {
                "write_enable": writes,
                "write_address": write,
                "write_data": data,
                "read_enable": reads,
                "read_address": read,
            },
            {} if shown is None else {"read_data": shown},
        )
        if writes:
            words[write] = data
        if reads:
            shown = words[read]


def _psum_store(acc: Accelerator, rng: np.random.Generator) -> Vectors:
    rows, width = PsumStore(accelerator=acc).rows, 32 * acc.columns
    stored: dict[int, int] = {}
    waiting: tuple[int, int] | None = None
    shown: int | None = None
    for n in range(1500):
        write, data = below(rng, rows), number(rng, width)
        writes = chance(rng, 0.5)
        oldest = waiting or ((write, data) if writes else None)
        # No row is read that waits or is written now.
        free = [row for row in stored if row not in ((waiting or (-1,))[0], write)]
        reads = int(bool(free) and chance(rng, 0.6))
        read = free[below(rng, len(free))] if reads else below(rng, rows)
        blocked = bool(reads and oldest and (read - oldest[0]) % 2 == 0)
        expected = {"overflow": int(waiting is not None and writes and blocked)}
        if shown is not None:
            expected["read_data"] = shown
        reset = int(n % 100 == 99)
        yield (
            {
                "read": reads,
                "read_row": read,
                "write": writes,
                "write_row": write,
                "write_data": data,
                "rst": reset,
            },
            expected,
        )
        shown = stored[read] if reads else None
        if oldest and not blocked:
            stored[oldest[0]] = oldest[1]
            waiting = (write, data) if waiting and writes else None
        else:
            waiting = oldest
        if reset:
            waiting = None


def _map_group(words: int, banks: int, rng: np.random.Generator) -> Vectors:
    stored: dict[int, int] = {}  # by byte
    shown: tuple[int, int] | None = None
    for _ in range(400):
        write, read, data = below(rng, words), below(rng, words), number(rng, 64 * banks)
        reads, enable = chance(rng, 0.6), number(rng, 8 * banks) if chance(rng, 0.7) else 0
        enable &= (1 << 8 * (words - write)) - 1
        if reads and abs(read - write) < banks:
            enable = 0  # not the words that are read
        yield (
            {
                "write_enable": enable,
                "write_word": write,
                "write_data": data,
                "read_enable": reads,
                "read_word": read,
            },
            {} if shown is None else {"read_data": shown},
        )
        if reads:
            there = {n: stored[8 * read + n] for n in range(8 * banks) if 8 * read + n in stored}
            shown = (sum(byte << 8 * n for n, byte in there.items()), sum(255 << 8 * n for n in there))
        stored |= {8 * write + n: data >> 8 * n & 255 for n in range(8 * banks) if enable >> n & 1}


_TINY = load("ews-4", {"l1_bytes": 1024})
_WITH_ROM = load("rom-8", {"codeword_length": 2, "rom_banks": 3, "rom_ports": 2})
_CODEBOOK = np.random.default_rng(2).integers(-128, 128, (_WITH_ROM.codebook_entries, 2)).astype(np.int8)
_WORDS = [0x1234, 0x8001, 0, 0xFFFF, 0xA5C3]
SUITES = (
    VectorSuite("arf", lambda: Arf(depth=8, width=6), _arf),
    VectorSuite("psum_store", partial(PsumStore, accelerator=_TINY), partial(_psum_store, _TINY)),
    # The contract leaves open what a read of the word that is being written gives.
    VectorSuite(
        "sram_4x8_by_4",
        lambda: Sram(depth=4, width=8, granularity=4),
        _sram,
        view="""
    legal = !(read_enable && write_enable != 0 && read_address == write_address);""",
    ),
    VectorSuite("sram_4x6_single", lambda: SinglePortSram(depth=4, width=6), _single_port_sram),
    *(
        VectorSuite(
            f"map_group_{words}x{banks}",
            partial(MapGroup, words=words, banks=banks),
            partial(_map_group, words, banks),
            view=None,
        )
        for words, banks in ((21, 4), (16, 1))
    ),
    VectorSuite("signs", lambda: Signs(columns=3), _signs),
    VectorSuite("rom_arbiter", lambda: RomArbiter(records=5, ports=2, address_bits=3), _rom_arbiter),
    VectorSuite(
        "rom",
        partial(Rom, accelerator=_WITH_ROM, contents=_CODEBOOK),
        partial(_rom, _WITH_ROM, _CODEBOOK),
        files=init_files(_WITH_ROM, _CODEBOOK),
    ),
    VectorSuite(
        "rom_bank",
        partial(RomBank, depth=5, length=2, ports=2, file="words.hex", words=_WORDS),
        partial(_rom_bank, _WORDS, 2),
        files={"words.hex": "".join(f"{w:04x}\n" for w in _WORDS)},
    ),
)
