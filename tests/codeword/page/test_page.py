"""Pages: every figure that a reader sees equals the JSON of the estimate; a browser draws them."""

from __future__ import annotations

import html
import json
import re
import shutil
import subprocess
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest

import codeword
from codeword.pages import designs, page
from codeword.sweeping import sweep
from codeword.sweeping.space import parse
from sim.errors import InputError
from tests.sim.network.networks import small_network

BROWSER = shutil.which("chromium") or shutil.which("google-chrome")


class Tables(HTMLParser):
    """Cells of every table: the exact value where a cell has one, else its text."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tables: list[list[list[object]]] = []
        self.cell: list[str] | None = None
        self.exact: str | None = None
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        if tag == "table":
            self.tables.append([])
        elif tag == "tr":
            self.tables[-1].append([])
        elif tag in ("td", "th"):
            self.cell, self.exact = [], dict(attrs).get("data-value")

    def handle_data(self, data):
        if self.cell is not None:
            self.cell.append(data)

    def handle_endtag(self, tag):
        if tag in ("td", "th"):
            said = "".join(self.cell) if self.exact is None else json.loads(self.exact)
            self.tables[-1][-1].append(said)
            self.cell = None


@pytest.fixture(scope="module")
def found():
    """Eight designs: every kind of weights has its causes and components."""
    names = ("ews-16", "ews-cms-16", "ws-16", "ws-cms-16", "ews-c-32", "ssvq-16", "int4-g64-16", "ews-8x32")
    return [codeword.estimate("resnet20", name) for name in names]


@pytest.fixture(scope="module")
def written(found, tmp_path_factory):
    return page(found, tmp_path_factory.mktemp("page") / "eight.html")


def test_tables_equal_the_json(found, written):
    tables = Tables(written.read_text()).tables
    sums = {row[0]: row[1:] for row in tables[0][1:]}
    layers = [dict(zip(tables[-1][0], row, strict=True)) for row in tables[-1][1:]]
    for place, one in enumerate(found):
        said = one.to_json()
        assert sums["cycles"][place] == said["cycles"]
        assert sums["TOPS/W with DRAM"][place] == said["tops_per_watt_with_dram"]
        assert sums["area (mm2)"][place] == said["area_mm2"]["total"]
        total = said["energy_pj"]["total"]
        assert sums["energy (J)"][place] == (None if total is None else pytest.approx(total * 1e-12))
        of_design = [row for row in layers if row["design"] == f"resnet20 on {one.accelerator.name}"]
        wanted = [(layer["name"], layer["cycles"], layer["accesses"]["dram"]) for layer in said["layers"]]
        assert [(row["layer"], row["cycles"], row["DRAM (bytes)"]) for row in of_design] == wanted
        energies = {
            row[1]: row[2] for row in tables[1][1:] if row[0] == f"resnet20 on {one.accelerator.name}"
        }
        spent = {name: pj for name, pj in said["energy_pj"].items() if pj and not name.startswith("total")}
        assert energies == pytest.approx({name: pj * 1e-12 for name, pj in spent.items()})


class Sources(HTMLParser):
    """What a document would load."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.found: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.found += [value for name, value in attrs if name in ("src", "href", "data", "srcset")]


def test_a_page_needs_nothing_from_elsewhere(written):
    text = written.read_text()
    assert len(text) < 5e6
    assert "<h1>8 designs: resnet20</h1>" in text
    assert Sources(text).found == []
    assert Sources("<script src='a.js'>").found == ["a.js"]


@pytest.mark.parametrize(("network", "name"), [("resnet20", "ews-16"), ("mobilenet-v2", "ews-8x16")])
def test_use_of_the_array_is_the_utilization(network, name):
    one = codeword.estimate(network, name)
    occupied = designs.occupancy(one)
    assert occupied.mean() == pytest.approx(one.cost.utilization)
    assert ((occupied >= 0) & (occupied <= 1)).all()
    means = [cell["utilization"] for cell in designs.heat(occupied, most=4)]
    assert np.mean(means) == pytest.approx(one.cost.utilization)


def test_a_pe_without_a_channel_has_nothing_to_do():
    from sim.shapes import ConvShape

    one = codeword.estimate([ConvShape("a", 3, 5, size=(4, 4))], "ews-8")
    busy = designs.occupancy(one) > 0
    assert busy.sum() == 15
    assert busy[:3, :5].all()


def test_a_roof_is_bandwidth_then_peak(found):
    points = designs.roofline(found[0])
    low, ridge, high = designs.roof(found[0], points)
    bytes_a_second = 64 / 8 * 300e6
    assert low["TOPS"] == pytest.approx(low["operations a byte"] * bytes_a_second * 1e-12)
    assert ridge["TOPS"] == high["TOPS"] == found[0].cost.peak_tops
    assert all(point["TOPS"] <= found[0].cost.peak_tops for point in points)


@pytest.mark.parametrize(
    ("designs_of", "named"), [(lambda all_: [], "designs"), (lambda all_: [all_[0], all_[0]], "twice")]
)
def test_what_cannot_be_shown_is_named(found, tmp_path, designs_of, named):
    with pytest.raises(InputError, match=named):
        page(designs_of(found), tmp_path / "a.html")
    assert not list(tmp_path.iterdir())


def test_names_of_networks_are_only_text(found, tmp_path):
    from dataclasses import replace

    evil = replace(found[0], name="</script><b>&'\"")
    text = page(evil, tmp_path / "a.html").read_text()
    assert "<b>&" not in text
    assert Tables(text).tables[0][0][1] == f"{evil.name} on ews-16"


def drawn(path: Path, *after: str) -> str:
    """The document as a browser has it, after some lines of script."""
    copy = path.with_name("drawn.html")
    steps = "".join(f"<script type='module'>{line}</script>" for line in after)
    before, _, rest = path.read_text().rpartition("</body>")  # the library has one too
    copy.write_text(before + steps + "</body>" + rest)
    options = ["--headless", "--no-sandbox", "--disable-gpu", "--virtual-time-budget=20000", "--dump-dom"]
    ran = subprocess.run(
        [str(BROWSER), *options, copy.as_uri()], capture_output=True, text=True, check=True, timeout=300
    )
    return ran.stdout


@pytest.mark.skipif(BROWSER is None, reason="no Chromium")
def test_a_browser_draws_the_figures_of_the_json(found, written):
    """Each mark says its figures to readers that cannot see it, and to this test."""
    dom = drawn(written)
    assert 'data-drawn="yes"' in dom
    labels = [html.unescape(label) for label in re.findall(r'aria-label="([^"]*)"', dom)]
    bars = [
        dict(part.split(": ", 1) for part in label.split("; ")) for label in labels if "; cause: " in label
    ]
    shown = {(bar["layer"], bar["cause"]): int(bar["cycles"]) for bar in bars}
    wanted = {}
    for layer in found[0].to_json()["layers"]:
        causes = layer["stall_cycles"] | {"compute": layer["cycles"] - sum(layer["stall_cycles"].values())}
        wanted |= {(layer["name"], cause): count for cause, count in causes.items() if count}
    assert shown == wanted


@pytest.fixture(scope="module")
def traced():
    network = small_network(d=16, keep=4)
    return codeword.trace(network, "ews-cms-16", window=range(100, 600))


@pytest.fixture(scope="module")
def pipeline(traced, tmp_path_factory):
    one = codeword.estimate(small_network(d=16, keep=4), "ews-cms-16")
    return codeword.page(one, tmp_path_factory.mktemp("pipeline") / "a.html", traces=[traced])


def test_a_window_of_a_run(traced, pipeline):
    table = next(table for table in Tables(pipeline.read_text()).tables if "busy cycles" in table[0])
    shown = {row[1]: row[2] for row in table[1:]}
    for track in shown:
        cycles = {n for span in traced.traces[0].on(track) for n in range(span.begin, span.end)}
        assert shown[track] == len(cycles & set(range(100, 600)))
    assert {"sequencer", "array", "loader"} <= set(shown)


@pytest.mark.skipif(BROWSER is None, reason="no Chromium")
def test_a_browser_draws_the_spans(traced, pipeline):
    dom = drawn(pipeline)
    labels = [html.unescape(label) for label in re.findall(r'aria-label="([^"]*)"', dom)]
    bars = [
        dict(part.split(": ", 1) for part in label.split("; ")) for label in labels if "; what: " in label
    ]
    shown = sorted((bar["what"], int(bar["from"]), int(bar["to"])) for bar in bars)
    assert shown == sorted(
        (span.name, max(span.begin, 100), min(span.end, 600))
        for span in traced.traces[0].spans
        if span.begin < 600 and span.end > 100
    )


def test_a_trace_without_a_window_shows_nothing(traced, tmp_path):
    whole = codeword.trace(small_network(d=16, keep=4), "ews-cms-16")
    one = codeword.estimate("resnet20", "ews-cms-16")
    with pytest.raises(InputError, match="no window"):
        codeword.page(one, tmp_path / "a.html", traces=[whole])
    assert not list(tmp_path.iterdir())


@pytest.mark.skipif(BROWSER is None, reason="no Chromium")
def test_a_browser_sorts_and_filters(found, written):
    script = """
        const table = [...document.querySelectorAll("table.filtered")].at(-1);
        const heads = [...table.tHead.rows[0].cells].map((cell) => cell.querySelector("button"));
        heads[3].click(); heads[3].click();
        const input = document.querySelector("input[type=search]");
        input.value = "stage2"; input.dispatchEvent(new Event("input"));
    """
    dom = drawn(written, script)
    rows = dom[dom.rindex("<tbody>") : dom.rindex("</tbody>")]
    kept = [row for row in re.findall(r"<tr[^>]*>.*?</tr>", rows) if "hidden" not in row.partition(">")[0]]
    assert all("stage2" in row for row in kept)
    counted = [int(re.findall(r'data-value="(\d+)"', row)[1]) for row in kept]
    wanted = [
        layer["cycles"] for one in found for layer in one.to_json()["layers"] if "stage2" in layer["name"]
    ]
    assert counted == sorted(wanted, reverse=True)


def test_a_sweep_shows_its_front(tmp_path):
    space = parse(
        {"networks": ["resnet20"], "accelerator": {"preset": "ews-16", "l1_bytes": [32768, 65536, 131072]}}
    )
    swept = sweep(space, tmp_path / "table", processes=1)
    tables = Tables(page(swept, tmp_path / "a.html").read_text()).tables
    assert len(tables[1]) == 4
    front = [dict(zip(tables[0][0], row, strict=True)) for row in tables[0][1:]]
    assert [row["cycles"] for row in front] == sorted(
        (row["cycles"] for row in swept.front_rows()), key=[row["cycles"] for row in front].index
    )
    assert {row["energy (J)"] for row in front} == {row["energy"] for row in swept.front_rows()}
