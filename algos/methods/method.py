"""What a method is: a trained network, data and a configuration in, a network of integers out."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import MISSING, dataclass, field, fields, replace
from pathlib import Path
from typing import Any, Generic, Literal, TypeVar, get_args, get_origin, get_type_hints

from algos.body import Trainable
from algos.data.fashion_mnist import Images
from algos.frontend.export import export, require_calibration
from algos.models.deit import DeiT
from algos.models.resnet import ResNet
from algos.models.vim import Vim
from algos.precision import Precision
from algos.training import Recipe, Report, silent
from sim.errors import InputError, nearest
from sim.network import Network

Config = TypeVar("Config")


def described(help: str, default: Any = MISSING) -> Any:
    """A field of a configuration, with the words that the command line shows for it."""
    return field(default=default, metadata={"help": help})


PRECISION_HELP = (
    "of the training: float32, bfloat16, or auto, which is bfloat16 where the processor multiplies it"
)


@dataclass(frozen=True)
class Data:
    """What a method may look at.

    Attributes:
        training: images to fine-tune on.
        calibration: images that set the activation scales; their labels are not used.
    """

    training: Images
    calibration: Images


@dataclass(frozen=True, kw_only=True)
class FineTuned:
    """What the configurations share whose methods cluster first and fine-tune afterwards."""

    epochs: int = described("of fine-tuning, 0 for none", 1)
    rate: float | None = described("peak learning rate of the fine-tuning; by default the method's own", None)
    batch: int = described("images of an update", 128)
    seed: int = described("of k-means and of the order of the images", 0)
    precision: Precision = described(PRECISION_HELP, "auto")

    def __post_init__(self) -> None:
        if self.epochs < 0:
            raise InputError("epochs", self.epochs, "negative", "give 0 for no fine-tuning")
        if self.batch < 1:
            raise InputError("batch", self.batch, "not positive", "use 128")

    def recipe(self, usual: Recipe) -> Recipe:
        """How to fine-tune, where nothing is said as usual."""
        rate = usual.rate if self.rate is None else self.rate
        return replace(
            usual, epochs=self.epochs, rate=rate, batch=self.batch, seed=self.seed, precision=self.precision
        )


@dataclass(frozen=True)
class Method(Generic[Config]):
    """A published way to compress a network.

    Attributes:
        name: on the command line and in reports.
        about: one line.
        defaults: its configuration where nothing else is said; a dataclass whose fields are `described`.
        apply: compresses a network in place, from data, configuration, checkpoint (written after every epoch
            and read first where it exists; None for none) and a report of every epoch.
        models: the networks that it takes.
        starts_sparse: whether it starts from the network after N:M sparse training, if there is one.
    """

    name: str
    about: str
    defaults: Config
    apply: Callable[[Any, Data, Config, Path | None, Report], None]
    models: tuple[type, ...] = (ResNet, Vim, DeiT)
    starts_sparse: bool = False

    def configured(self, config: Config | None, options: Mapping[str, Any]) -> Config:
        """A configuration, by default `defaults`, with some fields replaced.

        Raises:
            InputError: the configuration of another method, no such field, or a value that it does not take.
        """
        config = self.defaults if config is None else config
        if type(config) is not type(self.defaults):
            raise InputError(
                "config",
                type(config).__name__,
                f"is not of {self.name}",
                f"give a {type(self.defaults).__name__}",
            )
        known = get_type_hints(type(self.defaults))
        names = [one.name for one in fields(self.defaults)]  # type: ignore[arg-type]
        for name, value in options.items():
            if name not in names:
                raise InputError(
                    name, value, f"is no option of {self.name}", f"choose among {', '.join(names)}"
                )
            if get_origin(known[name]) is Literal and value not in get_args(known[name]):
                raise InputError(
                    name, value, f"{self.name} does not know it", nearest(value, get_args(known[name]))
                )
        return replace(config, **options)  # type: ignore[type-var]

    def compress(
        self,
        model: Trainable,
        data: Data,
        config: Config,
        *,
        name: str = "",
        checkpoint: Path | None = None,
        report: Report = silent,
    ) -> Network:
        """A trained network in integers; the model is changed in place.

        Args:
            name: of the network; by default the method's.
            checkpoint: as for `apply`.
            report: called after every epoch with its number, mean loss and seconds.

        Raises:
            InputError: a network that the method does not take, a weight that is NaN, d that does not divide
                the output channels of a layer, too few images.
        """
        if not isinstance(model, self.models):
            raise InputError(
                "method",
                self.name,
                f"compresses {' and '.join(kind.__name__ for kind in self.models)}, not {type(model).__name__}",
                "choose another method",
            )
        require_calibration(data.calibration)
        self.apply(model, data, config, checkpoint, report)
        return export(model, data.calibration, name=name or self.name)
