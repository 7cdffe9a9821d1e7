"""The page of the spikes, from figures made up for this test."""

from __future__ import annotations

import pytest

from codeword.reports.spikes import text


def row(machine, steps, energy, silent=None):
    found = {
        "machine": machine,
        "steps": steps,
        "cycles": 1000,
        "clock_hz": 1e8,
        "time_s": 1e-5,
        "cells_mm2": 2.0,
        "without_dram_pj": energy,
        "energy_pj": {"dram": 1e6},
    }
    return found | ({} if silent is None else {"silent_pj": silent, "additions": 10**6, "density": 0.2})


@pytest.fixture
def figures():
    measured = {
        "coding": "sws",
        "images": 50,
        "digits": 8,
        "silent": 1,
        "signed": True,
        "accuracy": 90.0,
        "latency": 27,
        "spikes_per_neuron": 1.76,
        "additions": {"stem": 20, "fc": 10},
        "updates": 5,
    }
    machines = [row("ews-16", None, 150e6), row("sws-16", 4, 140e6, 80e6), row("sws-16", 8, 300e6, 160e6)]
    return {
        "network": "net",
        "images": 50,
        "plain": {"accuracy": {"50": 92.0}, "macs": 20},
        "rows": [measured],
        "machines": {"images": 2, "rows": machines},
    }


def test_rows_and_where_energies_are_equal(figures):
    page = text.page(figures)
    assert "INT8: 92.00 %" in page
    (line,) = [line for line in page.splitlines() if line.startswith("| sws ")]
    assert [cell.strip() for cell in line.split("|")[2:-1]] == [
        "8", "1", "90.00", "50", "-2.00", "27", "1.76", "1.50", "0.250"
    ]  # fmt: skip
    # 80 uJ and 60 of spikes: 150 is more than all of them; 160 uJ without any are too many.
    assert "- T = 4 breaks even with ews-16 at 117% of its spikes." in page
    assert "- T = 8 takes more than ews-16 without any spike." in page
    (line,) = [line for line in page.splitlines() if line.startswith("| sws-16, T = 8")]
    assert line.rstrip(" |").endswith("140.00")


def test_a_deep_network_stands_beside_its_integers(figures):
    assert "A deep network" not in text.page(figures)
    integers = {"digits": None, "silent": None, "agree": 19, "right": 17, "sqnr_db": 15.2}
    counted = {"latency": 60, "spikes_per_neuron": 2.4, "additions_per_mac": 3.4, "updates_per_mac": 0.2}
    spiking = [
        integers | counted | {"digits": 8, "silent": silent, "sqnr_db": db, "layers": 53, "signed": 17}
        for silent, db in ((1, 8.3), (2, 16.6))
    ]
    deep = {"network": "deep", "pictures": 20, "right": 18, "rows": [integers, *spiking]}
    page = text.page(figures | {"deep": deep})
    assert "- At best: 8.3 dB with Tc = 1, 16.6 dB with Tc = 2; INT8 15.2 dB." in page
    (line,) = [line for line in page.splitlines() if line.startswith("| INT8 ")]
    assert [cell.strip() for cell in line.split("|")[2:-1]] == ["", "", "19", "17", "15.2", "", "", "", ""]


def test_a_page_before_the_machines_ran(figures):
    del figures["machines"]
    assert "On machines" not in text.page(figures)
