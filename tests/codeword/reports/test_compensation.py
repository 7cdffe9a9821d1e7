"""Rows of the language models: what they measure, that a killed run goes on, and the page of them."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from algos.models.llama import Llama, Shape
from codeword.reports.compensation import measure, text
from codeword.reports.compensation.subjects import Subject
from codeword.reports.registry import Task

SHAPE = Shape(vocabulary=16, dim=64, blocks=1, heads=2, kv_heads=1, hidden=64, context=12)


def subject(**changes) -> Subject:
    torch.manual_seed(0)
    tokens = torch.randint(16, (400,), dtype=torch.uint8)
    sizes = {"length": 12, "calibration": 8, "measured": 4, "batch": 2, "bits_per_token": True}
    return Subject(Llama(SHAPE).eval(), tokens[:300], tokens[300:], **sizes | changes)


def test_quality_is_the_mean_over_windows_that_follow_one_another():
    one = subject()
    tokens = one.held_out[: 4 * 13].reshape(4, 13).long()
    with torch.no_grad():
        logits = one.module(tokens[:, :-1]).double()
    nats = float(F.nll_loss(logits.log_softmax(-1).flatten(0, 1), tokens[:, 1:].flatten()))
    assert one.quality(one.module) == pytest.approx(nats / math.log(2), rel=1e-5)


class Wrapped(nn.Module):
    """Called as transformers' models are."""

    def __init__(self, inner: nn.Module) -> None:
        super().__init__()
        self.inner = inner

    def forward(self, input_ids, use_cache):
        assert not use_cache
        return type("Output", (), {"logits": self.inner(input_ids)})


def test_perplexity_of_models_of_transformers():
    bits, perplexity = subject(), subject(bits_per_token=False)
    assert perplexity.quality(Wrapped(perplexity.module)) == pytest.approx(
        2 ** bits.quality(bits.module), rel=1e-5
    )


def test_rows_are_many_and_files_apart():
    rows = list(measure.settings())
    assert len({row.file for row in rows}) == len(rows)
    plain = [row for row in rows if row.subject == "llama-moby" and not row.options]
    assert len(plain) == 8 * (1 + 4 * 3)  # RTN looks at no window
    assert {(row.bits, row.activations, row.rotated) for row in plain} == {
        (bits, inputs, rotated)
        for bits, inputs in ((4, None), (3, None), (2, None), (4, 4))
        for rotated in (0, 1)
    }


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch):
    one = subject()
    monkeypatch.setattr(measure, "_subject", lambda name: one)
    rows = [
        measure.Setting(name, method, 3, rotated, activations, None if method == "rtn" else seed)
        for name in ("llama-moby", "smollm2-135m")
        for method in measure.METHODS
        for rotated, activations, seed in ((False, None, 0), (True, 4, 1))
    ]
    rows += [
        measure.Setting("llama-moby", method, 3, options=own) for method, own in measure.VARIANTS.values()
    ]
    monkeypatch.setattr(measure, "settings", lambda: iter(rows))
    return one


def test_a_run_that_was_killed_goes_on_and_the_page_is_of_its_rows(small, tmp_path: Path, monkeypatch):
    task = Task(tmp_path / "work", tmp_path / "found.json")
    before = {name: value.clone() for name, value in small.module.state_dict().items()}
    measure.run(task)
    found = json.loads(task.out.read_text())
    assert len(found["rows"]) == 27
    assert all(value.equal(before[name]) for name, value in small.module.state_dict().items())
    exact = found["float"]["llama-moby"]["quality"]
    assert all(0 < abs(row["quality"] - exact) < 0.5 for row in found["rows"])
    scales = [16 if "whole_scales" not in row["options"] else 5 for row in found["rows"]]  # 5: of 32 levels
    assert [row["bits_per_weight"] for row in found["rows"]] == [3 + bits / 64 for bits in scales]
    (tmp_path / "work" / "llama-moby-gptq-w3-0.json").unlink()
    made: list[str] = []
    real = measure.row
    monkeypatch.setattr(measure, "row", lambda setting: made.append(setting.file) or real(setting))
    measure.run(task)
    assert made == ["llama-moby-gptq-w3-0.json"]
    page = text.page(found)
    for row in found["rows"]:
        if row["subject"] == "llama-moby" and row["seed"] is not None:
            assert f"{row['quality']:.4f}" in page
    assert "arrive in 4 bits" in page
    assert "stopped at 27 of" in page
    assert "None of these were measured here" in page
    without = found | {"rows": [row for row in found["rows"] if row["subject"] == "llama-moby"]}
    assert "SmolLM2" not in text.page(without)


def test_what_is_seen_counts_settings_where_all_seeds_agree():
    def row(method, quality, seed):
        own = {"bits": 3, "activations": None, "rotated": False, "method": method}
        return own | {"quality": quality, "seed": seed}

    rows = [
        row("rtn", 3.0, None),
        row("gptq", 2.0, 0),
        row("gptq", 2.5, 1),
        row("gptaq", 2.4, 0),
        row("gptaq", 2.6, 1),
    ]
    said = list(text._seen(rows))
    assert said[0].startswith(
        "GPTQ against RTN: better in every seed in 1 of 1 settings, worse in every seed in 0"
    )
    assert said[1].startswith(
        "GPTAQ against GPTQ: better in every seed in 0 of 1 settings, worse in every seed in 0"
    )
