"""From a module of PyTorch, or the name of a trained network, to a network of integers."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from codeword import inputs
from sim.errors import InputError

if TYPE_CHECKING:
    from torch import nn

    from algos.frontend.compare import Comparison
    from algos.methods.plan import Plan
    from sim.network import Network

CALIBRATION_IMAGES = 512
PADDED_TO = 16
"""Channels that `pad` makes a multiple of, where d is not given: each method's own d divides it."""


def quantize(
    module: nn.Module,
    batches: Iterable[Any],
    *,
    name: str = "",
    input: tuple[float, int] | None = None,
    observer: str = "mse",
    symmetric: bool = False,
    bias_correction: bool = False,
    equalize: bool = False,
    residual_bits: int = 8,
    allow: Sequence[str] = (),
    report: Callable[[Comparison], None] = lambda _: None,
) -> Network:
    """Anyone's trained module in INT8: batch norms folded, activations calibrated, every tensor compared.

    Weights that a method of ours made codebooks of stay codebooks.

    Args:
        module: takes tensors [n, ...] and returns tensors.
        batches: tensors, or tuples, lists or dictionaries that begin with what the module takes or name it; some
            hundred samples in all.
        name: of the network; by default the module's class.
        input: scale and zero point of the network's input, real = scale * (q - zero point); by default from data.
        observer: mse, minmax or percentile: the range of an activation that the 256 steps cover.
        symmetric: zero points are 0, so that what a ReLU left out is a zero operand; half the steps are then
            unused behind it.
        bias_correction: biases make up for what rounding shifts on average.
        equalize: channels of convolutions in a row get like ranges first, exact in float (arXiv 1906.04721).
        residual_bits: 16 carries what rounding a sum of a residual path leaves to the next sum, by three more
            additions and a table each.
        allow: patterns of the names of layers that may be far from the float network on the first batch.
        report: called with the SQNR and correlation of every tensor; as text, a table of the worst.

    Raises:
        InputError: everything that has no layer of integers, in one error; a tensor far from the float network's;
            no batches; the extra `algos` is not installed.
    """
    with inputs.extra():
        from algos.frontend import export
        from algos.frontend.calibrate import Activation, Scheme

    found = export.quantize(
        module,
        batches,
        name=name,
        input=None if input is None else Activation(*input),
        scheme=Scheme(observer, symmetric, residual_bits),
        bias_correction=bias_correction,
        equalize=equalize,
        allow=allow,
    )
    report(found.fidelity)
    return found.network


def compress(
    model: str | nn.Module,
    loader: Iterable[Any] | None = None,
    *,
    method: str = "mvq",
    config: Any = None,
    data: str | Path | None = None,
    pad: bool = False,
    threads: int = 1,
    show: Callable[[Plan], None] = print,
    report: Callable[[int, float, float], None] = lambda *_: None,
    **options: Any,
) -> Network:
    """Compresses a trained module into a network of integers; the module stays as it is.

    Args:
        model: any module, or resnet20-fashion (for mvq its pruned weights), vim-fashion, deit-fashion, or a
            .safetensors checkpoint of a ResNet, which take grey 28x28 images.
        loader: batches (inputs, target) of a module, to calibrate and to train on.
        method: one of `algos.methods.registry.METHODS`.
        config: of the method, such as `algos.methods.mvq.MvqConfig(k=32)`; None for its defaults.
        data: folder of the Fashion-MNIST IDX files, for a name; None for the shipped subset.
        pad: widen layers whose output channels d does not divide, with channels of value 0.
        threads: of PyTorch, for a name; 1 gives the same result every time.
        show: called with the plan: layer, d, k, bits a weight.
        report: called after every epoch with its number, mean loss and seconds.
        options: fields of the method's configuration by name, in place of `config`: k=64, epochs=2; for a module
            those of `algos.compressing.compress` too: loss, train, include, exclude, layers, quantize, compared,
            judged.

    Raises:
        InputError: unknown names, bad values, NaN weights, or the extra `algos` is not installed.
    """
    if not isinstance(model, str):
        return _compressed(model, loader, method, config, pad=pad, show=show, report=report, **options)
    if threads < 1:
        raise InputError("threads", threads, "not positive", "give 1 or more")
    with inputs.extra():
        import torch

        from algos import checkpoint, zoo
        from algos.data import fashion_mnist
        from algos.methods import registry
        from algos.methods.method import Data
        from algos.models.resnet import ResNet, widened

        torch.set_num_threads(threads)
        chosen = registry.named(method)
        config = chosen.configured(config, options)
        sparse = chosen.starts_sparse
        trained = zoo.load(model, sparse=sparse) if model in zoo.NAMES else checkpoint.load(model)
        if pad:
            if not isinstance(trained, ResNet):
                raise InputError("--pad", model, "only ResNets are widened", "choose a -d that fits")
            trained = widened(trained, options.get("d", PADDED_TO))
        training = fashion_mnist.load(data)[0] if data else zoo.load_images()[0]
        return chosen.compress(
            trained,
            Data(training, training.first(CALIBRATION_IMAGES)),
            config,
            name=f"{Path(model).stem}-{method}",
            report=report,
            show=show,
        )


def _compressed(module: nn.Module, loader: Iterable[Any] | None, *arguments: Any, **options: Any) -> Network:
    if loader is None:
        raise InputError("loader", None, "a module needs samples", "give batches (inputs, target)")
    with inputs.extra():
        from algos import compressing

        return compressing.compress(module, loader, *arguments, **options)


def fine_tuning(method: str, options: Mapping[str, Any]) -> dict[str, Any]:
    """Of `compress` with these options: its epochs and the precision on this processor; 0 and None without."""
    with inputs.extra():
        from algos import precision
        from algos.methods import registry

        config = registry.named(method).configured(None, options)
        epochs = getattr(config, "epochs", 0)
        return {
            "fine_tuning_epochs": epochs,
            "precision": precision.resolved(config.precision) if epochs else None,
        }


def storage(net: Network) -> dict[str, float]:
    """Bits of a compressed network's coded layers."""
    with inputs.extra():
        from algos.weights.bits import network_bits

        found = network_bits(net)
        universal = {"bits_per_weight_beside_rom": found.in_rom.per_weight} if found.universal else {}
        return {"bits_per_weight": found.per_weight, "compression_ratio": found.ratio, **universal}


def quality(net: Network, data: str | Path | None = None) -> dict[str, float]:
    """Storage of a compressed network's coded layers and its accuracy, by the integer reference.

    Args:
        data: folder of the Fashion-MNIST IDX files; None for the shipped test images.
    """
    with inputs.extra():
        from algos import reference, zoo
        from algos.data import fashion_mnist

        test = (fashion_mnist.load(data) if data else zoo.load_images())[1]
        return storage(net) | {"accuracy": reference.accuracy(net, test), "test_images": len(test)}
