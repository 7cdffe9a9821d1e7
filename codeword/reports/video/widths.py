"""FreeMask's maps in fewer bits: what masks and edits make of them."""

from __future__ import annotations

from typing import Any

import torch

from algos.video import freemask, process
from algos.video.edits import Edit
from algos.video.freemask import FreeMaskConfig
from algos.video.masks import binarized, miou, word_map
from algos.video.store import BITS, Rows, Store, inverted
from algos.zoo import video as zoo
from codeword.reports.video.cases import Case, cases, measured
from sim.steps import steps

EDITS = 3
"""Edited, one of each attribute."""


def widths() -> list[dict[str, Any]]:
    """Of each case: MIoU of the words' masks where these are of a form or colour, and of the first the edit too."""
    todo = cases()
    return [row for case in steps(todo, "widths of maps", len(todo)) for row in _case(case)]


def _case(case: Case) -> list[dict[str, Any]]:
    model, codes = zoo.model("unet"), zoo.codes("unet")
    assert codes is not None, "ships with the model"
    source, _ = case.clips()
    task = Edit(case.source.caption, case.target.caption, (case.word,))
    rows: list[dict[str, Any]] = [{"case": case.number, "bits": bits} for bits in BITS]
    if case.attribute != "background":
        store = Store(kinds=("cross",))
        inverted(model, source.pixels[None], model.text([case.source.caption]), process.levels(model), store)
        kept = store.steps[codes.step(len(store.steps))].maps[codes.layer].float()
        for row in rows:
            maps = kept if row["bits"] == 16 else Rows.of(kept, row["bits"]).float()
            found = word_map(maps, task.places(model))
            size = source.mask.shape[1], source.mask.shape[2]
            row["miou"] = miou(binarized(found, size, codes.threshold), source.mask)
    if case.number < EDITS:
        before: torch.Tensor | None = None
        for row in rows:
            manner = "shape" if case.attribute == "form" else "attribute"
            config = FreeMaskConfig(
                **(zoo.settings("freemask", "unet") | {"manner": manner, "bits": row["bits"]})
            )
            edited, store = freemask.fused(model, source.pixels[None], task, config, codes)
            before = edited if before is None else before
            error = float((edited - before).square().mean())
            judged = measured(case, edited, zoo.load_judge())
            row |= {"error": error, "bytes": store.bytes, "reached": judged["reached"]}
    return rows
