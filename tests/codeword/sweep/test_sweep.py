"""Sweeps: rows equal single estimates, the table only grows, and a worker that dies takes nothing with it."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from pathlib import Path

import polars as pl
import pytest

import codeword
from codeword.sweeping import evaluate, store, sweep, workers
from codeword.sweeping.search import search
from codeword.sweeping.space import parse
from codeword.sweeping.store import RESULTS
from sim import artifact
from sim.errors import InputError
from tests.sim.network.networks import small_network

SPACE = {
    "networks": ["resnet20"],
    "objectives": ["energy", "area"],
    "constraints": ["time <= 4 ms"],
    "accelerator": {
        "family": ["ews", "ews-cms"],
        "size": [8, 16],
        "l1_bytes": [32768, 65536],
        "dma_bits": [32, 7],
    },
}
"""A DMA of 7 bits is refused, and nobody knows the area of ews-cms-8."""


@pytest.fixture(scope="module")
def swept(tmp_path_factory):
    return sweep(parse(SPACE), tmp_path_factory.mktemp("sweep"), processes=1)


def test_rows_are_the_estimates(swept):
    for design, rows in zip(swept.designs, swept.rows, strict=True):
        row, chosen = rows["resnet20"], swept.space.choices(design)
        preset, fields = f"{chosen['family']}-{chosen['size']}", ("l1_bytes", "dma_bits")
        settings = [f"{name}={chosen[name]}" for name in fields]
        if chosen["dma_bits"] == 7:
            with pytest.raises(InputError) as refused:
                codeword.estimate("resnet20", preset, settings=settings)
            assert row == {"refused": str(refused.value)}
            continue
        cost = codeword.estimate("resnet20", preset, settings=settings).cost
        assert (row["cycles"], row["area"]) == (cost.cycles, cost.total_mm2)
        assert row["energy"] == pytest.approx(cost.total_pj * 1e-12)
        assert row["edp"] == pytest.approx(cost.total_pj * 1e-12 * cost.time_s)
        assert row["cycles"] == sum(value for name, value in row.items() if name.startswith("cycles."))


def test_the_front_is_of_feasible_designs(swept):
    table = swept.table()
    assert len(table) == swept.space.size == 16
    keeping = table.filter(pl.col("time") <= 4e-3, pl.col("area").is_not_null())
    assert len(keeping) == 6
    assert int(swept.feasible.sum()) == len(keeping)
    least = keeping.sort("energy", "area").row(0, named=True)
    assert swept.front_rows()[0]["energy"] == least["energy"]


def test_a_second_sweep_computes_what_is_new(swept, tmp_path):
    parse_more = SPACE["accelerator"] | {"l1_bytes": [65536, 131072]}
    folder = swept.path.parent
    before = pl.read_parquet(swept.path)
    again = sweep(parse(SPACE | {"accelerator": parse_more}), folder, processes=1)
    assert again.computed == again.space.size // 2 - _unbuildable(again)
    after = pl.read_parquet(folder / RESULTS)
    assert set(before["key"]) < set(after["key"])
    assert after["key"].is_unique().all()
    assert after.filter(pl.col("key").is_in(before["key"].to_list())).height == before.height
    assert not (folder / "parts").exists()


def _unbuildable(found) -> int:
    """New designs whose description is not legal; they have no row in the table."""
    new = [
        rows for design, rows in zip(found.designs, found.rows, strict=True) if _l1(found, design) == 131072
    ]
    return sum("key" not in rows["resnet20"] for rows in new)


def _l1(found, design) -> int:
    return found.space.choices(design)["l1_bytes"]


KILLED = """
import os, sys
from codeword.sweeping import run, sweep, workers
from codeword.sweeping.space import read
workers.PIECE = 2
add = run.Store.add
def once(store, rows):
    add(store, rows)
    if len(store) >= 4:
        os._exit(9)
run.Store.add = once
sweep(read(sys.argv[1]), sys.argv[2], processes=1)
"""


def test_a_killed_run_loses_only_what_was_not_done(tmp_path):
    space = tmp_path / "space.toml"
    space.write_text(
        'networks = ["resnet20"]\n[accelerator]\npreset = "ews-8"\nl1_bytes = [8192, 16384, 32768]\n'
        "dma_bits = [32, 64]\n"
    )
    folder = tmp_path / "out"
    ran = subprocess.run([sys.executable, "-c", KILLED, str(space), str(folder)], check=False)
    assert ran.returncode == 9
    assert not (folder / RESULTS).exists()
    found = sweep(space, folder, processes=1)
    assert found.computed == 2
    assert len(pl.read_parquet(folder / RESULTS)) == 6


def dies_once(jobs, expected, many):
    """Stands for `rows`: the first worker of the sweep is killed at its second piece."""
    mark = Path(os.environ["SWEEP_MARK"])
    if jobs[0].key == "1" and not mark.exists():
        mark.touch()
        os._exit(9)
    return [{"key": job.key} for job in jobs]


def always_dies(jobs, expected, many):
    os._exit(9)


JOBS = [evaluate.Job(str(n), {}, "resnet20", "edp") for n in range(6)]


def test_a_dead_worker_takes_nothing_with_it(tmp_path, monkeypatch):
    monkeypatch.setenv("SWEEP_MARK", str(tmp_path / "mark"))
    monkeypatch.setattr(workers, "PIECE", 1)
    monkeypatch.setattr(workers, "rows", dies_once)
    found = [row["key"] for rows in workers.Workers(2).compute(JOBS) for row in rows]
    assert (tmp_path / "mark").exists()
    assert sorted(found) == [job.key for job in JOBS]


def test_workers_that_always_die_are_named(monkeypatch):
    monkeypatch.setattr(workers, "PIECE", 3)
    monkeypatch.setattr(workers, "DEATHS", 1)
    monkeypatch.setattr(workers, "rows", always_dies)
    with pytest.raises(InputError, match="--processes"):
        list(workers.Workers(2).compute(JOBS))


def test_other_code_is_refused():
    with pytest.raises(InputError, match="another version"):
        evaluate.rows([], "f00")


def test_rows_of_other_code_stay_and_are_not_used(tmp_path, monkeypatch):
    space = parse({"networks": ["resnet20"], "accelerator": {"preset": "ews-8"}})
    now = evaluate.model()
    for place in (
        "codeword.sweeping.evaluate.model",
        "codeword.sweeping.store.model",
        "codeword.sweeping.workers.model",
    ):
        monkeypatch.setattr(place, lambda: "before")
    sweep(space, tmp_path, processes=1)
    for place in (
        "codeword.sweeping.evaluate.model",
        "codeword.sweeping.store.model",
        "codeword.sweeping.workers.model",
    ):
        monkeypatch.setattr(place, lambda: now)
    found = sweep(space, tmp_path, processes=1)
    assert (found.computed, found.of_others) == (1, 1)
    assert sorted(pl.read_parquet(found.path)["model"]) == sorted(["before", now])


def test_settings_of_a_method_choose_the_file(tmp_path):
    """Two files of one method, made with other settings: each design reads its own, with its own accuracy."""
    for k, keep in ((16, 4), (32, 8)):
        artifact.save(small_network(d=16, keep=keep), tmp_path / f"net-{k}.safetensors")
    space = parse(
        {
            "networks": ["net-{k}.safetensors"],
            "objectives": ["energy", "accuracy"],
            "accelerator": {"preset": "ews-16"},
            "method": {"k": [16, 32]},
            "accuracy": {"net-16.safetensors": 90, "net-32.safetensors": 91},
        },
        tmp_path,
    )
    found = sweep(space, tmp_path / "table", processes=1)
    assert [list(rows) for rows in found.rows] == [["net-16.safetensors"], ["net-32.safetensors"]]
    for rows, k in zip(found.rows, (16, 32), strict=True):
        alone = codeword.estimate(str(tmp_path / f"net-{k}.safetensors"), "ews-16")
        assert rows[f"net-{k}.safetensors"]["cycles"] == alone.cost.cycles
    assert found.values[:, 1].tolist() == [90, 91]
    assert {row["method.k"] for row in found.front_rows()} <= {16, 32}


def test_a_full_disk_loses_nothing(tmp_path, monkeypatch):
    """What was in the table stays, and what was done before the disk was full is found again."""
    space = parse(SPACE)
    before = sweep(parse(SPACE | {"accelerator": {"preset": "ews-4"}}), tmp_path, processes=1)
    held = before.path.read_bytes()

    def full(path, content):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))

    monkeypatch.setattr(store, "write_whole", full)
    with pytest.raises(OSError, match="No space left"):
        sweep(space, tmp_path, processes=1)
    assert before.path.read_bytes() == held
    monkeypatch.undo()
    again = sweep(space, tmp_path, processes=1)
    assert again.computed == sum("key" in row for rows in again.rows for row in rows.values())
    assert len(pl.read_parquet(again.path)) == again.computed + 1


def test_an_empty_front(tmp_path):
    """No design keeps an impossible constraint: the rows are there all the same."""
    found = sweep(parse(SPACE | {"constraints": ["time <= 1 ns"]}), tmp_path, processes=1)
    assert found.front == found.front_rows() == []
    assert found.keeping == [0]
    assert len(pl.read_parquet(found.path)) == found.computed > 0


@pytest.mark.parametrize("content", [b"nothing", None])
def test_another_table_is_left_alone(tmp_path, content):
    place = tmp_path / RESULTS
    if content is None:
        pl.DataFrame({"a": [1]}).write_parquet(place)
    else:
        place.write_bytes(content)
    before = place.read_bytes()
    with pytest.raises(InputError, match="results"):
        sweep(parse(SPACE), tmp_path, processes=1)
    assert place.read_bytes() == before


@pytest.mark.parametrize("method", ["random", "tpe", "nsga2"])
def test_the_same_seed_proposes_the_same(method):
    space = parse(SPACE | {"constraints": []})

    def proposals() -> list:
        chosen, found = search(method, space, 12, seed=3), []
        while designs := chosen.ask():
            found += designs
            chosen.tell(
                designs, [None if design[-2] else ([sum(design), -design[0]], []) for design in designs]
            )
        return found

    first = proposals()
    assert len(set(first)) == len(first) == 12
    assert proposals() == first


def test_no_scheduler_answers(tmp_path, monkeypatch):
    monkeypatch.setattr(workers, "ANSWER", "1s")
    with pytest.raises(InputError, match="--scheduler"):
        sweep(parse(SPACE), tmp_path, scheduler="tcp://127.0.0.1:9")


def test_many_designs_take_compiled_code_and_find_the_same(swept):
    jobs, plain = [], []
    for design, rows in zip(swept.designs, swept.rows, strict=True):
        if "key" in (row := rows["resnet20"]):
            fields = swept.space.accelerator(design).model_dump()
            jobs.append(evaluate.Job(row["key"], fields, "resnet20", "edp"))
            plain.append(row)
    assert evaluate.rows(jobs, evaluate.model(), many=True) == plain
