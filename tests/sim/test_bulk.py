"""Many designs at once: the same figures as one by one, whatever the order, the processes and the memo."""

from __future__ import annotations

import json
import random

import numpy as np
import pytest

from codeword.bench.designs import designs
from sim import accelerator, bulk
from sim.errors import InputError
from sim.estimate import estimate
from sim.memo import Memo
from sim.results import Totals
from sim.shapes import ConvShape
from sim.systolic import remembered
from sim.workloads import workload

NETWORKS = [workload("resnet20"), workload("mobilenet-v2")]


def one_by_one(network, machine, objective):
    """Of COLUMNS, from the estimate of one design without compiled code."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(remembered, "ready", False)
        found = estimate(network, machine, objective=objective)
    cost = found.cost
    energy = np.nan if cost.total_pj is None else cost.total_pj
    dram = found.passes * sum(layer.counts.accesses["dram"] for layer in found.layers)
    return {
        "cycles": cost.cycles,
        "time_s": cost.time_s,
        "energy_pj": energy,
        "area_mm2": np.nan if cost.total_mm2 is None else cost.total_mm2,
        "edp": energy * 1e-12 * cost.time_s,
        "tops": cost.tops,
        "tops_per_watt": np.nan if cost.tops_per_watt is None else cost.tops_per_watt,
        "dram_bytes": dram,
        "utilization": cost.utilization,
        "mapping_gap": found.mapping_gap,
    }


@pytest.mark.parametrize("objective", ["edp", "energy", "cycles"])
def test_designs_get_what_an_estimate_says(objective: str) -> None:
    machines = designs(3, seed=len(objective))
    found = bulk.estimates(NETWORKS[:1], machines, objective=objective)
    assert found.runs.all()
    assert not found.errors
    for m, machine in enumerate(machines):
        expected = one_by_one(NETWORKS[0], machine, objective)
        for name, column in found.columns.items():
            np.testing.assert_equal(column[0, m], expected[name], err_msg=f"{machine.name} {name}")


@pytest.mark.parametrize("name", ["resnet20", "mobilenet-v2"])
def test_an_estimate_is_the_same_with_compiled_code_at_hand(name: str, monkeypatch) -> None:
    """Every schedule, count and cause of every layer."""
    for machine in designs(3, seed=9):
        found = []
        for ready in (False, True):
            monkeypatch.setattr(remembered, "ready", ready)
            found.append(estimate(workload(name), machine).to_json())
        assert json.dumps(found[0]) == json.dumps(found[1])


def test_the_clock_behind_gates_follows_the_tokens() -> None:
    """Not all cycles: only those with a token clock the array."""
    machine = accelerator.load("ews-16", {"technology": "sg13g2"})
    found = bulk.estimates(NETWORKS[:1], [machine])
    assert machine.clock_gating
    assert found.columns["energy_pj"][0, 0] == one_by_one(NETWORKS[0], machine, "edp")["energy_pj"]


@pytest.mark.slow
def test_random_designs_of_many_networks_get_what_an_estimate_says() -> None:
    networks = [workload(name) for name in ("resnet18", "deit-t", "vim-t", "mobilenet-v3-facepad")]
    machines = [*designs(8, seed=5), accelerator.preset("rom-16"), accelerator.preset("ews-cms-64")]
    found = bulk.estimates(networks, machines)
    for n, network in enumerate(networks):
        for m, machine in enumerate(machines):
            expected = one_by_one(network, machine, "edp")
            for name, column in found.columns.items():
                np.testing.assert_equal(column[n, m], expected[name], err_msg=f"{network.name} {m} {name}")


def test_neither_order_nor_processes_nor_memo_change_a_bit(tmp_path) -> None:
    machines = designs(4, seed=2)
    order = random.Random(0).sample(range(4), 4)
    alone = bulk.estimates(NETWORKS, machines, memo=tmp_path)
    shared = bulk.estimates(NETWORKS, [machines[n] for n in order], processes=2)
    again = bulk.estimates(NETWORKS, machines, memo=tmp_path)
    assert (alone.remembered, again.remembered) == (0, 2 * 4)
    for name in bulk.COLUMNS:
        assert alone.columns[name][:, order].tobytes() == shared.columns[name].tobytes()
        assert alone.columns[name].tobytes() == again.columns[name].tobytes()


def test_what_a_machine_cannot_run_is_told(tmp_path) -> None:
    impossible = ConvShape("wide", 4096, 64, (9, 9), (1, 1), (4, 4), (400, 400))
    small = accelerator.load("ews-8", {"l1_bytes": 1024})
    found = bulk.estimates([NETWORKS[0], [impossible]], [small, accelerator.preset("ews-64")], memo=tmp_path)
    with pytest.raises(InputError) as raised:
        estimate([impossible], small)
    assert set(found.errors) == {(1, 0)}
    assert found.errors[1, 0].args == raised.value.args
    assert found.columns["cycles"][1, 0] == -1
    assert np.isnan(found.columns["edp"][1, 0])


def test_bad_arguments() -> None:
    with pytest.raises(InputError, match="processes"):
        bulk.estimates(NETWORKS, [], processes=0)
    with pytest.raises(InputError, match="objective"):
        bulk.estimates(NETWORKS, [accelerator.preset("ews-16")], objective="area")


TOTALS = Totals(7, 5, 2, {"dram": 3}, 0.1)


def written(folder) -> Memo:
    memo = Memo(folder)
    memo.put(b"key", TOTALS)
    memo.write()
    return memo


def test_a_memo_keeps_totals_to_the_bit(tmp_path) -> None:
    written(tmp_path)
    assert Memo(tmp_path).get(b"key") == TOTALS
    assert Memo(tmp_path).get(b"other") is None


def test_damaged_files_of_a_memo_are_as_none(tmp_path) -> None:
    written(tmp_path)
    (path,) = tmp_path.rglob("*.json")
    content = path.read_bytes()
    for damaged in (content[:-1], content[:40], b"", content[:50] + b"9" + content[51:]):
        other = path.with_name(f"{len(damaged)}{damaged[50:51]!r}.json")
        other.write_bytes(damaged)
        path.unlink(missing_ok=True)
        assert Memo(tmp_path).get(b"key") is None
        other.unlink()


def test_a_memo_of_other_sources_is_not_taken(tmp_path, monkeypatch) -> None:
    written(tmp_path)
    monkeypatch.setattr("sim.memo.version", lambda: "another")
    assert Memo(tmp_path).get(b"key") is None


def test_two_writers_at_a_time(tmp_path) -> None:
    first, second = Memo(tmp_path), Memo(tmp_path)
    first.put(b"first", TOTALS)
    second.put(b"second", TOTALS)
    first.write()
    second.write()
    assert Memo(tmp_path).get(b"first") == Memo(tmp_path).get(b"second") == TOTALS


def test_a_memo_that_cannot_be_written_is_told(tmp_path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="memo"):
        Memo(tmp_path / "file")
