"""`estimate --technology` and the report on all of them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from codeword.reports.registry import make
from codeword.reports.technologies import text as technologies
from sim.technology import NAMES
from tests.codeword.conftest import Command

ARGUMENTS = ("estimate", "resnet20", "-a", "ews-cms-16")


@pytest.mark.parametrize("name", [*NAMES, "mvq40@28"])
def test_every_figure_carries_its_origin(codeword: Command, name: str) -> None:
    fields = json.loads(codeword(*ARGUMENTS, "--technology", name, "--json").out)
    assert fields["technology"] == name
    assert fields["counts_source"]["label"] == "counted"
    for what in ("energy", "area"):
        values = {
            k: v
            for k, v in fields[f"{what}_{'pj' if what == 'energy' else 'mm2'}"].items()
            if not k.startswith("total")
        }
        origins = fields[f"{what}_sources"]
        assert set(origins) == set(values)
        assert all(origin["label"] and origin["source"] for origin in origins.values())
        unknown = fields[f"unknown_{what}"]
        assert [part for part, value in values.items() if value is None] == unknown
        total = fields[f"{what}_{'pj' if what == 'energy' else 'mm2'}"]["total"]
        assert total == (None if unknown else pytest.approx(sum(values.values())))


def test_the_table_shows_label_source_and_what_is_unknown(codeword: Command) -> None:
    out = " ".join(codeword(*ARGUMENTS, "--technology", "asap7", "--dram", "lpddr5", "--all").out.split())
    for text in ("measured: synthesis of our RTL", "energy unknown", "Stillmaker", "lpddr5"):
        assert text.lower() in out.lower()


def test_a_real_machine_may_be_slower_than_asked(codeword: Command) -> None:
    fields = json.loads(codeword(*ARGUMENTS, "--technology", "sg13g2", "--json").out)
    assert fields["clock_hz"] < 300e6
    assert fields["time_s"] == pytest.approx(fields["cycles"] / fields["clock_hz"])
    assert "longest path" in fields["clock_source"]["source"]


def test_dram_by_type(codeword: Command) -> None:
    found = {
        kind: json.loads(codeword(*ARGUMENTS, "--dram", kind, "--json").out)["energy_pj"]["dram"]
        for kind in ("ddr3", "hbm2", "lpddr5")
    }
    assert found["ddr3"] == pytest.approx(found["hbm2"] * 70 / 6.25, rel=0.01)  # mappings differ
    assert found["lpddr5"] is None


@pytest.mark.parametrize(
    ("option", "value", "fix"),
    [
        ("--technology", "sg13", "'sg13g2'"),
        ("--technology", "sg13g2@28", "use sg13g2 itself"),
        ("--dram", "ddr33", "'ddr3'"),
        ("--technology", "mine.toml", "readable TOML"),
    ],
)
def test_bad_names(codeword: Command, option: str, value: str, fix: str) -> None:
    result = codeword(*ARGUMENTS, option, value)
    assert result.status == 2
    assert value in result.err
    assert fix in result.err


def test_report(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(technologies, "NETWORKS", ("resnet20",))
    monkeypatch.setattr(technologies, "MACHINES", ("ews-cms-16",))
    text = make("technologies", out=tmp_path / "technologies.md").read_text()
    for part in (*NAMES, "assumed", "2 to 3 times", "lpddr5", "mvq40@45"):
        assert part in text
    assert (tmp_path / "technologies.png").stat().st_size > 10_000
