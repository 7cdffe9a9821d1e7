"""The array and the PRF register by register, against the timing contract and exact sums."""

from __future__ import annotations

import inspect
from dataclasses import dataclass, field

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numba import njit

from sim.systolic.engine import registers as model


@dataclass(frozen=True)
class Token:
    """One token and the cycle in which it issues."""

    cycle: int
    address: int
    word: int
    first: bool
    stored: bool
    last: bool
    final: bool
    output: int
    columns: int
    vector: np.ndarray
    rows: int


@dataclass
class Machine:
    """Registers, WRF and psum memory; `run` plays tokens and WRF writes, bubbles between them."""

    down: int
    right: int
    tile_rows: int = 4
    tile_columns: int = 4
    depth: int = 8
    words: int = 4
    addresses: int = 64
    wrf: np.ndarray = field(init=False)

    def __post_init__(self):
        self.rows, self.columns = self.down * self.tile_rows, self.right * self.tile_columns
        self.latency = self.down + self.right + 1 + model.STAGES
        self.wrf = np.zeros((self.depth, self.rows, self.columns), np.int8)
        self.stored = np.zeros((self.addresses, self.columns), np.int32)
        self.registers = model.reset(self.rows, self.columns, self.tile_rows, self.tile_columns, self.words)
        self.snapshots = [model.snapshot(self.registers)]

    def run(self, tokens, cycles, writes=(), watch=False):
        """Rows as (cycle, output, columns, final, row); `writes` are (cycle, address, row, values)."""
        emitted = []
        issues = {token.cycle: token for token in tokens}
        for t in range(cycles):
            slot = model.clock(self.registers, self.wrf, self.stored)
            if slot >= 0:
                tag = {field.name.lower(): int(self.registers.tags[slot, field]) for field in model.Tag}
                emitted.append(
                    (t + 1, tag["output"], tag["columns"], tag["final"], self.registers.row.copy())
                )
            for cycle, address, row, values in writes:
                if cycle == t:
                    self.wrf[address, row] = values
            if t in issues:
                token = issues[t]
                model.issue(
                    self.registers,
                    token.address,
                    token.word,
                    token.first,
                    token.stored,
                    token.last,
                    token.final,
                    token.output,
                    token.columns,
                    token.vector,
                    0,
                    token.rows,
                )
            if watch:
                self.snapshots.append(model.snapshot(self.registers))
        return emitted


def random_bytes(rng, *shape):
    """int8, every fourth one an extreme."""
    values = rng.integers(-128, 128, shape)
    return np.where(rng.random(shape) < 0.25, rng.choice([-128, 127], shape), values).astype(np.int8)


def random_machine(rng, **geometry):
    machine = Machine(**geometry)
    machine.wrf[:] = random_bytes(rng, *machine.wrf.shape)
    return machine


def random_slots(rng, machine, count, density=0.7):
    """Tokens of slots with interleaved PRF words; chunks that start, continue and finish psums."""
    tokens, t, pixels, a = [], 0, 3, 1
    for slot in range(count):
        pixel, chunk = slot % pixels, slot // pixels
        if pixel == 0:
            a = int(rng.integers(1, machine.words + 1)) if chunk % 3 == 0 else a
            steps = int(rng.integers(1, machine.depth // a + 1))
            # A later chunk reads what the one before has written.
            t += machine.latency + 2
        for e in range(a * steps):
            while rng.random() > density:
                t += 1
            if e % a == 0:
                vector, rows = random_bytes(rng, machine.rows), int(rng.integers(1, machine.rows + 1))
            tokens.append(
                Token(
                    t,
                    e,
                    e % a,
                    e < a,
                    e < a and chunk % 3 > 0,
                    e >= a * (steps - 1),
                    chunk % 3 == 2,
                    pixel * a + e % a,
                    int(rng.integers(1, machine.columns + 1)),
                    vector,
                    rows,
                )
            )
            t += 1
    return tokens


def exact(machine, tokens):
    """The emissions that the contract promises, from int64 sums."""
    emitted, prf, stored = [], {}, {}
    for token in tokens:
        sums = token.vector[: token.rows].astype(np.int64) @ machine.wrf[token.address, : token.rows].astype(
            np.int64
        )
        before = (stored[token.output] if token.stored else 0) if token.first else prf[token.word]
        prf[token.word] = before + sums
        if token.last:
            emitted.append(
                (token.cycle + machine.latency, token.output, token.columns, token.final, prf[token.word])
            )
            if not token.final:
                stored[token.output] = prf[token.word]
    return emitted


def assert_same(found, expected):
    assert [f[:4] for f in found] == [e[:4] for e in expected]
    for f, e in zip(found, expected, strict=True):
        np.testing.assert_array_equal(f[4], e[4])


@settings(max_examples=60, deadline=None)
@given(
    st.integers(1, 5),
    st.integers(1, 5),
    st.integers(1, 9),
    st.sampled_from([1, 3, 4, 16]),
    st.floats(0.3, 1),
    st.integers(0, 2**32),
)
def test_rows_and_their_cycles(down, right, tile_rows, tile_columns, density, seed):
    rng = np.random.default_rng(seed)
    machine = random_machine(rng, down=down, right=right, tile_rows=tile_rows, tile_columns=tile_columns)
    tokens = random_slots(rng, machine, 9, density)
    found = machine.run(tokens, tokens[-1].cycle + machine.latency)
    assert_same(found, exact(machine, tokens))


def test_a_full_size_tile_and_dense_issue():
    rng = np.random.default_rng(1)
    machine = random_machine(rng, down=16, right=4, tile_columns=16)
    tokens = random_slots(rng, machine, 24, 1)
    assert_same(machine.run(tokens, tokens[-1].cycle + machine.latency), exact(machine, tokens))


def test_psums_wrap_at_32_bits_and_extremes_are_exact():
    machine = Machine(down=16, right=1)
    machine.wrf[:] = -128
    vector = np.full(64, -128, np.int8)
    machine.stored[5] = 2**31 - 1
    tokens = [Token(0, 0, 0, True, True, True, True, 5, 4, vector, 64)]
    ((_, _, _, _, row),) = machine.run(tokens, machine.latency)
    assert row.tolist() == [2**31 - 1 + 64 * 2**14 - 2**32] * 4


def test_registers_hold_in_bubbles():
    rng = np.random.default_rng(2)
    machine = random_machine(rng, down=3, right=4)
    tokens = random_slots(rng, machine, 12, 0.5)
    machine.run(tokens, tokens[-1].cycle + machine.latency, watch=True)
    issued = {token.cycle: token for token in tokens}
    bubbles = 0
    for t, (before, after) in enumerate(zip(machine.snapshots, machine.snapshots[1:], strict=False)):
        for v in range(3):
            for h in range(4):
                # After cycle t, tile (v, h) has registered the token that issued in t - 1 - v - h, and the psums of
                # the one that issued two cycles before.
                token, added = (issued.get(t - age - v - h) for age in (1, 1 + model.STAGES))
                assert after["valid"][v, h] == (token is not None)
                if token is None:
                    bubbles += 1
                    for name in ("operand", "address"):
                        np.testing.assert_array_equal(after[name][v, h], before[name][v, h])
                else:
                    lanes = np.where(np.arange(12) < token.rows, token.vector, 0)
                    assert after["operand"][v, h].tolist() == lanes[4 * v : 4 * v + 4].tolist()
                    assert after["address"][v, h] == token.address
                if added is None:
                    np.testing.assert_array_equal(after["psum"][v, h], before["psum"][v, h])
                else:
                    # Sums of the rows so far.
                    lanes = np.where(np.arange(12) < added.rows, added.vector, 0)
                    weights = machine.wrf[added.address, : 4 * v + 4, 4 * h : 4 * h + 4].astype(int)
                    assert after["psum"][v, h].tolist() == (lanes[: 4 * v + 4] @ weights).tolist()
    assert bubbles > 500


@pytest.mark.parametrize(("down", "right"), [(1, 1), (2, 3), (4, 1)])
def test_weights_count_until_their_last_tile_has_read_them(down, right):
    """Tile (v, h) reads in t+1+v+h; a row written in that cycle is visible only in the next."""
    rng = np.random.default_rng(3)
    issue = 4
    for v in range(down):
        for h in range(right):
            reads = issue + 1 + v + h
            for written in (reads - 1, reads):
                machine = random_machine(rng, down=down, right=right)
                token = Token(
                    issue,
                    3,
                    0,
                    True,
                    False,
                    True,
                    True,
                    0,
                    4 * right,
                    np.ones(machine.rows, np.int8),
                    machine.rows,
                )
                ((_, _, _, _, expected),) = exact(machine, [token])
                other = machine.wrf[3, 4 * v].copy()
                other[4 * h : 4 * h + 4] ^= 1
                ((_, _, _, _, row),) = machine.run(
                    [token], issue + machine.latency, [(written, 3, 4 * v, other)]
                )
                wrong = np.flatnonzero(row != expected).tolist()
                assert wrong == ([] if written == reads else [*range(4 * h, 4 * h + 4)])


@pytest.mark.parametrize(("down", "right"), [(1, 1), (2, 3), (4, 2)])
def test_a_bank_is_free_when_the_contract_says(down, right):
    """No write from `t_last + Rv + Rh` on reaches a token; the last one that may is two cycles earlier."""
    rng = np.random.default_rng(4)
    machine = random_machine(rng, down=down, right=right)
    vector = np.ones(machine.rows, np.int8)
    token = Token(0, 0, 0, True, False, True, True, 0, 4 * right, vector, machine.rows)
    ((_, _, _, _, expected),) = exact(machine, [token])
    free = down + right
    spoilt = []
    for written in range(free + 3):
        fresh = Machine(down=down, right=right)
        fresh.wrf[:] = machine.wrf
        other = machine.wrf[0] ^ 1
        ((_, _, _, _, row),) = fresh.run(
            [token], fresh.latency, [(written, 0, h, other[h]) for h in range(machine.rows)]
        )
        if (row != expected).any():
            spoilt.append(written)
    assert spoilt == [*range(free - 1)]


def test_stored_psums_are_read_at_the_cycle_of_asking():
    """Asked for at t+Rv+Rh+1: a row written then is too late, one written the cycle before is not."""
    for late in (False, True):
        machine = Machine(down=2, right=3)
        machine.wrf[:] = 1
        ones, writer = np.ones(8, np.int8), 0
        # The writer's row is visible, and written, in writer + LAT; the reader asks in reader + Rv + Rh + 1.
        reader = writer + machine.latency - (2 + 3 + 1) + (not late)
        tokens = [
            Token(writer, 0, 0, True, False, True, False, 7, 12, ones, 8),
            Token(reader, 0, 1, True, True, True, True, 7, 12, ones, 8),
        ]
        (_, final) = machine.run(tokens, reader + machine.latency)
        assert final[4].tolist() == [8 if late else 16] * 12


def test_snapshots_of_a_small_array_by_hand():
    """4x4 PEs as 2 x 2 tiles of 2 x 2: token 0 issues in cycle 0, a bubble, token 1 in cycle 2."""
    machine = Machine(down=2, right=2, tile_rows=2, tile_columns=2, depth=2, words=1)
    machine.wrf[0] = [[1, 2, 3, 4], [5, 6, 7, 8], [-1, -2, -3, -4], [10, 20, 30, 40]]
    machine.wrf[1] = 1
    tokens = [
        Token(0, 0, 0, True, False, False, False, 0, 4, np.array([1, 2, 3, 4], np.int8), 4),
        Token(2, 1, 0, False, False, True, True, 9, 3, np.array([5, 6, 7, 99], np.int8), 3),
    ]
    (emission,) = machine.run(tokens, 9, watch=True)
    at = machine.snapshots
    # Cycle 1: token 0 at the edge, the upper tiles see it at once.
    assert at[1]["skew"][0, 0].tolist() == [1, 2]
    assert at[1]["tag_valid"].tolist() == [1, 0, 0, 0, 0, 0, 0]
    assert not at[1]["valid"].any()
    # Cycle 2: tile (0, 0) has registered it. Its slice for tile row 1 is delayed.
    assert at[2]["valid"].tolist() == [[True, False], [False, False]]
    assert at[2]["operand"][0, 0].tolist() == [1, 2]
    assert at[2]["skew"][1].tolist() == [[3, 4], [3, 4]]
    assert at[2]["tag_valid"].tolist() == [0, 1, 0, 0, 0, 0, 0]
    # Cycle 3: to the right and below. Token 1 enters.
    assert at[3]["valid"].tolist() == [[False, True], [True, False]]
    assert at[3]["operand"].tolist() == [[[1, 2], [1, 2]], [[3, 4], [0, 0]]]
    assert at[3]["skew"][0, 0].tolist() == [5, 6]
    assert at[3]["tag_valid"].tolist() == [1, 0, 1, 0, 0, 0, 0]
    assert not at[3]["psum"].any()
    # Cycle 4: read, multiplied and added in tile (0, 0): 1 * [1 2] + 2 * [5 6].
    assert at[4]["psum"].tolist() == [[[11, 14], [0, 0]], [[0, 0], [0, 0]]]
    assert at[4]["valid"].tolist() == [[True, False], [False, True]]
    assert at[4]["tag_valid"].tolist() == [0, 1, 0, 1, 0, 0, 0]
    # Cycle 5: to the right, [3 4] + 2 * [7 8]; below, [11 14] + 3 * [-1 -2] + 4 * [10 20].
    assert at[5]["psum"].tolist() == [[[11, 14], [17, 20]], [[48, 88], [0, 0]]]
    # Token 1's lane without a channel multiplies by 0.
    assert at[5]["operand"][1].tolist() == [[7, 0], [3, 4]]
    # Cycle 6 = 0 + Rv + Rh + 2: the lower right tile is done, the left columns waited one cycle.
    assert at[6]["psum"].tolist() == [[[11, 11], [17, 20]], [[48, 88], [128, 168]]]
    assert at[6]["deskew"][0, 1].tolist() == [48, 88]
    # Cycle 7 = LAT: the PRF shows the row.
    assert at[7]["row"].tolist() == at[7]["prf"][0].tolist() == [48, 88, 128, 168]
    assert at[7]["psum"].tolist() == [[[11, 11], [11, 11]], [[18, 18], [128, 168]]]
    # Token 1 emits in 2 + LAT.
    assert emission[:4] == (9, 9, 3, 1)
    assert emission[4].tolist() == at[9]["row"].tolist() == [66, 106, 146, 186]


def mutated(monkeypatch, name, source, replacement):
    """Recompiles one function of the model, and `clock` around it, with one expression changed."""

    def compile_again(function, text):
        # Under a name of its own: Numba tells functions of one name apart by a number a process, and links
        # code kept on disk by another process to whatever bears its number here.
        space = vars(model) | {"__name__": "mutated", "whole": njit(error_model="numpy")}
        exec(text, space)
        return space[function]

    text = inspect.getsource(getattr(model, name).py_func)
    assert text.count(source) == 1
    changed = compile_again(name, text.replace(source, replacement))
    monkeypatch.setattr(model, name, changed)
    if name != "clock":
        monkeypatch.setattr(model, "clock", compile_again("clock", inspect.getsource(model.clock.py_func)))


@pytest.mark.parametrize(
    ("name", "source", "replacement"),
    [
        ("_shift", "edge = (now - v) % down", "edge = (now - v + 1) % down"),
        ("_shift", "edge = (now - v) % len(tags)", "edge = (now - v + 1) % len(tags)"),
        ("_shift", "address[v, h] = address[v, h - 1]", "pass"),
        ("_deskew", "right - 1 - h", "right - h"),
        ("_accumulate", "slot = (now + 2)", "slot = (now + 3)"),
        ("_accumulate", "now % len(deskew)", "(now + 1) % len(deskew)"),
        ("_accumulate", "(now - 1) % 2", "now % 2"),
        ("_psum_memory", "now - latency + 3", "now - latency + 4"),
        ("_add", "range(down - 1, -1, -1)", "range(down)"),
        ("_add", "now % len(live)", "(now + 1) % len(live)"),
        ("_hold_edge", "tags[following, Tag.VALID] = 0", "pass"),
    ],
)
def test_a_wrong_delay_is_found(monkeypatch, name, source, replacement):
    rng = np.random.default_rng(5)
    machine = random_machine(rng, down=3, right=3)
    tokens = random_slots(rng, machine, 18)
    expected = exact(machine, tokens)
    mutated(monkeypatch, name, source, replacement)
    found = machine.run(tokens, tokens[-1].cycle + machine.latency)
    same = len(found) == len(expected) and all(
        f[:4] == e[:4] and (f[4] == e[4]).all() for f, e in zip(found, expected, strict=True)
    )
    assert not same
