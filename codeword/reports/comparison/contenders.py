"""The methods that `codeword.reports.comparison.train` runs, and their settings for each network."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from algos.body import Trainable, layers_to_compress
from algos.data.fashion_mnist import Images
from algos.methods import mvq, ssvq, vim_vq, vq4all
from algos.methods.mvq import MvqConfig
from algos.methods.ssvq import SsvqConfig
from algos.methods.vim_vq import VimVqConfig
from algos.methods.vq4all import Vq4allConfig
from algos.models.tokens import TokenNet
from algos.training import Report
from algos.weights.signs import Freezing
from algos.weights.universal import FrozenCodebook

EPOCHS = 4
CALIBRATION = 512
"""Training images that set the activation scales, and all that ViM-VQ sees."""
INTERVAL = 25
"""F_i: SSVQ examines its signs as often in our 624 updates as it would in 12,500 with its 500."""


@dataclass(frozen=True, eq=False)
class Start:
    """What a method starts from.

    Attributes:
        dense, sparse: the float network, and the same after 4:16 sparse training.
        universal: draws the codebook of all networks of its kind.
    """

    dense: Trainable
    sparse: Callable[[], Trainable]
    universal: Callable[[Vq4allConfig], FrozenCodebook]


@dataclass(frozen=True)
class Masked:
    """MVQ and its plain relatives."""

    config: MvqConfig

    def __call__(
        self, start: Start, seed: int, images: Images, checkpoint: Path, report: Report
    ) -> Trainable:
        model = copy.deepcopy(start.dense if self.config.case == "A" else start.sparse())
        mvq.cluster(model, replace(self.config, seed=seed))
        recipe = replace(mvq.FINE_TUNING, epochs=EPOCHS, seed=seed)
        return mvq.fine_tune(model, images, recipe, checkpoint, report)


@dataclass(frozen=True)
class Signed:
    """SSVQ."""

    config: SsvqConfig

    def __call__(
        self, start: Start, seed: int, images: Images, checkpoint: Path, report: Report
    ) -> Trainable:
        model = copy.deepcopy(start.dense)
        ssvq.cluster(model, replace(self.config, seed=seed))
        recipe = replace(ssvq.FINE_TUNING, epochs=EPOCHS, seed=seed)
        return ssvq.fine_tune(model, images, recipe, checkpoint, report)


@dataclass(frozen=True)
class Universal:
    """VQ4ALL with one codebook for all networks of a kind in this comparison."""

    config: Vq4allConfig

    def __call__(
        self, start: Start, seed: int, images: Images, checkpoint: Path, report: Report
    ) -> Trainable:
        model = copy.deepcopy(start.dense)
        config = replace(self.config, seed=seed, epochs=EPOCHS)
        vq4all.construct(
            model,
            layers_to_compress(model),
            vq4all.blocks(model),
            start.universal(self.config),
            images,
            config,
            checkpoint,
            report,
        )
        return model


@dataclass(frozen=True)
class Hulls:
    """ViM-VQ: the calibration images alone, without labels."""

    config: VimVqConfig

    def __call__(
        self, start: Start, seed: int, images: Images, checkpoint: Path, report: Report
    ) -> Trainable:
        model = copy.deepcopy(start.dense)
        assert isinstance(model, TokenNet)
        vim_vq.calibrate(model, images.first(CALIBRATION), replace(self.config, axis="output", seed=seed))
        return model


Way = Masked | Signed | Universal | Hulls
_FREEZING = Freezing(interval=INTERVAL)
_MAIN: dict[str, Way] = {
    "vq-1.5": Masked(MvqConfig(k=96, d=8, case="A")),
    "mvq-1.5": Masked(MvqConfig(k=32, d=16)),
    "ssvq-1.5": Signed(SsvqConfig(k=8, d=8, freezing=_FREEZING)),
    "vq4all-1.5": Universal(Vq4allConfig(k=4096, d=8)),
}
_SIGNS: dict[str, Way] = {
    "ssvq-1.5 fixed signs": Signed(SsvqConfig(k=8, d=8, learn_signs=False)),
    "ssvq-1.5 no freezing": Signed(SsvqConfig(k=8, d=8, freezing=None)),
}
METHODS: dict[str, dict[str, Way]] = {
    "resnet8": {
        **_MAIN,
        "vq-2": Masked(MvqConfig(k=144, d=8, case="A")),
        "mvq-2": Masked(MvqConfig(k=64, d=16)),
        "ssvq-2": Signed(SsvqConfig(k=16, d=4, freezing=_FREEZING)),
        "vq4all-2": Universal(Vq4allConfig(k=32768, d=8)),
        **_SIGNS,
        "ssvq-1.5 average": Signed(SsvqConfig(k=8, d=8, freezing=replace(_FREEZING, vote="average"))),
        "ssvq-1.5 every 5": Signed(SsvqConfig(k=8, d=8, freezing=replace(_FREEZING, interval=5))),
        "ssvq-1.5 every 50": Signed(SsvqConfig(k=8, d=8, freezing=replace(_FREEZING, interval=50))),
    },
    "resnet20": _MAIN,
    "deit": _MAIN | _SIGNS | {"vim-vq-1.5": Hulls(VimVqConfig(k=96, d=8))},
    # 4:16 of MVQ does not fit: 16 divides neither the step projection nor B and C. The codebooks of small
    # layers weigh more.
    "vim": {
        "vq-1.5": Masked(MvqConfig(k=64, d=8, n=1, m=2, case="A")),
        "ssvq-1.5": _MAIN["ssvq-1.5"],
        "vq4all-1.5": _MAIN["vq4all-1.5"],
        "vim-vq-1.5": Hulls(VimVqConfig(k=64, d=8)),
    },
}
"""By network and name: the method, and about how many bits a weight takes."""
