"""What stands beside ours in the benchmarks computes the same networks."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from codeword import inputs
from codeword.bench import contest
from codeword.bench.contest import REFERENCE, Contender, Result, Run, Task
from codeword.bench.suite import Stopwatch


def test_onnxruntime_and_torch_agree_on_the_network() -> None:
    torch = pytest.importorskip("torch")
    pytest.importorskip("onnxruntime")
    from codeword.bench.float_network import float_network
    from codeword.bench.onnx_network import session

    network = inputs.shipped("resnet20-fashion")
    images = np.random.default_rng(1).random((2, *network.input.shape), np.float32)
    expected = float_network(network)(torch.from_numpy(images)).numpy()
    np.testing.assert_allclose(session(network, 1, integers=False)(images), expected, atol=1e-6)
    rounded = session(network, 1, integers=True)(images)
    assert np.corrcoef(rounded.ravel(), expected.ravel())[0, 1] > 0.99


def test_each_contender_gets_the_tasks_that_are_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two images are the same estimate as one, so it is not shown twice; what is not installed is left out."""
    prepared: list[tuple[str, Task]] = []

    def made(name: str) -> Callable[[Task], Run]:
        def prepare(task: Task) -> Run:
            prepared.append((name, task))
            return lambda: None

        return prepare

    contenders = (
        Contender("batches", "", made("batches")),
        Contender("once", "", made("once"), batches=False),
        Contender("missing", "", made("missing"), ("no_such_package",)),
    )
    monkeypatch.setattr(contest, "CONTENDERS", contenders)
    tasks = [Task("resnet18"), Task("resnet18", 2)]
    found = list(contest.measured(tasks, Stopwatch(repeats=1)))
    expected = [("batches", tasks[0]), ("once", tasks[0]), ("batches", tasks[1])]
    assert prepared == expected == [(one.contender, one.task) for one in found]


def test_ratios_are_to_the_reference_on_the_same_task() -> None:
    one, two = Task("resnet18"), Task("resnet18", 2)
    results = [
        Result(one, REFERENCE, "", 2.0, 5),
        Result(two, REFERENCE, "", 1.0, 5),
        Result(two, "ours", "", 3.0, 5),
        Result(Task("resnet50"), "ours", "", 3.0, 5),
    ]
    assert [row[-1] for row in contest.table(results).rows] == ["1.00", "1.00", "3.00", ""]
