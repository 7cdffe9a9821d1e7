"""Token networks on a machine and on the RTL, and what the report says of them."""

from __future__ import annotations

import json
from pathlib import Path

from codeword.reports.registry import make
from codeword.reports.vim import text
from sim import artifact


def row(method: str, accuracy: float, setting: str = "2 bit") -> dict[str, object]:
    return {
        "setting": setting,
        "method": method,
        "index_bits_per_weight": 2.0,
        "bits_per_weight": 2.5,
        "accuracy_before_truncation": accuracy,
        "accuracy": accuracy,
        "soft_equals_hard": True,
        "truncated": 0.0,
        "block_error": [0.1, 0.3],
        "cpu_seconds": 1.0,
        "peak_rss_growth_bytes": 10**6,
    }


def test_vim_and_deit_are_costed_and_one_layer_of_each_runs_on_the_rtl(tmp_path: Path) -> None:
    from algos.frontend.export import export
    from algos.methods.vim_vq import calibrate
    from algos.models.deit import DeiT
    from algos.models.vim import Vim
    from tests.algos.frontend.test_export_tokens import CONFIG, model
    from tests.algos.small_models import images

    for name, kind in (("vim", Vim), ("deit", DeiT)):
        made = model(kind)
        calibrate(made, images(8), CONFIG)  # type: ignore[arg-type]
        artifact.save(export(made, images(16), name=name), tmp_path / f"{name}.safetensors")  # type: ignore[arg-type]
    export_row = {"bits_per_weight": 2.0, "accuracy_float": 0.9, "accuracy": 0.8, "accuracy_integer": 0.7}
    out = tmp_path / "vim_vq.json"
    out.write_text(
        json.dumps(
            {
                "model": "Vim",
                "data": "none",
                "float": {"accuracy": 0.9},
                "rows": [row("vim-vq", 0.8)],
                "exports": {"vim": dict(export_row), "deit": dict(export_row)},
            }
        )
    )
    make("vim", stages=["text"], work=tmp_path, out=out)
    for name, words in (("vim", 16 * 16), ("deit", 16 * 16)):
        cost = json.loads(out.read_text())["exports"][name]["cost"]
        assert (cost["accelerator"], cost["settings"]) == ("ews-c-16", ["codeword_length=4"])
        assert cost["bit_exact"]
        assert (cost["verified_words"], cost["verify_mismatches"]) == (words, 0)
        assert cost["verify_cycles"][0] == cost["verify_cycles"][1] > 0
    found = out.with_suffix(".md").read_text()
    assert found.count("| exact | 256 words and ") == 2
    assert "DIFFERENT" not in found


def test_the_report_says_where_no_difference_is_seen() -> None:
    rows = [row("kmeans", 0.70), row("convex", 0.797), row("vim-vq", 0.80), row("dkm", 0.81)]
    assert list(text._seen("2 bit", rows, 0.005)) == [  # type: ignore[arg-type]
        "2 bit: ViM-VQ is better than plain VQ (k-means) (+10.00).",
        "2 bit: ViM-VQ is worse than DKM (-1.00).",
        "2 bit: ViM-VQ shows no difference from convex combination (+0.30).",
    ]
