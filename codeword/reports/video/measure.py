"""Edits made clips by every method and measures them; resumable, a file an edit in the work folder."""

from __future__ import annotations

import json
import platform
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch

from algos.video import clips, freemask, process
from algos.video.edits import Edit
from algos.video.masks import CodeTable, binarized, miou, word_map
from algos.video.store import Store, inverted
from algos.zoo import video as zoo
from codeword.editing import Edited, edit
from codeword.reports.registry import Task
from codeword.reports.video import deltas, hardware, widths
from codeword.reports.video.cases import WAYS, Case, Way, cases, measured, region
from sim.files import write_json
from sim.steps import steps

SHOWN = ("DFVEdit", "attention injection", "SDEdit", "FreeMask, chosen masks", "FreeMask, no masks")
"""Ways of the filmstrips, below source and known result."""
PEAKS = ("DFVEdit", "attention injection", "SDEdit")


def run(task: Task) -> None:
    """Whatever the work folder does not hold yet."""
    torch.set_num_threads(1)
    task.work.mkdir(parents=True, exist_ok=True)
    todo = [(way, case) for case in cases() for way in WAYS]
    rows = [_kept(task.work, way, case) for way, case in steps(todo, "edits", len(todo))]
    found = {
        "machine": platform.machine(),
        "versions": {"torch": torch.__version__, "python": platform.python_version()},
        "rows": rows,
        "peaks": {name: _peak(task.work, name) for name in PEAKS},
        "masks": _remembered(task.work / "masks.json", masks),
        "codes": asdict(_codes()),
        "widths": _remembered(task.work / "widths.json", widths.widths),
        "deltas": _remembered(task.work / "deltas.json", deltas.found),
        "hardware": _remembered(task.work / "hardware.json", hardware.costs),
    }
    write_json(task.out, found)
    pictures(task)


def made(way: Way, case: Case) -> Edited:
    """One edit."""
    source, _ = case.clips()
    manner = (
        {"manner": "shape" if case.attribute == "form" else "attribute"} if way.method == "freemask" else {}
    )
    values = [f"{name}={_said(value)}" for name, value in (way.settings | manner).items()]
    return edit(
        source.pixels[None],
        source=case.source.caption,
        target=case.target.caption,
        method=way.method,
        model=way.model,
        words=[case.word] if way.method == "freemask" else [],
        mask=region(case) if way.masked else None,
        settings=values,
    )


def _said(value: Any) -> str:
    return {True: "yes", False: "no"}.get(value, str(value)) if isinstance(value, bool) else str(value)


def _kept(work: Path, way: Way, case: Case) -> dict[str, Any]:
    """A row; the edited clip is kept, so that its figures follow from it anew."""
    path = _place(work, way.name, case)
    if not path.exists():
        found = made(way, case)
        np.save(path.with_suffix(".npy"), found.clip.numpy())
        row = {
            "way": way.name,
            "case": case.number,
            "attribute": case.attribute,
            "passes": found.passes,
            "calls": len(found.calls),
            "seconds": found.seconds,
            "settings": found.settings,
        }
        write_json(path, row)
    return json.loads(path.read_text()) | measured(case, _edited(work, way.name, case), zoo.load_judge())


def _place(work: Path, name: str, case: Case) -> Path:
    return work / f"{name}-{case.number}.json".replace(" ", "_").replace(",", "")


def _edited(work: Path, name: str, case: Case) -> torch.Tensor:
    return torch.from_numpy(np.load(_place(work, name, case).with_suffix(".npy")))


def _remembered(path: Path, make: Any) -> Any:
    if not path.exists():
        write_json(path, make())
    return json.loads(path.read_text())


def masks() -> list[dict[str, Any]]:
    """MIoU of the words' masks with the true ones: by the code table, and as FreeMask's code fixes them."""
    model, codes = zoo.model("unet"), _codes()
    path = process.levels(model)
    rows = []
    for case in cases():
        if case.attribute == "background":
            continue
        source, _ = case.clips()
        store = Store(kinds=("cross",))
        text = model.text([case.source.caption])
        inverted(model, source.pixels[None], text, path, store)
        named = Edit(case.source.caption, case.target.caption, (case.word,)).places(model)
        size = (source.mask.shape[1], source.mask.shape[2])
        fixed = freemask.fixed_layers(model, store)
        ways = {
            "chosen": ([codes.layer], codes.step(len(store.steps))),
            "fixed": (fixed, round(freemask.FIXED_STEP * len(store.steps))),
        }
        row: dict[str, Any] = {"case": case.number}
        for name, (layers, step) in ways.items():
            maps = [word_map(store.steps[step].maps[layer].float(), named) for layer in layers]
            row[name] = miou(binarized(torch.stack(maps).mean(0), size, codes.threshold), source.mask)
        rows.append(row)
    return rows


def _codes() -> CodeTable:
    found = zoo.codes("unet")
    assert found is not None, "ships with the model"
    return found


def _peak(work: Path, name: str) -> dict[str, Any]:
    """Memory of an edit in a process of its own."""
    path = work / f"peak-{name}.json".replace(" ", "_")
    if not path.exists():
        command = [sys.executable, "-m", "codeword.reports.video.measure", name, str(path)]
        subprocess.run(command, check=True)
    return dict(json.loads(path.read_text()))


def grown(name: str) -> dict[str, Any]:
    """Peak of this process above what it held before the edit, bytes, and what its store holds (Linux)."""
    way = next(way for way in WAYS if way.name == name)
    case = cases()[0]
    zoo.model(way.model)(case.clips()[0].pixels[None], torch.tensor([500.0]), zoo.model(way.model).text([""]))
    Path("/proc/self/clear_refs").write_text("5")
    before = _resident("VmRSS")
    made(way, case)
    stored = 0
    if way.method == "freemask":
        store, model = Store(), zoo.model(way.model)
        inverted(model, case.clips()[0].pixels[None], model.text([""]), process.levels(model), store)
        stored = store.bytes
    return {"peak_growth_bytes": _resident("VmHWM") - before, "stored_bytes": stored}


def _resident(field: str) -> int:
    lines = Path("/proc/self/status").read_text().splitlines()
    return 1024 * next(int(line.split()[1]) for line in lines if line.startswith(f"{field}:"))


def pictures(task: Task) -> None:
    """A filmstrip for the first edit of each attribute."""
    strips = []
    for case in cases()[:3]:
        source, truth = case.clips()
        edited = [_edited(task.work, name, case) for name in SHOWN]
        strips.append([source.pixels[None], truth.pixels[None], *edited])
    rows = [clip for strip in strips for clip in strip]
    clips.filmstrip(rows, grown=3).save(task.out.with_suffix(".png"))


def main() -> None:
    """The process whose peak is measured."""
    torch.set_num_threads(1)
    write_json(Path(sys.argv[2]), grown(sys.argv[1]))


if __name__ == "__main__":
    main()
