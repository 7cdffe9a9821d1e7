"""Editing a video, as a function: what was asked becomes an edit, and what came of it can be saved."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sim.errors import InputError, nearest

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True)
class Edited:
    """An edited clip.

    Attributes:
        source, clip: float32 [1, channels, frames, height, width], -1 to 1.
        settings: all fields of the method's configuration.
        calls: of the model, each with the clips of its batch.
        seconds: wall time.
    """

    method: str
    source: Tensor
    clip: Tensor
    settings: dict[str, Any]
    calls: tuple[int, ...]
    seconds: float

    @property
    def passes(self) -> int:
        """Clips that went through the model."""
        return sum(self.calls)

    def save(self, path: str | Path) -> None:
        """As .npy, .gif or, with the source above, .png."""
        from algos.video import clips

        clips.save(Path(path), self.source, self.clip)


def edit(
    clip: str | Tensor,
    *,
    source: str,
    target: str,
    method: str = "dfvedit",
    words: Sequence[str] = (),
    mask: Tensor | str | Path | None = None,
    settings: Sequence[str] = (),
    model: str | None = None,
) -> Edited:
    """Edits a clip by words.

    Args:
        clip: a .npy file of bytes [frames, height, width, 3]; "shapes:NUMBER", a made clip that the source prompt
            describes; or float32 [1, channels, frames, height, width].
        source, target: what it shows and shall show.
        method: of `algos.video.editors.EDITORS`.
        words: of the source prompt, whose place is masked; by default those that change.
        mask: bool [frames, height, width], or a .npy file of it, in place of found masks.
        settings: `field=value` of the method's configuration.
        model: shipped model, "dit" or "unet", or a folder in diffusers' form; None for the method's own.

    Raises:
        InputError: equal prompts, a word that is not there, a clip or mask of another size, or a bad setting.
    """
    from algos.video import clips, pipelines
    from algos.video.counting import counted
    from algos.video.editors import editor
    from algos.video.edits import Edit
    from algos.zoo import video as zoo

    how = editor(method)
    name = model or how.model
    chosen = pipelines.load(Path(name)) if Path(name).is_dir() else zoo.model(name)
    config = configured(replace(how.config(), **zoo.settings(method, name)), settings)
    begun = clips.clip(clip, source) if isinstance(clip, str) else clip
    inside = clips.mask(Path(mask)) if isinstance(mask, str | Path) else mask
    task = Edit(source, target, tuple(words), inside)
    task.check(chosen, begun)
    frames = chosen.frames if chosen.vae is None else None
    begun, task = begun[:, :, :frames], replace(task, mask=None if inside is None else inside[:frames])
    start = time.perf_counter()
    with counted(chosen) as calls:
        latents = chosen.encoded(begun)
        found = how.run(chosen, latents, task.on(latents.shape), config, zoo.codes(name))
    found = chosen.decoded(found)
    seconds = time.perf_counter() - start
    values = {field.name: getattr(config, field.name) for field in fields(config)}
    return Edited(method, begun, found, values, tuple(calls), seconds)


def configured(config: Any, settings: Sequence[str]) -> Any:
    """A configuration with `field=value` read as what its fields hold.

    Raises:
        InputError: no such field, or a value of another kind.
    """
    known = {field.name: getattr(config, field.name) for field in fields(config)}
    values = {}
    for setting in settings:
        name, _, text = setting.partition("=")
        if name not in known:
            raise InputError("--set", name, "is no setting of this method", nearest(name, known))
        values[name] = _read(name, text, known[name])
    return replace(config, **values)


def _read(name: str, text: str, before: Any) -> Any:
    kind = type(before)
    if kind is bool:
        if text not in ("yes", "no"):
            raise InputError(
                "--set", f"{name}={text}", "is neither yes nor no", f"write {name}=yes or {name}=no"
            )
        return text == "yes"
    try:
        return kind(text)
    except ValueError:
        fix = f"write for example {name}={before}"
        raise InputError("--set", f"{name}={text}", f"is no {kind.__name__}", fix) from None
