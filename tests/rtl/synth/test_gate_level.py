"""The same stimulus on RTL and netlist; both against values computed here."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
from amaranth.lib.wiring import In, Out

from rtl import verilog
from rtl.array.array import Array
from rtl.array.dense_tile import DenseTile
from rtl.array.sparse_tile import SparseTile
from rtl.block import Block, module_name
from rtl.synth.flow import reached
from rtl.synth.gate_level import simulate
from rtl.synth.liberty import read
from rtl.synth.models import models
from rtl.weights.compactor import Compactor
from rtl.weights.loader import Loader
from rtl.weights.row_decoder import RowDecoder
from sim.accelerator import Accelerator
from sim.formats.encoding import mask_table
from tests.rtl.simulate import fields, int8, pack
from tests.rtl.synth.synthesis import LIBRARIES, MINI, accelerator, broken, library, synthesis
from tests.rtl.weights.loader_bench import check, drive, events_of, network


def run_rtl(machine: Accelerator, block: Block, stimulus):
    texts = reached(verilog.modules(machine), module_name(block.kind))
    return simulate(block, list(texts.values()), stimulus)


def run_netlist(machine, block, path, stimulus, change=lambda netlist: netlist):
    found = synthesis(machine, block.kind, path)
    cells = models(library(path), found.cell_names)
    memories = [text for kind, (_, text) in verilog.hierarchy(block).items() if kind.startswith("sram")]
    return simulate(block, [change(found.netlist), cells, *memories], stimulus)


def weights_of(rng, sparse, depth, rows, columns, kept):
    """Random weights [depth, rows, columns], and the words that write them by address and row."""
    weights = int8(rng, depth, rows, columns)
    if not sparse:
        return weights, {(a, r): pack(weights[a, r], 8) for a, r in product(range(depth), range(rows))}
    positions = np.sort(np.argsort(rng.random(weights.shape), -1)[..., :kept], -1)
    chosen = np.take_along_axis(weights, positions, -1)
    weights = np.zeros_like(weights)
    np.put_along_axis(weights, positions, chosen, -1)
    bits = 8 + (columns - 1).bit_length()
    return weights, {
        (a, r): pack(
            [int(w) & 0xFF | int(p) << 8 for w, p in zip(chosen[a, r], positions[a, r], strict=True)], bits
        )
        for a, r in product(range(depth), range(rows))
    }


def tile_case(sparse):
    """Machine, tile, stimulus, and for each cycle the outputs that docs demand (None: nothing yet)."""
    rows, columns, depth, kept = 2, 8, 4, 2
    if sparse:
        machine = accelerator("ews-cms-8", tile_rows=rows, wrf_depth=depth)
        bits = 19
        block = SparseTile(
            rows=rows, columns=columns, multipliers=kept, word_bits=11, depth=depth, sum_bits=bits
        )
    else:
        machine = accelerator("ews-8", tile_rows=rows, tile_columns=columns, wrf_depth=depth)
        bits = 19
        block = DenseTile(rows=rows, columns=columns, depth=depth, sum_bits=bits)
    rng = np.random.default_rng(11)
    weights, words = weights_of(rng, sparse, depth, rows, columns, kept)
    stimulus = [
        {"write_enable": 1 << r, "write_address": a, "write_data": word} for (a, r), word in words.items()
    ]
    expected: list[dict[str, int] | None] = [None] * len(stimulus)
    shown: dict[str, int] | None = None
    behind: list[np.ndarray | None] = [None, None]  # sums of products of the tokens of the two cycles before
    for cycle in range(80):
        address, valid = int(rng.integers(depth)), bool(rng.random() < 0.8) or cycle == 0
        activation, above = int8(rng, rows), rng.integers(-(2**17), 2**17, columns)
        stimulus.append(
            {
                "valid_in": valid,
                "address_in": address,
                "activation_in": pack(activation, 8),
                "psum_in": pack(above, bits),
            }
        )
        # Outputs are registers: what a cycle shows is what the cycles before it did.
        expected.append(shown)
        if shown is not None and behind[0] is not None:
            shown = shown | {"psum_out": pack(above + behind[0], bits)}
        behind = [behind[1], activation @ weights[address] if valid else None]
        if valid:
            shown = (shown or {}) | {"address_out": address, "activation_out": pack(activation, 8)}
        assert shown is not None
        shown = shown | {"valid_out": int(valid)}
    return machine, block, stimulus, expected


@pytest.mark.parametrize("path", LIBRARIES)
@pytest.mark.parametrize("sparse", [False, True])
def test_tile(sparse, path):
    machine, block, stimulus, expected = tile_case(sparse)
    for found in (run_rtl(machine, block, stimulus), run_netlist(machine, block, path, stimulus)):
        assert len(found) == len(expected)
        for cycle, (shown, demanded) in enumerate(zip(found, expected, strict=True)):
            assert demanded is None or shown | demanded == shown, cycle


def test_a_wrong_gate_shows():
    machine, block, stimulus, expected = tile_case(False)
    found = run_netlist(machine, block, MINI, stimulus, lambda text: broken(text, "codeword_pe"))
    assert any(
        demanded is not None and shown | demanded != shown
        for shown, demanded in zip(found, expected, strict=True)
    )


def array_case(machine):
    rng = np.random.default_rng(12)
    block = Array(accelerator=machine)
    depth, rows, columns = machine.wrf_depth, machine.rows, machine.columns
    weights, words = weights_of(rng, machine.sparse_tile, depth, rows, columns, 1)
    latency = rows // machine.tile_rows + columns // machine.tile_columns + machine.tile_stages - 1
    tag_bits = len(block.tag)
    writes = [
        {"write_enable": 1 << r, "write_address": a, "write_data": word} for (a, r), word in words.items()
    ]
    stimulus = [*writes]
    demanded: dict[int, dict[str, int]] = {}
    sum_bits = len(block.sums) // columns

    def token(address, valid):
        activation, tag = int8(rng, rows), int(rng.integers(2**tag_bits))
        now = len(stimulus)
        if valid:
            demanded.setdefault(now + latency, {})["sums"] = pack(activation @ weights[address], sum_bits)
        if tag & 1:  # its lowest bit says that it counts; others stand still
            demanded.setdefault(now + latency, {})["tag_out"] = tag
            demanded.setdefault(now + latency - 1, {})["tag_ahead"] = tag
        return {"valid": valid, "address": address, "activation": pack(activation, 8), "tag": tag}

    def tokens(count, first=False):
        for n in range(count):
            valid = (first and n == 0) or bool(rng.random() < 0.7)
            stimulus.append(token(int(rng.integers(depth)), valid))

    tokens(50, first=True)
    # Tokens read the lower half while the upper half is written anew, then read that.
    lower, upper = range(depth // 2), range(depth // 2, depth)
    fresh, words = weights_of(rng, machine.sparse_tile, depth, rows, columns, 1)
    for address, row in product(upper, range(rows)):
        stimulus.append(
            token(int(rng.choice(lower)), bool(rng.random() < 0.7))
            | {"write_enable": 1 << row, "write_address": address, "write_data": words[address, row]}
        )
    weights[depth // 2 :] = fresh[depth // 2 :]
    tokens(50)
    return block, stimulus, demanded, len(writes) + 2 * latency + 1


@pytest.mark.parametrize("path", LIBRARIES)
@pytest.mark.parametrize("name", ["ews-4", "ews-cms-4"])
def test_array(name, path):
    machine = accelerator(name, tile_rows=2, wrf_depth=8, **({"tile_columns": 2} if name == "ews-4" else {}))
    block, stimulus, demanded, warm = array_case(machine)
    rtl, gates = run_rtl(machine, block, stimulus), run_netlist(machine, block, path, stimulus)
    for cycle, outputs in demanded.items():
        for port, value in outputs.items():
            if cycle < len(stimulus):
                assert rtl[cycle][port] == value, (cycle, port)
                assert gates[cycle][port] == value, (cycle, port)
    # Idle lanes too, once every register holds something.
    assert rtl[warm:] == gates[warm:]
    assert len(rtl) == len(gates) == len(stimulus)


@pytest.mark.parametrize("path", LIBRARIES)
def test_row_decoder(path):
    """Rows of records, bare bytes and codebook writes, as the loader gives them."""
    machine = accelerator("ews-cms-8", codebook_entries=8)
    length, masks = machine.codeword_length, mask_table(machine.keep, machine.group)
    groups = length // machine.group
    code_bits = (len(masks) - 1).bit_length()
    block = RowDecoder(accelerator=machine)
    rng = np.random.default_rng(13)
    codewords = int8(rng, machine.codebook_entries, length)
    stimulus = [
        {"write_enable": 1, "write_address": n, "write_data": pack(word, 8), "raw": 1}
        for n, word in enumerate(codewords)
    ]
    expected: list[dict[str, int]] = [{} for _ in stimulus]
    for _ in range(150):
        index_bits = int(rng.integers(1, 4))
        index = int(rng.integers(min(len(codewords), 1 << index_bits)))
        codes = rng.integers(0, len(masks), groups)
        kept = np.concatenate([(int(masks[code]) >> np.arange(machine.group)) & 1 for code in codes])
        record = pack(codes, code_bits) | index << code_bits * groups
        stimulus.append({"look": 1, "row": record, "index_bits": index_bits})
        expected.append({"values": pack(codewords[index] * kept, 8), "masks": pack(kept, 1)})
        plain = int8(rng, length)
        stimulus.append({"look": 1, "row": pack(plain, 8), "index_bits": index_bits, "raw": 1})
        expected.append({"values": pack(plain, 8)})
    stimulus += [{}, {}]  # a row's values are there two cycles later
    assert machine.columns == length  # one record a row
    rtl, gates = run_rtl(machine, block, stimulus), run_netlist(machine, block, path, stimulus)
    assert rtl[len(codewords) + 2 :] == gates[len(codewords) + 2 :]
    for shown, demanded in zip(gates[2:], expected, strict=True):
        assert {port: shown[port] for port in demanded} == demanded


@pytest.mark.parametrize("path", LIBRARIES)
def test_compactor(path):
    machine = accelerator("ews-cms-16", codebook_entries=4)
    block = Compactor(length=16, keep=4, group=16)
    rng = np.random.default_rng(14)
    stimulus, expected = [], []
    for _ in range(200):
        values, raw, sub = int8(rng, 16), bool(rng.random() < 0.3), int(rng.integers(4))
        kept = np.sort(rng.permutation(16)[:4])
        stimulus.append(
            {"values": pack(values, 8), "mask": sum(1 << int(p) for p in kept), "raw": raw, "sub": sub}
        )
        chosen = [(values[i], sub * 4 + i) for i in range(4)] if raw else [(values[p], p) for p in kept]
        expected.append({"words": pack([int(w) & 0xFF | int(p) << 8 for w, p in chosen], 12)})
    assert run_rtl(machine, block, stimulus) == expected
    assert run_netlist(machine, block, path, stimulus) == expected


LOADERS = {
    "ews-4": ({}, ("dense", "block")),
    "ews-cms-4": ({"codebook_entries": 8}, ("mvq", "mvq", "split", "block")),
}


def loader_case(name):
    """Machine, loader, what docs demand, and inputs: those of a bench around Amaranth's simulator."""
    overrides, forms = LOADERS[name]
    machine = accelerator(name, **overrides)
    rng = np.random.default_rng(16)
    jobs = network(machine, forms, rng, None)
    late, delays, holds = (
        rng.integers(low, high, len(jobs)).tolist() for low, high in ((0, 40), (0, 12), (1, 60))
    )
    events = events_of(machine, jobs, late, delays, holds)
    inputs, _ = drive(machine, jobs, events, delays, holds)
    return machine, Loader(accelerator=machine), events, inputs


@pytest.mark.parametrize("path", LIBRARIES)
@pytest.mark.parametrize("name", LOADERS)
def test_loader(name, path):
    machine, block, events, inputs = loader_case(name)
    assert len({bank for bank, *_ in events.full}) == 2
    for outputs in (run_rtl(machine, block, inputs), run_netlist(machine, block, path, inputs)):
        check(machine, events, inputs, outputs)


def test_a_wrong_gate_of_the_loader_shows():
    machine, block, events, inputs = loader_case("ews-4")
    outputs = run_netlist(machine, block, MINI, inputs, lambda text: broken(text, "codeword_loader"))
    with pytest.raises(AssertionError):
        check(machine, events, inputs, outputs)


FLOP = """library (one) {
  cell (FLOP) {
    ff ("IQ", "IQN") {
      clocked_on : "!CKN"; next_state : "(D E) + (IQ E')"; clear : "RN'"; preset : "S";
      clear_preset_var1 : H; clear_preset_var2 : L;
    }
    pin (CKN, D, E, RN, S) { direction : input; }
    pin (Q) { direction : output; function : "IQ"; }
    pin (QN) { direction : output; function : "IQN"; }
  }
}
"""


class Flop(Block):
    """The cell FLOP as a component."""

    kind = "flop"
    clocked = False

    def __init__(self):
        super().__init__({name: In(1) for name in ("ckn", "d", "e", "rn", "s")} | {"q": Out(1), "qn": Out(1)})


def test_a_flip_flop_with_clear_preset_and_enable(tmp_path):
    (tmp_path / "one.lib").write_text(MINI.read_text().rstrip().removesuffix("}") + FLOP.partition("{")[2])
    cells = models(read(tmp_path / "one.lib"), ["FLOP"])
    top = """module codeword_flop(input ckn, d, e, rn, s, output q, qn);
  FLOP flop(.CKN(ckn), .D(d), .E(e), .RN(rn), .S(s), .Q(q), .QN(qn));
endmodule
"""
    rng = np.random.default_rng(15)
    stimulus, expected, state, clock = [{"rn": 0, "ckn": 0}], [{"q": 0, "qn": 1}], 0, 0
    d = e = s = 0
    rn = 1
    for cycle in range(600):
        ckn = clock
        if cycle % 2:  # data and clock never change together
            ckn = int(rng.integers(2))
        else:
            d, e = (int(bit) for bit in rng.integers(0, 2, 2))
            rn, s = int(rng.random() < 0.8), int(rng.random() < 0.2)
        if not rn or s:
            state = s  # preset wins, as the file says of both at once
        elif ckn == 0 and clock == 1:
            state = d if e else state
        clock = ckn
        stimulus.append({"ckn": ckn, "d": d, "e": e, "rn": rn, "s": s})
        expected.append({"q": state, "qn": 1 - state})
    assert simulate(Flop(), [top, cells], stimulus) == expected


def test_outputs_are_read_in_the_cycle():
    """One cycle of delay in the bench would show here."""
    machine = accelerator("ews-cms-16", codebook_entries=4)
    block = Compactor(length=16, keep=4, group=16)
    found = run_rtl(machine, block, [{"raw": 1, "values": 7}, {"raw": 1, "values": 9}])
    assert [fields(shown["words"], 12, 1) for shown in found] == [[7], [9]]
