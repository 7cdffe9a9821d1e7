"""What a token costs: all weights, keys and values come from off chip, and the page is of the figures."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from algos.models.llama import Llama as DecoderModel
from algos.models.llama import Shape
from codeword.reports.language import measure, text, values
from sim import accelerator
from sim.estimate import estimate
from sim.shapes import ConvShape
from sim.workloads.transformer import SMOLLM2_135M, Llama

SMALL = Llama("small", 2, 256, 4, 2, 512, 1024, tied=True)


def machine(name: str = "ews-64"):
    return accelerator.load(name, {"dram": measure.DRAM, "weight_port_bits": measure.PORT_BITS})


@pytest.mark.parametrize(("context", "batch"), [(64, 1), (64, 4), (512, 2)])
def test_traffic_of_a_token_is_weights_and_keys(context: int, batch: int) -> None:
    workload = SMALL.decode(context, batch)
    held = sum(shape.weights for shape in workload.shapes if measure.cached(shape))
    assert held == 2 * SMALL.layers * batch * context * SMALL.width * SMALL.kv_heads // SMALL.heads
    found = measure.figures(estimate(workload, machine()), held)
    weights = sum(
        shape.weights
        for shape in workload.shapes
        if isinstance(shape, ConvShape) and not measure.cached(shape)
    )
    traffic = found["traffic_bytes"]
    assert traffic["projections"] + traffic["head"] == pytest.approx(weights, rel=0.05)
    assert traffic["keys and values"] == held


def test_what_l2_keeps_costs_nothing_unless_it_is_counted() -> None:
    found = estimate(SMALL.decode(64), machine())
    plain, all_off_chip = measure.figures(found, 0), measure.figures(found, 65_536)
    assert plain["time_s"] == found.cost.time_s
    assert all_off_chip["time_s"] - plain["time_s"] == pytest.approx(65_536 / 17.064e9, rel=1e-3)
    each = found.cost.energy_pj["dram"] / sum(plain["traffic_bytes"].values())
    assert all_off_chip["energy_j"] - plain["energy_j"] == pytest.approx(65_536 * each * 1e-12)


def test_the_page() -> None:
    rows = [
        {"model": "small", "weights": "INT8", "prompt": prompt, "context": 512, "batch": batch}
        | measure.figures(estimate(SMALL.decode(512, batch), machine()), 0)
        for prompt, batch in ((True, 1), (False, 1), (False, 8))
    ]
    page = text.page({"dram": "lpddr4", "machines": measure.MACHINES, "rows": rows})
    assert "Made by `codeword report language`" in page
    assert f"| small | INT8 | 512 | 8 | {text._number(8 / rows[2]['time_s'])} |" in page
    assert f"{SMOLLM2_135M.name} 0.007" in page


def test_the_page_tells_what_was_found_with_values() -> None:
    rows = [
        {"past": past, "block": block, "bit_exact": True, "cycles": 7, "alone": 0.125, "error": 0.25}
        for past in (3, 5)
        for block in (0, 1, "head")
    ]
    variant = {"opening": False, "rotated": True, "largest": 1270.0, "errors": [0.5] * 14, "equal": 0.75}
    found = {
        "machine": "ews-64",
        "opening": 3,
        "prompt": 5,
        "question": "Why?",
        "answer": "so",
        "float_answer": "no",
        "rows": rows,
        "variants": [variant | {"nats": [2.5, 2.25]}, variant | {"opening": True, "nats": [2.5, 2.25]}],
    }
    page = text.valued(found)
    assert "6\nnetworks, **all bit-exact**" in page
    assert ": not the same." in page
    assert "| 1 | 0.125, 0.250 | 0.125, 0.250 |" in page
    assert "leaves a step of 10," in page
    assert "| constant | yes | 1,270 | 0.50 | 0.50 | 75% | 2.50 | 2.25 |" in page
    rows[2]["bit_exact"] = False
    assert "NOT ALL" in text.valued(found)


def small() -> DecoderModel:
    torch.manual_seed(0)
    shape = Shape(vocabulary=16, dim=32, blocks=2, heads=4, kv_heads=2, hidden=48, context=8)
    model = DecoderModel(shape).eval()
    for parameter in model.parameters():
        if parameter.ndim > 1:
            torch.nn.init.normal_(parameter, std=0.15)
    return model


def test_a_large_first_token_is_no_matter_behind_an_opening() -> None:
    model, text_of = small(), torch.randint(1, 16, (480,))
    with torch.no_grad():
        model.model.embed_tokens.weight[0, 3] = 1000  # the opening alone has it
    plain, opened = (
        values.variant(model, [0], text_of, constant, rotated=True) for constant in (False, True)
    )
    assert max(plain["largest"], opened["largest"]) < 100
    assert opened["errors"][-1] < 0.15
    assert opened["nats"][0] == pytest.approx(opened["nats"][1], rel=0.1)


def test_blocks_in_a_row_are_exact_and_go_on_where_they_were(tmp_path: Path) -> None:
    model = small()
    tokens, prompt = torch.randint(16, (9, 7)), torch.randint(16, (5,)).tolist()
    rows = list(values.passes(model, tokens, prompt, 1, tmp_path, decoded=2))
    assert [(row["past"], row["block"]) for row in rows] == [
        (past, block) for past in (1, 5, 6) for block in (0, 1, "head")
    ]
    assert all(row["bit_exact"] for row in rows)
    blocks = [row for row in rows if row["block"] != "head"]
    assert max(row["alone"] for row in blocks) < 0.1  # INT8
    assert max(row["error"] for row in blocks) < 0.15
    assert rows[3]["tokens"] == [*prompt, rows[2]["token"]]
    assert list(values.passes(model, tokens, prompt, 1, tmp_path, decoded=2)) == rows
