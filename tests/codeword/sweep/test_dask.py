"""A sweep on the workers of a cluster, one of which is killed in the middle."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path
from threading import Thread

import polars as pl
import pytest

from codeword.sweeping import sweep
from codeword.sweeping.space import parse
from codeword.sweeping.store import RESULTS

SPACE = {
    "networks": ["resnet20"],
    "accelerator": {
        "family": ["ews", "ews-cms", "ws"],
        "size": [8, 16],
        "l1_bytes": {"from": 16384, "to": 131072, "factor": 2},
        "dma_bits": [32, 64, 128, 256],
        "wrf_depth": [8, 16],
    },
}


@pytest.mark.slow
def test_two_workers_one_killed(tmp_path: Path) -> None:
    """The same table as without a cluster: nothing is lost, nothing is there twice."""
    distributed = pytest.importorskip("distributed")
    space = parse(SPACE)
    sweep(space, tmp_path / "alone", processes=2)
    killed: list[int] = []

    def kill(process: int) -> None:
        parts = tmp_path / "cluster" / "parts"
        while not parts.exists() or len(list(parts.glob("*.parquet"))) < 2:
            time.sleep(0.05)
        os.kill(process, signal.SIGKILL)
        killed.append(len(list(parts.glob("*.parquet"))))

    with distributed.LocalCluster(
        n_workers=2, threads_per_worker=1, processes=True, dashboard_address=None
    ) as cluster:
        first = next(iter(cluster.workers.values()))
        killer = Thread(target=kill, args=(first.pid,), daemon=True)
        killer.start()
        found = sweep(space, tmp_path / "cluster", scheduler=cluster.scheduler_address)
        killer.join(timeout=10)
    assert killed
    assert killed[0] < space.size / 16, "it was over before"
    tables = [pl.read_parquet(tmp_path / name / RESULTS).sort("key") for name in ("alone", "cluster")]
    assert tables[1]["key"].is_unique().all()
    assert tables[0].equals(tables[1].select(tables[0].columns))
    assert found.computed == len(tables[1]) == space.size
