"""What is edited, by which methods, and how an edit is measured against the clip that it should be."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from algos.data import shapes
from algos.data.shapes import Clip, Scene
from algos.video.models import Judge

COUNT = 6
FIRST = 50_000
"""Variations that no training and no calibration has seen."""
EDITED = ("colour", "form", "background")


@dataclass(frozen=True)
class Case:
    """An edit whose result is known: the same variation of another scene, which no training clip shows.

    Attributes:
        attribute: that changes.
    """

    number: int
    attribute: str
    source: Scene
    target: Scene

    @property
    def word(self) -> str:
        """Of the source prompt, whose place FreeMask masks: the form where the shape changes, or the background."""
        return self.source.background if self.attribute == "background" else self.source.form

    def clips(self) -> tuple[Clip, Clip]:
        """Source, and what the edit should be."""
        return shapes.clip(self.source, FIRST + self.number), shapes.clip(self.target, FIRST + self.number)


def cases(count: int = COUNT) -> list[Case]:
    """Edits of colour, form and background in turn, towards scenes that are held out."""
    found = []
    for number in range(count):
        target = shapes.HELD_OUT[(number * 23 + 5) % len(shapes.HELD_OUT)]
        attribute = EDITED[number % len(EDITED)]
        words = shapes.WORDS[attribute]
        other = words[(words.index(getattr(target, attribute)) + 1 + number % 3) % len(words)]
        found.append(Case(number, attribute, target.with_word(other), target))
    return found


@dataclass(frozen=True)
class Way:
    """A method on a model, as a row of the table.

    Attributes:
        settings: of the method, beside those that the shipped model has.
        masked: whether the true mask is given.
    """

    name: str
    method: str
    model: str
    settings: dict[str, Any] = field(default_factory=dict)
    masked: bool = False


WAYS = (
    Way("DFVEdit", "dfvedit", "dit"),
    Way("DFVEdit, no mask", "dfvedit", "dit", {"attention": False}),
    Way("DFVEdit, true mask", "dfvedit", "dit", masked=True),
    Way("attention injection", "freemask", "dit", {"masks": "none"}),
    Way("SDEdit", "sdedit", "dit"),
    Way("FreeMask, chosen masks", "freemask", "unet", {"masks": "chosen"}),
    Way("FreeMask, fixed masks", "freemask", "unet", {"masks": "fixed"}),
    Way("FreeMask, no masks", "freemask", "unet", {"masks": "none"}),
    Way("DFVEdit, U-Net", "dfvedit", "unet"),
    Way("SDEdit, U-Net", "sdedit", "unet"),
)


def measured(case: Case, edited: Tensor, judge: Judge) -> dict[str, Any]:
    """Figures of an edited clip [1, 3, frames, height, width].

    `reached` is whether the judge sees the target's word, `kept` the share of the other attributes that it sees
    unchanged. PSNR is outside the masks of source and target against the source, inside against the known result (for a
    background the other way round: outside is the shape). `unsteady` is the root mean square of what changes from frame
    to frame, less what changes in the known result.
    """
    source, truth = case.clips()
    seen = judge(edited).argmax(2)[0].tolist()
    names = list(shapes.WORDS)
    right = [found == number for found, number in zip(seen, case.target.numbers, strict=True)]
    place = names.index(case.attribute)
    others = [each for number, each in enumerate(right) if number != place]
    inside = region(case)
    steps = [clip[:, 1:] - clip[:, :-1] for clip in (edited[0], truth.pixels)]
    return {
        "reached": right[place],
        "kept": sum(others) / len(others),
        "psnr_outside": psnr(edited[0], source.pixels, ~inside),
        "psnr_inside": psnr(edited[0], truth.pixels, inside),
        "unsteady": float((steps[0] - steps[1]).square().mean().sqrt()),
    }


def region(case: Case) -> Tensor:
    """Where source and known result may differ, bool [frames, height, width]."""
    source, truth = case.clips()
    shape = source.mask | truth.mask
    return ~shape if case.attribute == "background" else shape


def psnr(found: Tensor, truth: Tensor, where: Tensor) -> float:
    """Decibels, of clips [3, frames, height, width] of -1 to 1 at the places of a mask; at most 99."""
    error = float((found.clamp(-1, 1) - truth)[:, where].square().mean())
    return min(99.0, float(10 * torch.log10(torch.tensor(4 / max(error, 1e-12)))))
