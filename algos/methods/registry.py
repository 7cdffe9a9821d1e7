"""The methods by name, with one way to call them: a trained network in, a network of integers out."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Literal, get_args

from algos.body import Trainable
from algos.data.fashion_mnist import Images
from algos.frontend.export import export
from algos.frontend.lowering import require_calibration
from algos.methods import mvq, ssvq, vim_vq, vq4all
from algos.models.tokens import TokenNet
from algos.training import Report, silent
from sim.errors import InputError, nearest
from sim.network import Network

Method = Literal["vq", "mvq", "ssvq", "vq4all", "vim-vq"]
METHODS = get_args(Method)

VIM_VQ = vim_vq.VimVqConfig(k=256, d=4, axis="output")
"""2 bits a weight without codebooks; sub-vectors of outputs, as the machines read them."""


@dataclass(frozen=True)
class Options:
    """What all methods share.

    Attributes:
        k, d: codewords of a codebook and their length; None for the method's own.
        pattern: N:M, of MVQ alone.
        epochs: of fine-tuning; 0 for none, which VQ4ALL cannot do without; ViM-VQ has none.
        many: as many images as a whole data set has; with a few thousand MVQ's rate is lower.
    """

    k: int | None = None
    d: int | None = None
    pattern: tuple[int, int] | None = None
    epochs: int = 1
    many: bool = False


def epochs(method: str, given: int | None) -> int:
    """Of fine-tuning: what is given, or what the method takes without."""
    if given is None:
        return 0 if method == "vim-vq" else 1
    return given


def starts_sparse(method: str) -> bool:
    """Whether the method compresses a network that N:M pruning has trained, if there is one.

    Raises:
        InputError: no such method.
    """
    if method not in METHODS:
        raise InputError("--method", method, "unknown", nearest(method, METHODS))
    return method == "mvq"


def compress(
    model: Trainable,
    method: str,
    options: Options,
    calibration: Images,
    training: Images,
    *,
    name: str,
    report: Report = silent,
) -> Network:
    """Compresses a model in place and exports it.

    Args:
        calibration: images that set the activation scales.
        training: images to fine-tune on.

    Raises:
        InputError: no such method, an option that the method does not have, a value that does not fit the
            network, no calibration images.
    """
    sparse = starts_sparse(method)
    if options.pattern is not None and not sparse:
        raise InputError(
            "--pattern",
            "{}:{}".format(*options.pattern),
            f"is not of {method}",
            "leave it out, or choose mvq",
        )
    given: dict[str, Any] = {
        field: value for field, value in (("k", options.k), ("d", options.d)) if value is not None
    }
    if method == "vim-vq":
        if options.epochs:
            raise InputError(
                "--epochs",
                options.epochs,
                "ViM-VQ searches without labels and does not fine-tune",
                "leave it out",
            )
        return _searched(model, replace(VIM_VQ, **given), calibration, name)
    if method == "vq4all":
        if not options.epochs:
            raise InputError("--epochs", 0, "VQ4ALL builds a network while it trains", "give 1 or more")
        config = replace(vq4all.Vq4allConfig(), epochs=options.epochs, **given)
        return vq4all.compress(
            {name: model},
            calibration,
            config,
            training=training,
            report=lambda name, *progress: report(*progress),
        )[name]
    images = training if options.epochs else None
    if method == "ssvq":
        recipe = replace(ssvq.FINE_TUNING, epochs=options.epochs)
        return ssvq.compress(
            model,
            calibration,
            replace(ssvq.SsvqConfig(), **given),
            name=name,
            training=images,
            recipe=recipe,
            report=report,
        )
    tuning = mvq.FINE_TUNING if options.many else mvq.SHORT_FINE_TUNING
    masked = mvq.MvqConfig() if sparse else mvq.MvqConfig(k=176, d=8, n=1, m=2, case="A")
    if options.pattern is not None:
        given |= dict(zip("nm", options.pattern, strict=True))
    return mvq.compress(
        model,
        calibration,
        replace(masked, **given),
        name=name,
        training=images,
        recipe=replace(tuning, epochs=options.epochs),
        report=report,
    )


def _searched(model: Trainable, config: vim_vq.VimVqConfig, calibration: Images, name: str) -> Network:
    if not isinstance(model, TokenNet):
        raise InputError(
            "--method",
            "vim-vq",
            "compresses Vim and DeiT, block by block, and not a ResNet",
            "choose vq, mvq, ssvq or vq4all",
        )
    require_calibration(calibration)
    vim_vq.calibrate(model, calibration, config)
    return export(model, calibration, name=name)
