"""The editors by name: what each is, which shipped model it runs on, and how it is configured."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from algos.video import dfvedit, freemask, sdedit
from algos.video.edits import Edit
from algos.video.masks import CodeTable
from algos.video.models import VideoModel
from sim.errors import InputError, nearest


@dataclass(frozen=True)
class Editor:
    """An editor.

    Attributes:
        model: shipped one that it runs on unless told otherwise, of algos.zoo.video.
        config: its dataclass.
        run: of model, clip, task, configuration and the model's code table, if it has one.
    """

    name: str
    about: str
    model: str
    config: type
    run: Callable[[VideoModel, Tensor, Edit, Any, CodeTable | None], Tensor]


EDITORS = {
    each.name: each
    for each in (
        Editor(
            "dfvedit",
            "difference of two flows, no inversion (arXiv 2506.20967)",
            "dit",
            dfvedit.DfvEditConfig,
            lambda model, clip, task, config, _: dfvedit.edit(model, clip, task, config),
        ),
        Editor(
            "freemask",
            "inversion, and attention fused under masks (arXiv 2409.20500)",
            "unet",
            freemask.FreeMaskConfig,
            freemask.edit,
        ),
        Editor(
            "sdedit",
            "noise in part, then denoised (ICLR 2022)",
            "dit",
            sdedit.SdEditConfig,
            lambda model, clip, task, config, _: sdedit.edit(model, clip, task, config),
        ),
    )
}


def editor(name: str) -> Editor:
    """
    Raises:
        InputError: no such editor.
    """
    if name not in EDITORS:
        raise InputError("--method", name, "unknown", nearest(name, EDITORS))
    return EDITORS[name]
