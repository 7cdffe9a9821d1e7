"""Rearrangements against NumPy's own movements, constants, masks, and what they cost."""

from __future__ import annotations

import numpy as np
import pytest

from sim import accelerator
from sim.errors import InputError
from sim.estimate import estimate
from sim.network import (
    Add,
    Constant,
    Conv,
    DenseWeight,
    Multiply,
    Network,
    Rearrange,
    Softmax,
    TensorSpec,
    exponent_table,
    run,
)
from sim.systolic.engine import passes, simulate

SHAPE = (8, 6, 4)
X = np.random.default_rng(0).integers(-128, 128, (2, *SHAPE)).astype(np.int8)


def padded(mode: str, *ends: tuple[int, int]) -> np.ndarray:
    fill = {"constant_values": 9} if mode == "constant" else {}
    return np.pad(X, ((0, 0), *ends), mode, **fill)


def shuffled() -> np.ndarray:
    """Pixel shuffle: channels (c, a, b) become pixels (2 y + a, 2 z + b)."""
    return X.reshape(2, 2, 2, 2, 6, 4).transpose(0, 1, 4, 2, 5, 3).reshape(2, 2, 12, 8)


def windows() -> np.ndarray:
    """Windows of 3x2 of the map turned by (1, 1), as (windows * channels, tokens, 1)."""
    turned = np.roll(X, (-1, -1), (2, 3)).reshape(2, 8, 2, 3, 2, 2)
    return turned.transpose(0, 2, 4, 1, 3, 5).reshape(2, 2 * 2 * 8, 6, 1)


CASES = {
    "every other row": ((8, 3, 4), (8, 3, 4), (24, 8, 1), 4, {}, X[:, :, 1::2]),
    "turned": ((8, 6, 4), (8, 6, 4), (24, 4, -1), 3, {}, X[..., ::-1]),
    "channels last": ((6, 4, 8), (6, 4, 8), (4, 1, 24), 0, {}, X.transpose(0, 2, 3, 1)),
    "heads repeated": ((32, 6, 1), (2, 4, 4, 6), (96, 0, 24, 4), 0, {}, None),
    "pixel shuffle": ((2, 12, 8), (2, 6, 2, 4, 2), (96, 4, 48, 1, 24), 0, {}, shuffled()),
    "windows": (
        (32, 6, 1),
        (2, 2, 8, 3, 2),
        (15, 2, 35, 5, 1),
        6,
        {"padding": ((0, 0), (0, 1), (0, 1)), "mode": "wrap"},
        windows(),
    ),
    "zeros between": (
        (48, 4, 4),
        (48, 16),
        (16, 1),
        0,
        {"padding": ((0, 0), (0, 0), (0, 12))},
        padded("constant", (0, 0), (0, 0), (0, 12)).reshape(2, 48, 4, 4),
    ),
    **{
        mode: (
            (11, 9, 8),
            (11, 9, 8),
            (72, 8, 1),
            0,
            {"padding": ((2, 1), (0, 3), (3, 1)), "mode": mode},
            padded("constant" if mode == "zero" else mode, (2, 1), (0, 3), (3, 1)),
        )
        for mode in ("zero", "edge", "reflect", "wrap")
    },
}


@pytest.mark.parametrize("case", CASES)
def test_rearrangements(case: str) -> None:
    to, sizes, strides, offset, rest, expected = CASES[case]
    if expected is None:
        expected = X[..., 0].reshape(2, 2, 4, 6).repeat(4, 1).reshape(2, 32, 6, 1)
    layer = Rearrange("moved", "input", to, sizes, strides, offset, zero_point=9, **rest)
    net = Network("moved", TensorSpec(SHAPE, 1.0, 9), (layer,))
    np.testing.assert_array_equal(run(net, X)["moved"], expected)
    np.testing.assert_array_equal(passes.run_pass(net, layer, {"input": X}), expected)


def test_a_rearrangement_reads_no_more_than_its_map_or_a_word_a_value() -> None:
    whole = Rearrange("r", "input", (4, 6, 8), (4, 6, 8), (1, 4, 24)).shape(SHAPE)
    assert (whole.kind, whole.operations, whole.ifmap_bytes, whole.ofmap_bytes) == (
        "rearrange",
        192,
        192,
        48 * 8,
    )
    few = Rearrange("r", "input", (1, 2, 2), (4,), (24,)).shape(SHAPE)
    assert (few.ifmap_bytes, few.ofmap_bytes) == (4 * 8, 4 * 8)


def test_a_causal_mask_is_that_of_the_future() -> None:
    """A masked softmax of n keys equals that of the keys that are left, and is exactly 0 elsewhere."""
    n = 6
    mask = np.tri(n, dtype=np.uint8).T[None, :, :, None]  # [1, keys, queries, 1]
    x = np.random.default_rng(1).integers(-128, 128, (2, 2 * n, n, 1)).astype(np.int8)
    table = exponent_table(1 / 16)
    found = run(
        Network("causal", TensorSpec((2 * n, n, 1)), (Softmax("s", "input", table, 2, mask=mask),)), x
    )["s"]
    for head in range(2):
        for query in range(n):
            own = x[:, head * n : head * n + query + 1, query : query + 1]
            net = Network("alone", TensorSpec((query + 1, 1, 1)), (Softmax("s", "input", table),))
            seen = found[:, head * n : (head + 1) * n, query : query + 1]
            np.testing.assert_array_equal(seen[:, : query + 1], run(net, np.ascontiguousarray(own))["s"])
            assert (seen[:, query + 1 :] == -128).all()


def test_constants_come_from_dram_and_the_input_still_does() -> None:
    rng = np.random.default_rng(2)
    table = rng.integers(-128, 128, (1, 6, 4)).astype(np.int8)
    identity = DenseWeight(np.eye(8, dtype=np.int8)[..., None, None] * 64)
    net = Network(
        "positions",
        TensorSpec(SHAPE, 1.0, 9),
        (
            Constant("table", table, 3),
            Constant("row", table[:, :, :1], -3),
            Multiply("turned", ("input", "table"), 300, 14),
            Add("placed", ("turned", "row"), (40000, 20000), 15),
            Conv("last", "placed", identity, np.zeros(8, np.int32)),
        ),
    )
    machine = accelerator.preset("ews-8")
    counted, simulated = estimate(net, machine), simulate(net, machine, X)
    assert simulated.bit_exact
    assert [layer.counts.cycles for layer in counted.layers] == [layer.cycles for layer in simulated.layers]
    dram = {layer.name: layer.accesses["dram"] for layer in simulated.layers}
    pixels = 6 * 4 * 8
    assert dram == {"table": pixels, "row": 6 * 8, "turned": 2 * pixels, "placed": 0, "last": dram["last"]}
    real = (X.astype(int) - 9) * (table.astype(int) - 3) * 300
    np.testing.assert_array_equal(
        simulated.tensors["turned"], np.clip((real + 2**13) >> 14, -128, 127).astype(np.int8)
    )


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"strides": (24, 4)}, r"r\.strides = .*one for each"),
        ({"to": (8, 6, 5)}, r"r\.to = .*has not the 192 values"),
        ({"offset": 1}, r"r\.strides = .*read values 1 to 192 of the 192"),
        ({"strides": (-24, 4, 1)}, r"read values -168 to 23"),
        ({"padding": ((0, 0), (0, 0), (4, 0)), "mode": "reflect"}, r"r\.padding = .*mirrors more"),
        ({"mode": "mirror"}, r"r\.mode = 'mirror'"),
        ({"zero_point": 1}, r"r\.zero_point = 1"),
    ],
)
def test_movements_that_are_refused(change: dict, message: str) -> None:
    fields = {"to": SHAPE, "sizes": SHAPE, "strides": (24, 4, 1)} | change
    with pytest.raises(InputError, match=message):
        assert Network("refused", TensorSpec(SHAPE), (Rearrange("r", "input", **fields),)).maps


@pytest.mark.parametrize(
    ("mask", "message"),
    [
        (np.ones((1, 4, 6, 4), np.int8), "must be uint8"),
        (np.ones((3, 4, 6, 4), np.uint8), "a divisor of 2 groups"),
        (np.full((1, 4, 6, 4), 2, np.uint8), "must be 0 or 1"),
        (np.zeros((1, 4, 6, 4), np.uint8), "leaves no value"),
        (np.ones((1, 4, 6, 3), np.uint8), r"must be \[M, 4, 6, 4\]"),
    ],
)
def test_masks_that_are_refused(mask: np.ndarray, message: str) -> None:
    def masked() -> Network:
        layer = Softmax("s", "input", exponent_table(1.0), 2, mask=mask)
        return Network("refused", TensorSpec(SHAPE), (layer,))

    with pytest.raises(InputError, match=message):
        masked()
