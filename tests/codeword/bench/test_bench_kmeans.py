"""The benchmark of k-means measures what it says."""

from __future__ import annotations

import json
import sys

import pytest
import torch

from codeword.bench import kmeans


def test_layers_are_those_of_resnet50() -> None:
    """All 53 convolutions but the stem: 23,454,912 weights less 9,408 (He et al. 2016, Table 1)."""
    sizes = [
        (len(vectors), masks.sum(1).unique().tolist(), bool((vectors * ~masks).any()))
        for vectors, masks in kmeans.layers()
    ]
    assert len(sizes) == 52
    assert sum(n for n, _, _ in sizes) * 16 == 23_454_912 - 9_408
    assert {(tuple(kept), left) for _, kept, left in sizes} == {((4,), False)}


@pytest.mark.parametrize("variant", ["masked", "plain", "cdist"])
def test_a_variant_reports_time_and_memory(
    variant: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    masks = torch.zeros(200, 16, dtype=torch.bool)
    masks[:, ::4] = True
    few = [(torch.randn(200, 16) * masks, masks)] * 2
    monkeypatch.setattr(kmeans, "layers", lambda: iter(few))
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    monkeypatch.setattr(sys, "argv", ["x", variant])
    kmeans.main()
    found = json.loads(capsys.readouterr().out)
    assert found["sub_vectors"] == 400
    assert found["seconds"] > 0


def test_ratios_are_to_ours() -> None:
    found = {"masked": {"seconds": 2.0, "peak_mb": 50.0}, "cdist": {"seconds": 3.0, "peak_mb": 200.0}}
    assert kmeans.rows(found) == [
        ("ours, masked 4:16", "2", "1.00", "50", "1.0"),
        ("torch.cdist, plain", "3", "1.50", "200", "4.0"),
    ]
