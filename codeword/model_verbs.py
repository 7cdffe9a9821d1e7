"""`codeword quantize` and `codeword compress`."""

from __future__ import annotations

import sys
from contextlib import redirect_stdout
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from codeword import api, method_options, models, outputs
from codeword.tables import Answer, Column, Kind, Table
from sim.errors import InputError
from sim.saved import document

if TYPE_CHECKING:
    from algos.frontend.compare import Comparison
    from algos.judging import Judgement
    from sim.network import Network

Output = Annotated[Path, typer.Option("--output", "-o", help=".safetensors network to write")]
Preprocess = Annotated[
    str | None,
    typer.Option(
        metavar="FORM",
        help="of bytes: imagenet (shorter side 256, middle 224, ImageNet's mean and deviation), unit (0..1), none "
        "(0..255), or MEAN,STD of 0..1, channels joined by colons; /SIZE behind it resizes and crops",
    ),
]
Grey = Annotated[bool, typer.Option("--grey", help="read pictures as one channel, not as RGB")]
Observer = Annotated[
    str, typer.Option(help="range of an activation that the 256 steps cover: mse, minmax or percentile")
]
Symmetric = Annotated[
    bool,
    typer.Option("--symmetric", help="zero points are 0, so that what a ReLU left out is a zero operand"),
]
BiasCorrection = Annotated[
    bool, typer.Option("--bias-correction", help="biases make up for what rounding shifts on average")
]
Allow = Annotated[
    list[str],
    typer.Option(
        metavar="LAYER", help="pattern of layers that may be far from the float network; repeatable"
    ),
]
Threads = Annotated[int, typer.Option(max=1024, help="of PyTorch; 1 repeats to the bit")]


def quantize(
    model: Annotated[
        str,
        typer.Argument(
            metavar="MODEL",
            help="package.module:function, which returns an nn.Module, from the current folder too; a .pt2 exported "
            "program (code in it runs when it is loaded: give only files that you trust); resnet20-fashion, "
            "vim-fashion, deit-fashion; a .safetensors checkpoint of a ResNet; or a quantized .pt2 or .onnx, "
            "which keeps its integers",
        ),
    ],
    output: Output,
    data: Annotated[
        Path | None,
        typer.Option(
            help="samples to calibrate on: a folder of pictures, or of a folder a class, .npy, .npz, IDX files"
        ),
    ] = None,
    preprocess: Preprocess = None,
    grey: Grey = False,
    calibration: Annotated[
        int, typer.Option(min=1, max=2**20, help="at most so many samples, at random")
    ] = 512,
    observer: Observer = "mse",
    symmetric: Symmetric = False,
    bias_correction: BiasCorrection = False,
    equalize: Annotated[
        bool, typer.Option("--equalize", help="convolutions in a row get channels of like ranges first")
    ] = False,
    residual_bits: Annotated[
        int, typer.Option(help="16 carries what rounding a sum of a residual path leaves to the next; else 8")
    ] = 8,
    allow: Allow = [],  # noqa: B006
    threads: Threads = 1,
    whole: bool = False,
) -> Answer:
    """Make a trained network one of integers, compare every tensor with it, and print the worst."""
    from sim import artifact
    from sim.network import Network

    outputs.file(output, [".safetensors"])
    found: list[Comparison] = []
    with redirect_stdout(sys.stderr):  # what a user's own module prints
        chosen = models.loaded(model, threads, _say)
        if isinstance(chosen, Network):
            net = chosen
        else:
            samples = models.samples(model, data, preprocess, grey)
            models.require_fits(chosen, samples)
            net = api.quantize(
                chosen,
                samples.some(calibration, models.BATCH),
                name=models.title(model),
                input=models.PIXELS if models.own(model) else None,
                observer=observer,
                symmetric=symmetric,
                bias_correction=bias_correction,
                equalize=equalize,
                residual_bits=residual_bits,
                allow=allow,
                report=found.append,
            )
    artifact.save(net, output)
    fields = document("quantize", _fields(net, output, found))
    return Answer(fields, _tensors(found, whole), [_summary(net, output)])


def compress(
    model: Annotated[
        str,
        typer.Argument(
            metavar="MODEL",
            help="package.module:function, which returns an nn.Module, from the current folder too; resnet20-fashion, "
            "vim-fashion, deit-fashion, or a .safetensors checkpoint of a ResNet",
        ),
    ],
    output: Output,
    method: Annotated[
        str, typer.Option(help="how; --help without it lists them, with it explains the options of one")
    ] = method_options.DEFAULT,
    data: Annotated[
        Path | None,
        typer.Option(
            help="samples to calibrate and, where they have labels, to train on: a folder of a folder a class, or of "
            "pictures, .npy, .npz, IDX files; of a named network the folder of Fashion-MNIST, without it the shipped "
            "subset"
        ),
    ] = None,
    pad: Annotated[
        bool, typer.Option("--pad", help="widen layers whose output channels d does not divide")
    ] = False,
    threads: Threads = 1,
    preprocess: Preprocess = None,
    grey: Grey = False,
    include: Annotated[
        list[str], typer.Option(metavar="PATTERN", help="layers to compress, by name; repeatable")
    ] = [],  # noqa: B006
    exclude: Annotated[
        list[str], typer.Option(metavar="PATTERN", help="layers that stay as they are; repeatable")
    ] = [],  # noqa: B006
    observer: Observer = "mse",
    symmetric: Symmetric = False,
    bias_correction: BiasCorrection = False,
    allow: Allow = [],  # noqa: B006
    whole: bool = False,
    **options: Any,
) -> Answer:
    """Compress a trained network into integer tensors; the accuracy of a named one is that of the integers."""
    from sim import artifact

    given = method_options.values(method, options)
    outputs.file(output, [".safetensors"])
    shown: dict[str, Any] = {"show": _say, "report": _epoch, "pad": pad}
    if models.own(model):
        _refuse_of_modules(model, {"--preprocess": preprocess, "--include": include, "--exclude": exclude})
        net = api.compress(model, method=method, data=data, threads=threads, **shown, **given)
        artifact.save(net, output)
        quality = api.quality(net, data)
        fields = {"network": net.name, "file": str(output), **api.fine_tuning(method, given)}
        accuracy = f"; {quality['accuracy']:.2%} of {quality['test_images']:,} test images"
        return Answer(document("compress", fields | quality), notes=[_storage(output, quality) + accuracy])
    found: list[Comparison] = []
    judged: list[Judgement] = []
    with redirect_stdout(sys.stderr):
        module = models.trainable(model, threads)
        samples = models.samples(model, data, preprocess, grey)
        train = models.training(module, samples, method, given, _say)
        quantizing = models.quantizing(model, method, observer, symmetric, bias_correction, allow)
        net = api.compress(
            module,
            samples.shuffled(given.get("batch") or models.TRAINED),
            method=method,
            include=include or None,
            exclude=exclude,
            quantize=quantizing,
            compared=found.append,
            judged=judged.append,
            **train,
            **shown,
            **given,
        )
    artifact.save(net, output)
    quality = api.storage(net)
    trained = api.fine_tuning(method, given) if not train else {"fine_tuning_epochs": 0, "precision": None}
    trained |= asdict(judged[0]) if judged else {}
    fields = document("compress", _fields(net, output, found) | trained | quality)
    notes = [_summary(net, output), _storage(output, quality), *map(str, judged)]
    return Answer(fields, _tensors(found, whole), notes)


def _refuse_of_modules(model: str, given: dict[str, Any]) -> None:
    for option, value in given.items():
        if value:
            problem = f"{model} is one of our own networks, whose layers and pixels are known"
            raise InputError(option, str(value), problem, "leave the option out")


def _fields(net: Network, output: Path, found: list[Comparison]) -> dict[str, Any]:
    """Of the JSON; infinite dB of tensors that are equal are null."""
    tensors = [asdict(tensor) for comparison in found for tensor in comparison]
    return {
        "network": net.name,
        "file": str(output),
        "layers": len(net.layers),
        "input": {
            "shape": list(net.input.shape),
            "scale": net.input.scale,
            "zero_point": net.input.zero_point,
        },
        "tensors": [
            {name: None if value == float("inf") else value for name, value in tensor.items()}
            for tensor in tensors
        ],
    }


_DB = Kind(lambda db: f"{db:.1f} dB", "db")
WORST = 5
"""Tensors that are shown without `--all`, beside the output."""


def _tensors(found: list[Comparison], whole: bool) -> list[Table]:
    """The output and the tensors that are worst, or all of them in order."""
    columns = (
        Column("tensor"),
        Column("SQNR", _DB),
        Column("SQNR alone", _DB),
        Column("correlation", Kind(lambda r: f"{r:.4f}")),
    )
    tables = []
    for tensors in found:
        shown = tensors if whole else tensors.worst(WORST)
        rows = tuple((one.name, one.sqnr_db, one.alone_db, one.correlation) for one in shown)
        title = "Tensors beside the float network" + ("" if whole else ": the output and the worst")
        tables.append(Table(title, columns, rows, "tensors"))
    return tables


def _summary(net: Network, output: Path) -> str:
    spec = net.input
    shape = "x".join(map(str, spec.shape))
    return f"{output}: {len(net.layers)} layers; input {shape}, real = {spec.scale:.6g} * (q - {spec.zero_point})"


def _storage(output: Path, quality: dict[str, float]) -> str:
    return f"{output}: {quality['bits_per_weight']:.3f} bits a weight, {quality['compression_ratio']:.1f}x"


def _say(line: object) -> None:
    print(line, file=sys.stderr)


def _epoch(epoch: int, loss: float, seconds: float) -> None:
    _say(f"epoch {epoch}: loss {loss:.4f}, {seconds:.1f} s")
