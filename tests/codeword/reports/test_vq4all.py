"""The report on one codebook for several networks."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from codeword.reports.registry import make
from sim.errors import InputError
from tests.codeword.reports.test_comparison import recorded_costs

FOUND = {
    "data": "few images",
    "config": {"k": 2048, "d": 8, "epochs": 3},
    "float_recipe": {"epochs": 4},
    "rom_bytes": 16384,
    "codewords_used_by_all": 0.97,
    "compression_ratio_of_all": 23.27,
    "compression_ratio_of_all_with_rom": 19.61,
    "networks": {
        "resnet8": {
            "accuracy_float": 0.9,
            "universal": {
                "accuracy_float_activations": 0.89,
                "accuracy_integer": 0.885,
                "bits_per_weight": 1.375,
                "compression_ratio": 23.27,
                "compression_ratio_with_rom": 10.2,
                "codewords_used": 0.6,
            },
            "own": {
                "accuracy_float_activations": 0.88,
                "accuracy_integer": 0.875,
                "bits_per_weight": 1.3,
                "compression_ratio": 24.6,
                "compression_ratio_with_rom": 24.6,
                "codewords": 77,
            },
        }
    },
}


def run(out: Path, work: Path | None = None) -> str:
    make("vq4all", stages=["text"], work=work, out=out)
    return out.with_suffix(".md").read_text()


def test_networks_run_on_the_machines_of_their_codebooks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ran = recorded_costs(monkeypatch)
    out = tmp_path / "vq4all.json"
    out.write_text(json.dumps(FOUND))
    text = run(out, tmp_path)
    assert ran == [("resnet8-universal.safetensors", "vq4all"), ("resnet8-own.safetensors", "vq")]
    assert "| resnet8 | universal | 60.0% of all | 1.375 | 23.3x | 10.2x | 90.00% | 89.00% | 88.50% |" in text
    assert "| resnet8 | own | 77 | 1.300 |" in text
    assert "23.3x beside the ROM of 16,384 bytes, 19.6x with the ROM counted once" in text
    assert "universal less own codebooks: +1.00 points" in text
    assert text == run(out)  # from the file alone


def test_a_missing_network(tmp_path: Path) -> None:
    out = tmp_path / "vq4all.json"
    out.write_text(json.dumps(FOUND))
    with pytest.raises(InputError, match="resnet8-universal"):
        run(out, tmp_path)
