"""What a method is: any module, samples and a configuration in; its weights in codes, ready to train, out."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import MISSING, dataclass, field, fields, replace
from pathlib import Path
from typing import Any, Generic, Literal, TypeVar, get_args, get_origin, get_type_hints

from torch import nn

from algos.batches import calibration
from algos.body import Compressible, Trainable, layers_to_compress
from algos.data.fashion_mnist import Images
from algos.frontend.export import export, require_calibration
from algos.methods.blocks import blocks
from algos.methods.permutation import permute as permuted
from algos.methods.plan import Choice, Patterns, Plan, Storage, plan, whole
from algos.methods.prepared import Prepared, Task
from algos.models.deit import DeiT
from algos.models.resnet import ResNet
from algos.models.vim import Vim
from algos.norms import gains_kept_positive, make_gains_positive
from algos.precision import Precision
from algos.recipe import Recipe
from algos.trainer import Report, silent
from algos.training import fit, normalize
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
    """What a method may look at of grey pictures.

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
        defaults: its configuration where nothing else is said; a dataclass whose fields are `described`, among
            them k and d.
        encode: replaces the weights of the planned layers by parametrizations of `algos.weights`.
        storage: bits of the planned layers.
        recipe: how to train afterwards, by configuration and number of training samples; None for a method
            that does not train.
        models: the shipped networks that it takes.
        starts_sparse: whether it starts from the network after N:M sparse training, if there is one.
    """

    name: str
    about: str
    defaults: Config
    encode: Callable[[Task], Prepared]
    storage: Storage
    recipe: Callable[[Any, int], Recipe] | None = None
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

    def plan(
        self,
        module: nn.Module,
        config: Config | None = None,
        *,
        batches: Iterable[Any] | None = None,
        include: Patterns | None = None,
        exclude: Patterns = (),
        pad: bool = False,
        layers: Mapping[str, Mapping[str, int]] | None = None,
        **options: Any,
    ) -> Plan:
        """Which layers of any module the method would take; arguments of `prepare`, and nothing is changed."""
        config = self.configured(config, options)
        example = None if batches is None else next(calibration(batches, module))
        return plan(module, config, self.storage, Choice(include, exclude, pad, layers), example)

    def prepare(
        self,
        module: nn.Module,
        config: Config | None = None,
        *,
        batches: Iterable[Any] | None = None,
        include: Patterns | None = None,
        exclude: Patterns = (),
        pad: bool = False,
        layers: Mapping[str, Mapping[str, int]] | None = None,
        block_names: Iterable[str] | None = None,
        updates: int | None = None,
        permute: bool = False,
        **options: Any,
    ) -> Prepared:
        """Replaces weights of any module by codes, in place, ready to train.

        Args:
            batches: samples of what the module takes, or batches (inputs, target): the first one tells which layers
                run first and last and where batch norms follow; ViM-VQ compares blocks on all of them.
            include: patterns of the layers to compress, as `fnmatch` reads them; None for all convolutions and
                linear layers but the first, the last and depth-wise ones.
            exclude: patterns of layers that stay.
            pad: add output channels of value 0 where d does not divide them; otherwise such layers stay.
            layers: k and d by pattern, in place of the configuration's: {"*.fc1": {"d": 4}}.
            block_names: modules whose outputs are compared, for VQ4ALL and ViM-VQ; by default what the module's
                containers hold.
            updates: of the whole training, for the schedules of SSVQ and VQ4ALL; our Trainer knows it.
            permute: put output channels in an order that clusters better where convolutions follow one another, and
                the inputs of the next one in the same (PQF); needs batches.
            options: fields of the configuration by name.

        Raises:
            InputError: bad options, no layer that can be compressed, or a weight that is not finite.
        """
        config = self.configured(config, options)
        given = None if batches is None else list(calibration(batches, module))
        chosen = Choice(include, exclude, pad, layers)
        found = plan(module, config, self.storage, chosen, given[0] if given else None)
        project = make_gains_positive(module, given[0]) if given else lambda: None
        if permute:
            permuted(module, given[0] if given else None, found.targets.values(), getattr(config, "seed", 0))
        names = blocks(module, found.targets) if block_names is None else block_names
        prepared = self.encode(Task(module, found, config, given, tuple(names), updates))
        prepared.project = project
        return prepared

    def start(self, model: Compressible, config: Config, calibration: Images | None = None) -> Prepared:
        """Replaces the weights of a shipped network's body, in place."""
        found = whole(layers_to_compress(model), config, self.storage)
        batches = None if calibration is None else [normalize(calibration.pixels)]
        names = tuple(blocks(model, found.targets))
        return self.encode(Task(model, found, config, batches, names))

    def apply(
        self,
        model: Compressible,
        data: Data,
        config: Config,
        checkpoint: Path | None,
        report: Report,
        show: Callable[[Plan], None] = lambda plan: None,
    ) -> None:
        """Compresses a shipped network in place.

        Args:
            checkpoint: written after every epoch, and read first where it exists; None for none.
            report: called after every epoch.
            show: called with the plan.
        """
        prepared = self.start(model, config, data.calibration if self.recipe is None else None)
        show(prepared.plan)
        recipe = self.recipe and self.recipe(config, len(data.training))
        if recipe and recipe.epochs:
            tune(model, data.training, recipe, checkpoint, report, prepared)
        prepared.finish()

    def compress(
        self,
        model: Trainable,
        data: Data,
        config: Config,
        *,
        name: str = "",
        checkpoint: Path | None = None,
        report: Report = silent,
        show: Callable[[Plan], None] = lambda plan: None,
    ) -> Network:
        """A trained network for grey pictures in integers; the model is changed in place.

        Args:
            name: of the network; by default the method's.
            checkpoint: as for `apply`.
            report: called after every epoch with its number, mean loss and seconds.
            show: called with the plan.

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
        self.apply(model, data, config, checkpoint, report, show)
        return export(model, data.calibration, name=name or self.name)


def tune(
    model: Compressible,
    images: Images,
    recipe: Recipe,
    checkpoint: Path | None,
    report: Report,
    prepared: Prepared | None = None,
) -> None:
    """Trains a shipped network whose weights are in codes, in place; batch-norm gains stay positive.

    Args:
        prepared: None for one that comes from a file.
    """
    prepared = prepared or Prepared(model, Plan({}, {}), None, {})
    prepared.project = gains_kept_positive(model)
    fit(model, images, recipe, checkpoint, report, prepared=prepared)
