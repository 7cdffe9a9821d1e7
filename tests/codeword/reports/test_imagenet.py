"""The report on ImageNet networks, and the machines of their exports."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from codeword.reports.registry import make
from tests.codeword.reports.test_comparison import recorded_costs

MEASURED = {"agree": 2, "right": 1, "sqnr_db": 3000.0}


def row(method: str, agree: int, **more: object) -> dict[str, object]:
    return {
        "network": "mobilenet-v2",
        "method": method,
        "file": f"{method}.safetensors",
        "float_activations": MEASURED,
        "integers": {"agree": agree, "right": 1, "sqnr_db": 12.34},
        **more,
    }


def test_every_network_is_costed_on_the_machine_of_its_method(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ran = recorded_costs(monkeypatch)
    coded = {"k": 64, "d": 4, "bits_per_weight": 2.5, "compression_ratio": 12.8}
    out = tmp_path / "imagenet.json"
    out.write_text(
        json.dumps(
            {
                "pictures": 4,
                "float_right": {"mobilenet-v2": 3},
                "rows": [row("INT8", 4), row("ssvq", 2, **coded), row("mvq 1:2", 1, **coded)],
            }
        )
    )
    make("imagenet", stages=["text"], work=tmp_path, out=out)
    assert ran == [
        ("INT8.safetensors", "INT8"),
        ("ssvq.safetensors", "ssvq"),
        ("mvq 1:2.safetensors", "mvq 1:2"),
    ]
    found = out.with_suffix(".md").read_text()
    assert "too few for an accuracy" in found
    assert found.count("| mobilenet-v2 |") == 2 * 3  # what was measured, and the machines
    assert "| mobilenet-v2 | INT8 |  | 8 | 4.0x | 2 | 1 | no noise | 4 | 1 | 12.3 |" in found
    assert "| mobilenet-v2 | ssvq | 64, 4 | 2.50 | 12.8x |" in found
    assert "| mobilenet-v2 | mvq 1:2 | 64, 4 | ews-16 | 1,234 |" in found
    assert "survive, in integers and without fine-tuning, in mobilenet-v2, ssvq, 2.50 bits." in found
    assert "`blocks.6.project.0` of mobilenet-v2" in found
    make("imagenet", stages=["text"], out=out)  # from the file alone
    assert len(ran) == 3
    assert out.with_suffix(".md").read_text() == found
