"""Clips and masks as files, and pictures of them."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from algos.data import shapes
from sim.errors import InputError
from sim.files import DAMAGED, write_whole

MADE = "shapes"
SUFFIXES = (".npy", ".png", ".gif")


def clip(name: str, caption: str) -> Tensor:
    """float32 [1, 3, frames, height, width], -1 to 1.

    Args:
        name: a .npy file of bytes [frames, height, width, 3], or "shapes:NUMBER", that variation of the made clip which
            the caption describes.

    Raises:
        InputError: no such file, another kind of file, or a caption of no made clip.
    """
    if name.split(":")[0] == MADE:
        return shapes.clip(shapes.scene_of(caption), _number(name)).pixels[None]
    values = _array(Path(name), "CLIP")
    if values.dtype != np.uint8 or values.ndim != 4 or values.shape[3] != 3 or not values.size:
        problem = f"holds {values.dtype}{list(values.shape)}"
        raise InputError("CLIP", name, problem, "give bytes [frames, height, width, 3]")
    return torch.from_numpy(values).permute(3, 0, 1, 2)[None].float() / 127.5 - 1


def mask(path: Path) -> Tensor:
    """bool [frames, height, width] of a .npy file, where anything but 0 is inside.

    Raises:
        InputError: no such file, or another kind of array.
    """
    values = _array(path, "--mask")
    if values.ndim != 3 or values.dtype.kind not in "bui":
        problem = f"holds {values.dtype}{list(values.shape)}"
        raise InputError("--mask", str(path), problem, "give booleans [frames, height, width]")
    return torch.from_numpy(values != 0)


def _number(name: str) -> int:
    number = name.partition(":")[2] or "0"
    if not (number.isascii() and number.isdecimal() and len(number) < 10):
        raise InputError("CLIP", name, "names no made clip", "write for example shapes:7")
    return int(number)


def _array(path: Path, option: str) -> np.ndarray:
    try:
        with path.open("rb") as file:
            if file.read(6) != b"\x93NUMPY":
                raise ValueError("no .npy file")
            file.seek(0)
            found: np.ndarray = np.load(file, allow_pickle=False)
            return found
    except (OSError, *DAMAGED) as error:
        problem = f"cannot be read: {error}"
        raise InputError(option, str(path), problem, f"give a .npy file, or {MADE}:NUMBER") from None


def pixels(clip: Tensor) -> np.ndarray:
    """Bytes [frames, height, width, 3] of a clip [1, 3, frames, height, width]."""
    scaled = ((clip[0].clamp(-1, 1) + 1) * 127.5).round()
    return scaled.byte().permute(1, 2, 3, 0).cpu().numpy()


def filmstrip(clips: Sequence[Tensor], grown: int = 4, gap: int = 1) -> Image.Image:
    """Clips below each other, each with its frames side by side.

    Args:
        grown: pixels a side for each of the clips'; gap: white ones of these between frames and clips.
    """
    rows = []
    for each in clips:
        frames = np.pad(pixels(each), ((0, 0), (gap, 0), (gap, 0), (0, 0)), constant_values=255)
        rows.append(np.concatenate(list(frames), 1))
    found = Image.fromarray(np.concatenate(rows, 0))
    return found.resize((found.width * grown, found.height * grown), Image.Resampling.NEAREST)


def save(path: Path, source: Tensor, edited: Tensor) -> None:
    """Writes the edited clip as .npy or .gif, or as .png with the source above it."""

    content = io.BytesIO()
    if path.suffix == ".npy":
        np.save(content, pixels(edited))
    elif path.suffix == ".gif":
        frames = [Image.fromarray(frame) for frame in pixels(edited)]
        frames[0].save(content, "gif", save_all=True, append_images=frames[1:], duration=120, loop=0)
    else:
        filmstrip([source, edited]).save(content, "png")
    write_whole(path, content.getvalue())
