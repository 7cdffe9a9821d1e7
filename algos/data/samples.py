"""Anyone's data as samples that are read when they are asked for: pictures in folders, .npy, .npz, IDX files."""

from __future__ import annotations

import warnings
import zipfile
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, Subset

from algos.data.fashion_mnist import idx
from algos.data.preprocess import FORMS, Preprocess
from sim.errors import InputError
from sim.files import DAMAGED

SUFFIXES = (".bmp", ".jpeg", ".jpg", ".pgm", ".png", ".ppm", ".tif", ".tiff", ".webp")
KINDS = "a folder of pictures or of a folder a class, a folder of IDX files, .npy or .npz"
INPUTS, LABELS = ("images", "x"), ("labels", "y")
"""Arrays of an .npz file."""


@dataclass(frozen=True)
class Samples(Dataset[Any]):
    """float32 [...] each, all of one size; with their label, where they have one, a pair.

    Attributes:
        source: the file or folder.
        names: of each sample, for messages.
        read: the sample of a number.
        labels: int64 [n], or None.
    """

    source: Path
    names: Sequence[str]
    read: Callable[[int], Tensor]
    labels: Tensor | None = None

    def __post_init__(self) -> None:
        if not len(self.names):
            raise InputError("--data", str(self.source), "holds no sample", f"give {KINDS}")
        if self.labels is not None and len(self.labels) != len(self.names):
            problem = f"for {len(self.names)} samples in {self.source}"
            raise InputError("labels", len(self.labels), problem, "give one a sample")

    @cached_property
    def shape(self) -> torch.Size:
        """Of the first sample."""
        return self.read(0).shape

    def __len__(self) -> int:
        return len(self.names)

    def __getitem__(self, place: int) -> Tensor | tuple[Tensor, Tensor]:
        """
        Raises:
            InputError: it cannot be read, or is of another size than the first.
        """
        sample = self.read(place)
        if sample.shape != self.shape:
            problem = f"is {list(sample.shape)}, and {self.names[0]} {list(self.shape)}"
            fix = "give --preprocess a size, such as imagenet or unit/32"
            raise InputError("--data", self.names[place], problem, fix)
        return sample if self.labels is None else (sample, self.labels[place])

    def some(self, count: int, batch: int, seed: int = 0) -> DataLoader[Any]:
        """At most so many of them at random: folders of classes come one class after the other."""
        order = torch.randperm(len(self), generator=torch.Generator().manual_seed(seed))
        return DataLoader(Subset(self, order[:count].tolist()), batch)

    def shuffled(self, batch: int, seed: int = 0) -> DataLoader[Any]:
        """All of them in a new order each time; what fills no batch is left out."""
        batch = min(batch, len(self))
        order = torch.Generator().manual_seed(seed)
        return DataLoader(self, batch, shuffle=True, drop_last=True, generator=order)


def load(path: str | Path, how: Preprocess | None = None, *, grey: bool = False) -> Samples:
    """Samples of `KINDS`; subfolders are classes, numbered in the order of their names.

    Args:
        how: what becomes of each; bytes need it.
        grey: pictures have one channel, not three.

    Raises:
        InputError: no samples, unreadable files, or arrays that are no samples.
    """
    path = Path(path)
    if path.suffix in (".npy", ".npz") and path.is_file():
        return _arrays(path, how)
    if not path.is_dir():
        problem = "is none" if path.exists() else "is not there"
        raise InputError("--data", str(path), problem, f"give {KINDS}")
    if files := sorted(path.glob("*images-idx3-ubyte*")):
        name = next((one for one in files if one.name.startswith("train")), files[0]).name.removesuffix(".gz")
        labels = name.replace("images-idx3", "labels-idx1")
        labelled = any((path / f"{labels}{end}").exists() for end in ("", ".gz"))
        return _array(path, idx(path, name), idx(path, labels) if labelled else None, how)
    return _pictures(path, how, grey)


def _pictures(folder: Path, how: Preprocess | None, grey: bool) -> Samples:
    classes = [one for one in sorted(folder.iterdir()) if one.is_dir()]
    loose = _files(folder.iterdir())
    within = [_files(one.rglob("*")) for one in classes]
    if loose and any(within):
        problem = f"holds pictures itself and in {classes[0].name}/"
        raise InputError("--data", str(folder), problem, "give pictures alone, or a folder a class")
    files = loose or [file for each in within for file in each]
    labels = [number for number, each in enumerate(within) for _ in each]
    if files and how is None:
        raise _unprepared(folder)

    def read(place: int) -> Tensor:
        assert how is not None
        return how.picture(_picture(files[place], grey))

    return Samples(folder, list(map(str, files)), read, torch.tensor(labels) if labels else None)


def _files(paths: Any) -> list[Path]:
    return sorted(path for path in paths if path.suffix.lower() in SUFFIXES and path.is_file())


def _picture(path: Path, grey: bool) -> Image.Image:
    """
    Raises:
        InputError: it cannot be read, or has more than 8 bits a channel, which Pillow would cut off.
    """
    try:
        with warnings.catch_warnings(), Image.open(path) as picture:
            warnings.simplefilter("ignore")
            mode = picture.mode
            found = picture.convert("L" if grey else "RGB")
    except Exception as error:  # decoders raise of many types
        problem = f"cannot be read: {error}"
        raise InputError("--data", str(path), problem, "repair or remove the picture") from None
    if mode[0] in "IF":
        raise InputError("--data", str(path), f"mode {mode} has over 8 bits", "save it with 8 bits a channel")
    return found


def _arrays(path: Path, how: Preprocess | None) -> Samples:
    try:
        if path.suffix == ".npy":
            return _array(path, np.lib.format.open_memmap(path, mode="r"), None, how)
        with path.open("rb") as file, np.lib.npyio.NpzFile(file, allow_pickle=False) as found:
            wanted = [next((name for name in names if name in found), "") for names in (INPUTS, LABELS)]
            inputs = wanted[0] or (found.files[0] if len(found.files) == 1 else "")
            if not inputs:
                names = ", ".join(found.files[:8])
                problem = f"holds {names or 'nothing'}"
                raise InputError(
                    "--data", str(path), problem, "name its arrays images and labels, or x and y"
                )
            return _array(path, found[inputs], found[wanted[1]] if wanted[1] else None, how)
    except InputError:
        raise
    except DAMAGED as error:
        raise _damaged(path, error) from None
    except (OSError, KeyError, NotImplementedError, RuntimeError, zipfile.BadZipFile, zlib.error) as error:
        raise _damaged(path, error) from None


def _damaged(path: Path, error: Exception) -> InputError:
    return InputError(
        "--data", str(path), f"cannot be read: {error}", "write it again with numpy.save or savez"
    )


def _array(path: Path, values: np.ndarray, labels: np.ndarray | None, how: Preprocess | None) -> Samples:
    """Samples [n, ...]: bytes of pictures [n, H, W] or [n, C, H, W], or floats of any kind."""
    pixels = values.dtype == np.uint8
    if not (pixels and values.ndim in (3, 4)) and not (values.dtype.kind == "f" and values.ndim >= 2):
        raise InputError(
            "--data",
            f"{values.dtype}{list(values.shape)}",
            f"{path} holds no samples",
            "give bytes [n, H, W] or [n, C, H, W], or floats [n, ...]",
        )
    if labels is not None and (labels.dtype.kind not in "iu" or labels.ndim != 1):
        problem = f"{path} holds no numbers of classes"
        raise InputError("labels", f"{labels.dtype}{list(labels.shape)}", problem, "give integers [n]")
    if pixels and how is None:
        raise _unprepared(path)
    if pixels and values.ndim == 3:
        values = values[:, None]
    how = how or Preprocess(unit=False)
    if not pixels and (how == Preprocess() or how.resize is not None):
        raise InputError(
            "--preprocess", "unit or SIZE", "is for bytes, and these are floats", "give none or MEAN,STD"
        )
    if how.resize is not None and values.shape[1] not in (1, 3):
        raise InputError(
            "--data", list(values.shape), "has no 1 or 3 channels to resize", "give [n, C, H, W]"
        )

    def read(place: int) -> Tensor:
        sample = torch.from_numpy(np.array(values[place]))
        if how.resize is None:
            return how.normalised(sample if pixels else sample.float())
        picture = sample.permute(1, 2, 0).squeeze(2) if len(sample) == 1 else sample.permute(1, 2, 0)
        return how.picture(Image.fromarray(picture.numpy()))

    names = [f"{path.name}[{place}]" for place in range(len(values))]
    return Samples(path, names, read, None if labels is None else torch.from_numpy(labels.astype(np.int64)))


def _unprepared(path: Path) -> InputError:
    return InputError(
        "--preprocess", "nothing", f"{path} holds bytes, which networks take scaled", f"give {FORMS}"
    )
