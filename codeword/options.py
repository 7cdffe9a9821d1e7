"""Options that several verbs of the command line have, and what their text means."""

from __future__ import annotations

from typing import Annotated

import typer

from sim import technology
from sim.errors import InputError

MOST = 2**32 - 1
"""Of a seed."""


def _presets(incomplete: str) -> list[str]:
    """What the shell offers for an accelerator."""
    from codeword.about import presets

    return [name for name in presets() if name.startswith(incomplete)]


def _networks(incomplete: str) -> list[str]:
    """Likewise for a network, names of torchvision and timm too."""
    from codeword.about import names

    return [name for name in names() if name.startswith(incomplete)]


NetworkName = Annotated[
    str,
    typer.Argument(
        metavar="NETWORK",
        autocompletion=_networks,
        help="a name (resnet18, resnet18-synthetic, resnet20-fashion, ...) or a .safetensors "
        "file; for an estimate also .onnx, or .csv of SCALE-Sim",
    ),
]
AcceleratorName = Annotated[
    str,
    typer.Option(
        "--accelerator",
        "-a",
        autocompletion=_presets,
        help="a preset such as ews-cms-64 or ws-16x32, or a TOML file",
    ),
]
Settings = Annotated[
    list[str],
    typer.Option("--set", metavar="FIELD=VALUE", help="replace a field of the accelerator; repeatable"),
]
TechnologyName = Annotated[
    str | None,
    typer.Option(
        "--technology",
        metavar="NAME",
        help=f"{', '.join(technology.NAMES)}; mvq40, of the paper, also @65, @45, @28 or @16 nm; or a TOML file; "
        "by default the accelerator's",
    ),
]
Dram = Annotated[
    str | None,
    typer.Option(
        metavar="TYPE",
        help="ddr3, lpddr4, hbm2, hbm3: energy of off-chip memory; by default the technology's",
    ),
]
Objective = Annotated[str, typer.Option(help="of the mapping: edp, energy or cycles")]
SHOWN = "What is shown"
"""Options of every verb that prints."""
Json = Annotated[
    bool, typer.Option("--json", help="one JSON object on stdout and nothing else", rich_help_panel=SHOWN)
]

L2HoldsAll = Annotated[
    bool,
    typer.Option("--l2-holds-all", help="weights and maps lie in L2 before the run: nothing waits for DRAM"),
]


def address(option: str, text: str) -> int:
    try:
        return int(text, 0)
    except ValueError:
        raise InputError(option, text, "is no integer", "write for example 0x80000000") from None


def input_shape(text: str) -> tuple[str, tuple[int, ...]]:
    name, _, sizes = text.rpartition("=")
    try:
        return name, tuple(map(int, sizes.split(",")))
    except ValueError:
        raise InputError(
            "--input-shape", text, "is not NAME=N,C,H,W", "write for example x=1,3,224,224"
        ) from None


def value(text: str) -> tuple[str, int]:
    name, _, number = text.rpartition("=")
    try:
        return name, int(number)
    except ValueError:
        raise InputError("--value", text, "is not NAME=N", "write for example sr=16000") from None


def shares(text: str) -> tuple[float, float]:
    try:
        activations, weights = map(float, text.split(","))
    except ValueError:
        raise InputError("--zeros", text, "is not A,W", "write for example 0.5,0.02") from None
    return activations, weights
