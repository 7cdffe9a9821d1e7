"""What networks and results say of themselves."""

from __future__ import annotations

import re
from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from sim import accelerator
from sim.estimate import estimate
from sim.network import Network
from sim.shown import Run, folded, html
from sim.systolic.engine import simulate
from tests.sim.network.networks import random_images, small_network


@given(st.lists(st.integers(0, 2), max_size=40))
def test_runs_tell_the_whole_list(keys: list[int]) -> None:
    told = [key for run in folded(keys) for key in run.times * keys[run.first : run.first + run.length]]
    assert told == keys


def test_blocks_that_repeat_are_one_run() -> None:
    assert folded("abcbcbcd") == [Run(0, 1, 1), Run(1, 2, 3), Run(7, 1, 1)]
    assert folded("aaaa") == [Run(0, 1, 4)]
    assert folded("xabab" * 3) == [Run(0, 5, 3)]


def test_a_table_shows_a_block_once_and_escapes() -> None:
    shown = html("<t>", ("layer", "size"), [("a", "1"), ("b<", "2"), ("c", "1"), ("d", "2")])
    assert re.findall(r"<td>(.*?)</td>", shown) == ["a", "1", "b&lt;", "2"]
    assert "2 times, 2 rows each" in shown
    assert "&lt;t&gt;" in shown


def test_networks_and_results_are_short() -> None:
    net = small_network(d=8)
    blocks = [replace(net["a"], name=f"a{n}", input=f"a{n - 1}" if n else "stem") for n in range(5)]
    deep = Network("deep", net.input, (net["stem"], *blocks))
    macs = 8 * 9 * 36 + 5 * 64 * 9 * 36
    assert repr(deep) == f"<Network deep: 6 layers, (1, 6, 6) to (8, 6, 6), {macs:,} MACs>"
    assert "5 times, 1 rows each" in deep._repr_html_()
    assert "a1" not in deep._repr_html_()
    machine = accelerator.preset("ews-8")
    counted = estimate(deep, machine)
    assert repr(counted).startswith(f"<Estimate deep on ews-8: {counted.cost.cycles:,} cycles, ")
    simulation = simulate(deep, machine, random_images(deep, 0))
    assert repr(simulation) == (
        f"<Simulation deep: 2 images, {counted.cost.cycles:,} cycles an image, bit-exact>"
    )
    assert "NOT bit-exact" in repr(replace(simulation, bit_exact=False))
    for shown in (counted, simulation):
        assert "<td>stem</td>" in shown._repr_html_()
