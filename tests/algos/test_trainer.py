"""The trainer on anyone's data: resuming at any update, rates by group, schedules, validation, processes."""

from __future__ import annotations

import os
import random
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.data import DataLoader, Dataset

from algos.methods.registry import METHODS
from algos.recipe import Recipe
from algos.trainer import Trainer, top1
from sim.errors import InputError


class Noisy(Dataset[tuple[Tensor, int]]):
    """Colour pictures whose augmentation draws from PyTorch, NumPy and Python."""

    def __len__(self) -> int:
        return 40

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        clean = torch.linspace(-1, 1, 3 * 8 * 8).reshape(3, 8, 8) * (index % 4)
        noise = torch.rand(1) + np.random.rand() + random.random()  # noqa: NPY002
        return clean + 0.1 * noise.float(), index % 4


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.stem = nn.Conv2d(3, 16, 3, padding=1, bias=False)
        self.norm = nn.BatchNorm2d(16)
        self.body = nn.Conv2d(16, 16, 3, padding=1, bias=False)
        self.after = nn.BatchNorm2d(16)
        self.drop = nn.Dropout(0.2)
        self.head = nn.Linear(16, 4)

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu(self.norm(self.stem(x)))
        return self.head(self.drop(F.relu(self.after(self.body(x)))).mean((2, 3)))


RECIPE = Recipe(epochs=3, rate=1e-2, optimizer="adamw", schedule="cosine", precision="float32")


def seeded() -> None:
    torch.manual_seed(1)
    np.random.seed(1)  # noqa: NPY002
    random.seed(1)


class Interrupted(Exception):
    pass


def loader(workers: int = 0) -> DataLoader[Any]:
    return DataLoader(Noisy(), batch_size=8, shuffle=True, num_workers=workers)


def prepared(method: str) -> tuple[nn.Module, Any]:
    module = Net()
    if not method:
        return module, None
    options = (
        {"candidates": 4} if method == "vq4all" else {"d": 8, "pattern": (1, 2)} if method == "mvq" else {}
    )
    return module, METHODS[method].prepare(module, k=16, **options)


@pytest.mark.parametrize("stop", [1, 4, 5, 7, 14])
@pytest.mark.parametrize("method", ["", "mvq", "ssvq", "vq4all"])
def test_a_run_goes_on_at_any_update_to_the_bit(tmp_path: Path, method: str, stop: int) -> None:
    """5 updates an epoch: within the first, at its end, within and at the end of later ones. Everything that is
    random is drawn again: order, augmentation by three generators, dropout."""

    def train(path: Path | None, stop: int | None) -> tuple[nn.Module, Trainer]:
        seeded()
        module, of_method = prepared(method)
        trainer = Trainer(
            module, loader(), F.cross_entropy, RECIPE, prepared=of_method, checkpoint=path, every=1
        )
        if stop:
            seen, step = [0], trainer.step

            def stopping(batch: Any) -> Tensor:
                if seen[0] == stop:
                    raise Interrupted
                seen[0] += 1
                return step(batch)

            trainer.step = stopping  # type: ignore[method-assign]
        return trainer.run(), trainer

    whole, trainer = train(None, None)
    path = tmp_path / "run.pt"
    with pytest.raises(Interrupted):
        train(path, stop)
    assert torch.load(path)["done"] == stop
    torch.rand(7)  # whatever the new process has drawn
    resumed, again = train(path, None)
    expected = whole.state_dict()
    for name, tensor in resumed.state_dict().items():
        assert torch.equal(tensor, expected[name]), name
    assert [one["loss"] for one in again.history] == [one["loss"] for one in trainer.history]


def test_workers_draw_again(tmp_path: Path) -> None:
    def train(path: Path | None, epochs_seen: list[int]) -> nn.Module:
        seeded()
        trainer = Trainer(Net(), loader(1), F.cross_entropy, RECIPE, checkpoint=path, every=1)
        if epochs_seen:
            step = trainer.step

            def stopping(batch: Any) -> Tensor:
                epochs_seen[0] -= 1
                if not epochs_seen[0]:
                    raise Interrupted
                return step(batch)

            trainer.step = stopping  # type: ignore[method-assign]
        return trainer.run()

    whole, path = train(None, []), tmp_path / "run.pt"
    with pytest.raises(Interrupted):
        train(path, [8])
    for name, tensor in train(path, []).state_dict().items():
        assert torch.equal(tensor, whole.state_dict()[name]), name


def test_each_group_has_its_rate_and_schedule() -> None:
    module, of_method = prepared("ssvq")
    recipe = Recipe(
        2, 1e-3, "adamw", schedule="constant", warm_up=0.3, rates={"codebook": 1e-2, "signs": 5e-2}
    )
    trainer = Trainer(module, loader(), F.cross_entropy, recipe, prepared=of_method)
    peaks = {group["name"]: group["initial_lr"] for group in trainer.optimizer.param_groups}
    assert peaks == {"codebook": 1e-2, "signs": 5e-2, "others": 1e-3}
    sizes = {group["name"]: len(group["params"]) for group in trainer.optimizer.param_groups}
    assert sizes == {"codebook": 2, "signs": 1, "others": 7}
    trainer.run()
    assert [group["lr"] for group in trainer.optimizer.param_groups] == [1e-2, 5e-2, 1e-3]
    with pytest.raises(InputError, match=r"rates = 'sign': is no group of this module\. Fix: use 'signs'"):
        Trainer(module, loader(), F.cross_entropy, Recipe(1, 1e-3, rates={"sign": 1.0}), prepared=of_method)


def test_schedules() -> None:
    cosine = Recipe(1, 1.0, schedule="cosine", warm_up=0.2)
    assert [cosine.factor(p) for p in (0.1, 0.2, 0.6, 1.0)] == pytest.approx([0.5, 1, 0.5, 0])
    constant = Recipe(1, 1.0, schedule="constant", warm_up=0)
    assert [constant.factor(p) for p in (0.0, 0.5, 1.0)] == [1, 1, 1]
    with pytest.raises(InputError, match="schedule = 'cosinus': unknown"):
        Recipe(1, 1.0, schedule="cosinus")  # type: ignore[arg-type]


def test_own_loss_metric_and_batches() -> None:
    """A regression: dictionaries as inputs, its own loss and metric, no DataLoader."""

    class Sum(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.weight = nn.Parameter(torch.zeros(2))

        def forward(self, left: Tensor, right: Tensor) -> Tensor:
            return self.weight[0] * left + self.weight[1] * right

    x = torch.linspace(-1, 1, 32).split(8)
    batches = [({"left": one, "right": one**2}, 3 * one - one**2) for one in x]
    module = Sum()
    trainer = Trainer(
        module,
        batches,
        F.mse_loss,
        Recipe(60, 0.2, "adamw", decay=0.0),
        validation=batches,
        metric=lambda output, target: (output - target).abs().max(),
    )
    trainer.run()
    assert module.weight.tolist() == pytest.approx([3, -1], abs=0.05)
    assert trainer.history[-1]["metric"] < 0.05 < trainer.history[0]["metric"]


def test_validation_weighs_batches_by_their_samples() -> None:
    module = nn.Linear(2, 2)
    nn.init.eye_(module.weight)
    nn.init.zeros_(module.bias)
    right, wrong = (
        (torch.tensor([[1.0, 0]]), torch.tensor([0])),
        (torch.tensor([[1.0, 0]] * 3), torch.tensor([1] * 3)),
    )
    trainer = Trainer(module, [right], F.cross_entropy, Recipe(1, 0.0), validation=[right, wrong])
    assert trainer.validate() == pytest.approx(0.25)
    assert float(top1(torch.eye(2), torch.tensor([0, 0]))) == 0.5


def test_gradients_are_clipped() -> None:
    seen: list[float] = []
    module = nn.Linear(2, 2)
    batch = (torch.full((4, 2), 1e4), torch.zeros(4, 2))

    def note() -> None:
        seen.append(float(torch.stack([p.grad.norm() for p in module.parameters()]).norm()))  # type: ignore[union-attr]

    Trainer(module, [batch], F.mse_loss, Recipe(1, 0.1, clip=0.5), after_step=note).run()
    assert seen == pytest.approx([0.5], rel=1e-3)


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: Trainer(Net(), iter([1]), F.mse_loss, RECIPE), "loader = 'list_iterator': has no length"),
        (lambda: Trainer(Net(), [], F.mse_loss, RECIPE), "loader = 0: has no batches"),
        (
            lambda: Trainer(Net().requires_grad_(False), [1], F.mse_loss, RECIPE),
            "module = 0: has no parameter",
        ),
        (lambda: Recipe(1, 1.0, "adam"), "optimizer = 'adam': unknown"),
        (lambda: Recipe(1, 1.0, warm_up=1.0), "warm_up = 1"),
    ],
)
def test_bad_input(make: Callable[[], Any], said: str) -> None:
    with pytest.raises(InputError, match=said):
        make()


def test_a_checkpoint_of_another_method_is_refused(tmp_path: Path) -> None:
    module, of_method = prepared("mvq")
    Trainer(module, loader(), F.cross_entropy, RECIPE, prepared=of_method, checkpoint=tmp_path / "c.pt").run()
    module, of_method = prepared("ssvq")
    with pytest.raises(InputError, match="another configuration or codebook"):
        Trainer(
            module, loader(), F.cross_entropy, RECIPE, prepared=of_method, checkpoint=tmp_path / "c.pt"
        ).run()


PROCESS = """
import sys
from pathlib import Path
import torch
from torch import nn
from torch.nn import functional as F
from torch.utils.data import DataLoader
from algos.recipe import Recipe
from algos.trainer import Trainer

def trained(batch, path=None):
    torch.manual_seed(0)
    module = nn.Linear(4, 2)
    x = torch.arange(64, dtype=torch.float32).reshape(16, 4) / 64
    data = DataLoader([(one, int(one.sum() > 2)) for one in x], batch_size=batch)
    recipe = Recipe(2, 0.1, decay=0.0, precision="float32")
    trainer = Trainer(module, data, F.cross_entropy, recipe, checkpoint=path, validation=data)
    trainer.run()
    return trainer

if __name__ == "__main__":
    trainer = trained(4, Path(sys.argv[1]))
    assert (trainer.per_epoch, trainer.accelerator.num_processes) == (2, 2)
"""


@pytest.mark.slow
def test_two_processes_are_one_with_their_batches(tmp_path: Path) -> None:
    """Data parallel: two processes with batches of 4 make the updates of one with batches of 8."""
    script, path = tmp_path / "process.py", tmp_path / "run.pt"
    script.write_text(PROCESS)
    launch = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    on_cpu = os.environ | {"ACCELERATE_USE_CPU": "true"}
    subprocess.run([*launch, str(script), str(path)], check=True, env=on_cpu)
    found, scope = torch.load(path), {"__name__": "alone"}
    exec(PROCESS, scope)
    alone = scope["trained"](8)  # type: ignore[operator]
    assert len(found["random"]) == 2
    torch.testing.assert_close(found["model"]["weight"], alone.module.weight.data)
    assert found["history"][-1]["metric"] == pytest.approx(alone.history[-1]["metric"])
