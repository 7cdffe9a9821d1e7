"""docs/glossary.md has each quantity that the code reports, and no other."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path
from typing import Any, get_args

import pytest

from algos.weights.bits import Bits
from codeword import api
from codeword.compare_verbs import change_json
from rtl.synth import Component, Synthesis
from rtl.verify import LayerResult, VerifyResult
from sim import technology
from sim.saved import Loaded, document
from sim.systolic.results import CAUSES, MEMORIES
from sim.technology.provenance import Label

PAGE = Path("docs/glossary.md").read_text()


def quantities(section: str) -> list[str]:
    """Names in the first column of a section's table."""
    (text,) = re.findall(rf"^## {section}\n(.*?)(?=^## |\Z)", PAGE, re.MULTILINE | re.DOTALL)
    rows = re.findall(r"^\| (`[^|]*) \|", text, re.MULTILINE)
    return [name for row in rows for name in re.findall(r"`(\w+)`", row)]


BY_NAME = ("energy_pj", "area_mm2", "energy_sources", "area_sources", "stall_cycles", "accesses")
"""Objects whose keys are components, causes or memories, which have tables of their own."""


def keys(value: Any) -> Iterator[str]:
    """Fields of a JSON value, to the bottom."""
    if isinstance(value, list | tuple):
        for part in value:
            yield from keys(part)
    if isinstance(value, dict):
        for name, part in value.items():
            yield name
            yield from (
                (key for each in part.values() for key in keys(each)) if name in BY_NAME else keys(part)
            )


@pytest.fixture(scope="module")
def estimates() -> list[dict[str, Any]]:
    """Of machines and technologies that among them have every component."""
    pairs = [("ews-cms-16", name) for name in technology.NAMES] + [("rom-16", "sg13g2")]
    return [api.estimate("resnet20", machine, technology=name).to_json() for machine, name in pairs]


def test_causes_and_memories() -> None:
    assert quantities("Cycles by cause") == list(CAUSES)
    assert sorted(quantities("Accesses")) == sorted((*MEMORIES, "mac"))
    assert quantities("How a figure is known") == list(get_args(Label))


@pytest.mark.parametrize(("section", "field"), [("Energy", "energy_pj"), ("Area", "area_mm2")])
def test_components(section: str, field: str, estimates: list[dict[str, Any]]) -> None:
    assert set(quantities(section)) == {name for found in estimates for name in found[field]}


def test_fields_of_an_estimate(estimates: list[dict[str, Any]]) -> None:
    layers = {layer["name"] for layer in estimates[0]["layers"]}
    assert set(quantities("Estimate")) == set(keys(estimates)) - layers


def test_stored_weights() -> None:
    reported = {"bits_per_weight", "compression_ratio", "bits_per_weight_beside_rom", "accuracy"}
    reported |= {"test_images", "fine_tuning_epochs", "precision"}
    assert set(quantities("Stored weights")) == {field.name for field in fields(Bits)} | reported


def test_comparison_with_the_verilog() -> None:
    expected = {field.name for part in (VerifyResult, LayerResult) for field in fields(part)}
    assert set(quantities("Comparison with the Verilog")) == expected


def test_synthesis() -> None:
    part = Component("top", 1, {}, {}, 1.0, 0, 0.0, 0, None, False)
    found = Synthesis("top", "library", 1.0, (part,), "abc", "").to_json()
    assert set(quantities("Synthesis")) == set(keys(found)) | {"total"}


def test_results_and_what_there_is() -> None:
    """Fields of the verbs that look; those of the results in a comparison are in their own sections."""
    found = Loaded("estimate", {"cycles": 1})
    documents: list[Any] = [
        document("diff", {"before": "", "after": "", "changes": [change_json(*found.diff(Loaded("", {})))]}),
        document("compare", {"runs": []}),
        {"networks": [one.to_json() for one in api.networks()[:1]]},
        {"entries": [one.to_json() for one in api.explain("dram")]},
        api.doctor().to_json(),
    ]
    elsewhere = {"name", "layers", "passes"}
    assert (
        set(quantities("Results and what there is"))
        == {key for one in documents for key in keys(one)} - elsewhere
    )


@pytest.mark.parametrize("page", ["timing", "hardware", "network"])
def test_terms_that_a_page_defines(page: str) -> None:
    """In bold and in small letters: a term; with a capital letter a paragraph's heading."""
    rows = re.findall(r"^\| ([^|`]*) \|", PAGE, re.MULTILINE)
    known = set(re.findall(r"[\w-]+", " ".join(rows)))
    defined = re.findall(r"\*\*([a-z]{2}[\w ]*)\*\*", Path(f"docs/{page}.md").read_text())
    terms = {term.removesuffix("s") for term in defined if " fastest" not in term}
    assert terms
    assert not [term for term in terms if not set(term.split()) <= known]


def test_no_quantity_has_two_entries_in_a_section() -> None:
    for section in re.findall(r"^## (.*)$", PAGE, re.MULTILINE):
        names = quantities(section)
        assert len(names) == len(set(names)), section
