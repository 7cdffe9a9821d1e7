"""What is compared: bits, pieces of the framework, baselines."""

from __future__ import annotations

from dataclasses import dataclass, replace

from algos.diffusion import Bits, Training
from algos.zoo.diffusion import SCHEDULE

STEPS = 10
"""Of DDIM."""
SCHEDULER = {**SCHEDULE, "clip_sample": True}
CALIBRATION, FINAL, ABLATION = 50, 2000, 200
"""Pictures: for calibration, and compared of the final pair and of the others."""
BUDGET = 1.25
"""Bits of weights that mixed precision may take, in those of all layers at the lower precision."""
SENSITIVITY = 40
"""Entries of the pool, spread over all time steps, that sensitivities are measured on."""
TRAINING = Training(
    steps=100, batch=16, refresh=50, window=20, freeze=5e-3, rate_scales=2e-3, rate_weights=5e-4
)
SEEDS = (0, 1, 2)


@dataclass(frozen=True)
class Setting:
    """One way to quantize.

    Attributes:
        name: in tables and of files.
        bits: of weights and activations.
        minmax: ranges of all that was seen; else of least squared error.
        tables: time information precalculated.
        steps: scales of activations a time step.
        mixed: bits by layer, within BUDGET.
        training: on the float network's predictions; None for none.
        rounding: what is learned is which way weights are rounded.
        seed: of the calibration's noise and of the training.
        pictures: that are compared.
    """

    name: str
    bits: Bits = (4, 8)
    minmax: bool = False
    tables: bool = True
    steps: bool = True
    mixed: bool = True
    training: Training | None = TRAINING
    rounding: bool = False
    seed: int = 0
    pictures: int = ABLATION

    @property
    def calibration(self) -> str:
        """Name of the calibration's files, whatever is drawn afterwards."""
        w, a = self.bits
        return f"{self.name.replace(' ', '-')}-w{w}a{a}-{self.seed}"

    @property
    def file(self) -> str:
        """Name of the row's files."""
        return f"{self.calibration}-{self.pictures}"


NAIVE = Setting("naive", minmax=True, tables=False, steps=False, mixed=False, training=None)
SAMPLED = replace(NAIVE, name="time-sampled", minmax=False)
ROUNDED = replace(
    SAMPLED, name="learned rounding", rounding=True, training=replace(TRAINING, pool="float", freeze=0)
)
ALONE = replace(TRAINING, distillation=0, freeze=0)
ALL = Setting("all")

PIECES = (
    replace(NAIVE, name="naive + tables", tables=True),
    replace(NAIVE, name="naive + steps", steps=True),
    replace(NAIVE, name="naive + mixed", mixed=True),
    replace(NAIVE, name="naive + serial", training=ALONE),
    replace(NAIVE, name="naive + serial + distillation", training=replace(ALONE, distillation=1.0)),
)
"""Each piece alone, on what the naive quantization does otherwise; distillation needs the training of *serial*."""
WITHOUT = (
    replace(ALL, name="all - tables", tables=False),
    replace(ALL, name="all - steps", steps=False),
    replace(ALL, name="all - mixed", mixed=False),
    replace(ALL, name="all - serial", training=replace(TRAINING, pool="float")),
    replace(ALL, name="all - shuffling", training=replace(TRAINING, shuffled=False)),
    replace(ALL, name="all - distillation", training=replace(TRAINING, distillation=0)),
    replace(ALL, name="all - freezing", training=replace(TRAINING, freeze=0)),
)
WIDTHS = tuple(replace(one, bits=bits) for bits in ((8, 8), (4, 6)) for one in (NAIVE, ALL))
PAIRS = tuple(replace(one, seed=seed, pictures=FINAL) for seed in SEEDS for one in (NAIVE, ALL))
SETTINGS = (NAIVE, ALL, SAMPLED, ROUNDED, *PIECES, *WITHOUT, *WIDTHS, *PAIRS)
