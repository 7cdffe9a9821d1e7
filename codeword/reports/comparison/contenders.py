"""The methods that `codeword.reports.comparison.train` runs, and their settings for each network."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from algos.methods import mvq, ssvq, vim_vq, vq, vq4all
from algos.methods.method import Method
from algos.methods.mvq import MvqConfig
from algos.methods.ssvq import SsvqConfig
from algos.methods.vim_vq import VimVqConfig
from algos.methods.vq import VqConfig
from algos.methods.vq4all import Vq4allConfig
from algos.weights.signs import Freezing

EPOCHS = 4
CALIBRATION = 512
"""Training images that set the activation scales, and all that ViM-VQ sees."""
INTERVAL = 25
"""F_i: SSVQ examines its signs as often in our 624 updates as it would in 12,500 with its 500; momentum and last
threshold follow it."""


@dataclass(frozen=True)
class Contender:
    """A method with its configuration, but for seed and epochs, which are the comparison's."""

    method: Method[Any]
    config: Any

    @property
    def trains(self) -> bool:
        """Whether it has epochs; ViM-VQ has none."""
        return hasattr(self.config, "epochs")

    def configured(self, seed: int) -> Any:
        """The configuration of one run."""
        return replace(self.config, seed=seed, **({"epochs": EPOCHS} if self.trains else {}))


_FREEZING = Freezing(interval=INTERVAL)
_MAIN: dict[str, Contender] = {
    "vq-1.5": Contender(vq.METHOD, VqConfig(k=96, d=8)),
    "mvq-1.5": Contender(mvq.METHOD, MvqConfig(k=32, d=16)),
    "ssvq-1.5": Contender(ssvq.METHOD, SsvqConfig(k=8, d=8, freezing=_FREEZING)),
    "vq4all-1.5": Contender(vq4all.METHOD, Vq4allConfig(k=4096, d=8)),
}
_SIGNS: dict[str, Contender] = {
    "ssvq-1.5 fixed signs": Contender(ssvq.METHOD, SsvqConfig(k=8, d=8, learn_signs=False)),
    "ssvq-1.5 no freezing": Contender(ssvq.METHOD, SsvqConfig(k=8, d=8, freezing=None)),
}
METHODS: dict[str, dict[str, Contender]] = {
    "resnet8": {
        **_MAIN,
        "vq-2": Contender(vq.METHOD, VqConfig(k=144, d=8)),
        "mvq-2": Contender(mvq.METHOD, MvqConfig(k=64, d=16)),
        "ssvq-2": Contender(ssvq.METHOD, SsvqConfig(k=16, d=4, freezing=_FREEZING)),
        "vq4all-2": Contender(vq4all.METHOD, Vq4allConfig(k=32768, d=8)),
        **_SIGNS,
        "ssvq-1.5 average": Contender(
            ssvq.METHOD, SsvqConfig(k=8, d=8, freezing=Freezing("average", INTERVAL))
        ),
        "ssvq-1.5 every 5": Contender(ssvq.METHOD, SsvqConfig(k=8, d=8, freezing=Freezing(interval=5))),
        "ssvq-1.5 every 50": Contender(ssvq.METHOD, SsvqConfig(k=8, d=8, freezing=Freezing(interval=50))),
    },
    "resnet20": _MAIN,
    "deit": _MAIN | _SIGNS | {"vim-vq-1.5": Contender(vim_vq.METHOD, VimVqConfig(k=96, d=8, axis="output"))},
    # 4:16 of MVQ does not fit: 16 divides neither the step projection nor B and C. The codebooks of small
    # layers weigh more.
    "vim": {
        "vq-1.5": Contender(vq.METHOD, VqConfig(k=64, d=8)),
        "ssvq-1.5": _MAIN["ssvq-1.5"],
        "vq4all-1.5": _MAIN["vq4all-1.5"],
        "vim-vq-1.5": Contender(vim_vq.METHOD, VimVqConfig(k=64, d=8, axis="output")),
    },
}
"""By network and name: the method, and about how many bits a weight takes."""
