"""The clips of public databases by their own folders and lists, split as their protocols say.

The databases are given to who signs for them; none is here. Their layouts are those that their own tools read,
and each is tested on a tree of generated files.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from algos.facepad.clips import VIDEOS
from sim.errors import InputError, nearest

HELD_BACK = 5
"""Where a database has no development set, each fifth subject or clip of the training set, by name, is one
(assumed)."""


@dataclass(frozen=True)
class Presentation:
    """A clip.

    Attributes:
        kind: attack type as the database tells them apart; "real" of real faces.
    """

    path: Path
    subject: str
    kind: str

    @property
    def real(self) -> bool:
        return self.kind == "real"


Clips = tuple[Presentation, ...]


@dataclass(frozen=True)
class Database:
    """Clips by what they are for."""

    training: Clips
    development: Clips
    test: Clips


def replay_attack(root: Path, protocol: str) -> Database:
    """{train,devel,test}/{real,attack/{fixed,hand}}/*.mov (Chingovska et al. 2012); names say how it was attacked.

    Args:
        protocol: "grandtest", or a kind of attack: print, mobile (photo, video), highdef (photo, video), video, photo.
    """

    def read(path: Path) -> Presentation | None:
        found = re.match(
            r"(?:attack_(print|mobile|highdef)_)?client(\d+)_session\d+_\w+?_(photo|video)?", path.stem
        )
        if not found:
            return None
        device, subject, medium = found.groups()
        kind = f"{device} {medium}" if device else "real"
        wanted = protocol in ("grandtest", *kind.split()) or kind == "real"
        return Presentation(path, subject, kind) if wanted else None

    return _by_folders(root, read)


def replay_mobile(root: Path, protocol: str) -> Database:
    """{train,devel,test}/{real,attack}/*.mov (Costa-Pazo et al. 2016).

    Args:
        protocol: "grandtest", "print" or "mattescreen".
    """

    def read(path: Path) -> Presentation | None:
        found = re.match(
            r"(?:attack_)?client(\d+)_session\d+_(?:(print|mattescreen)_\w+_(photo|video)_|authenticate)",
            path.stem,
        )
        if not found:
            return None
        subject, device, medium = found.groups()
        if device and protocol not in ("grandtest", device):
            return None
        return Presentation(path, subject, f"{device} {medium}" if device else "real")

    return _by_folders(root, read)


def rose_youtu(root: Path, protocol: str) -> Database:
    """Clips at any depth, named KIND_SPEAKING_DEVICE_GLASSES_PLACE_SUBJECT_NUMBER (Li et al. 2018).

    Ten subjects train and ten others test; half of the training subjects' clips are nobody's development set.
    """
    training = {2, 3, 4, 5, 6, 7, 9, 10, 11, 12}
    found = []
    for path in _clips(root):
        parts = path.stem.split("_")
        if len(parts) == 7 and parts[0] in _ROSE_KINDS and parts[5].isdigit():
            found.append(Presentation(path, parts[5], _ROSE_KINDS[parts[0]]))
    taught = [clip for clip in found if int(clip.subject) in training]
    return _held_back(taught, [clip for clip in found if int(clip.subject) not in training], by_subject=True)


_ROSE_KINDS = {
    "G": "real",
    "Ps": "paper, still",
    "Pq": "paper, quivering",
    "Vl": "video on a Lenovo screen",
    "Vm": "video on a Mac screen",
    "Mc": "paper mask, eyes and mouth cut out",
    "Mf": "paper mask, whole",
    "Mu": "paper mask, upper part cut out",
}


def siw_mv2(root: Path, protocol: str) -> Database:
    """Live/ and Spoof/ with the lists of protocol 1 in protocol_files/ (Guo et al. 2022).

    A name in {train,test}list_{live,all}.txt is that of a clip, without suffix; its words before the number are
    the spoof type.
    """
    files = {path.stem: path for path in _clips(root)}
    parts: dict[str, list[Presentation]] = {"train": [], "test": []}
    for part, of in parts.items():
        for names in ("live", "all"):
            for name in _lines(root / "protocol_files" / f"{part}list_{names}.txt"):
                if name not in files:
                    raise _missing(root, name)
                kind = re.sub(r"_\d+$", "", name).replace("_", " ")
                of.append(Presentation(files[name], name, "real" if names == "live" else kind))
    return _held_back(parts["train"], parts["test"], by_subject=False)


def oulu_npu(root: Path, protocol: str) -> Database:
    """{Train,Dev,Test}_files/PHONE_SESSION_USER_KIND.avi and Protocols/ (Boulkenafet et al. 2017).

    Args:
        protocol: "1", "2", or "3.k" and "4.k" with k from 1 to 6, the phone that the test holds out.
    """
    number, _, fold = protocol.partition(".")
    if number not in "1234" or len(number) != 1 or bool(fold) != (number in "34"):
        raise InputError("protocol", protocol, "is none of OULU-NPU", "use 1, 2, 3.1 to 3.6 or 4.1 to 4.6")
    folder = root / "Protocols" / f"Protocol_{number}"
    parts = []
    for part in ("Train", "Dev", "Test"):
        clips = []
        for line in _lines(folder / f"{part}{'_' * bool(fold)}{fold}.txt"):
            path = root / f"{part}_files" / f"{line.split(',')[-1].strip()}.avi"
            if not path.exists():
                raise _missing(root, str(path.relative_to(root)))
            *_, user, kind = path.stem.split("_")
            clips.append(Presentation(path, user, _OULU_KINDS[kind]))
        parts.append(tuple(clips))
    return Database(*parts)


_OULU_KINDS = {
    "1": "real",
    "2": "print, printer 1",
    "3": "print, printer 2",
    "4": "replay, display 1",
    "5": "replay, display 2",
}


@dataclass(frozen=True)
class Layout:
    """How a database lies in its folder.

    Attributes:
        read: of the folder and the name of a protocol.
        protocol: the usual one.
    """

    read: Callable[[Path, str], Database]
    protocol: str


LAYOUTS = {
    "replay-attack": Layout(replay_attack, "grandtest"),
    "replay-mobile": Layout(replay_mobile, "grandtest"),
    "rose-youtu": Layout(rose_youtu, ""),
    "siw-mv2": Layout(siw_mv2, "1"),
    "oulu-npu": Layout(oulu_npu, "1"),
}


def load(name: str, root: str | Path, protocol: str | None = None) -> Database:
    """A database of LAYOUTS.

    Args:
        protocol: its name there; None for the usual one.

    Raises:
        InputError: unknown, no such folder or protocol; no clip there that the layout knows, one that a list
            names is missing, or a set with real faces alone or attacks alone.
    """
    if name not in LAYOUTS:
        raise InputError("database", name, "unknown", nearest(name, LAYOUTS))
    if not Path(root).is_dir():
        raise InputError("folder", str(root), "no such folder", f"give the one that {name} was unpacked into")
    layout = LAYOUTS[name]
    found = layout.read(Path(root), layout.protocol if protocol is None else protocol)
    for part, clips in vars(found).items():
        kinds = {clip.real for clip in clips}
        if kinds != {True, False}:
            what = "no clip whose name tells what it shows" if not kinds else "clips of one class"
            raise InputError(
                "folder", str(root), f"the {part} set has {what}", f"give the folders of {name} as they come"
            )
    return found


def _by_folders(root: Path, read: Callable[[Path], Presentation | None]) -> Database:
    parts = []
    for part in ("train", "devel", "test"):
        clips = (clip for kind in ("real", "attack") for clip in _clips(root / part / kind))
        parts.append(tuple(known for clip in clips if (known := read(clip)) is not None))
    return Database(*parts)


def _held_back(taught: Iterable[Presentation], test: Iterable[Presentation], by_subject: bool) -> Database:
    """Takes a development set out of the training set: of each class its own fifth, where subjects have one clip."""
    taught = sorted(taught, key=lambda clip: clip.path)
    chosen: set[str] = set()
    for real in (True, False):
        of = {clip.subject: None for clip in taught if by_subject or clip.real is real}
        chosen |= set(sorted(of)[HELD_BACK - 1 :: HELD_BACK])
    kept = tuple(clip for clip in taught if clip.subject not in chosen)
    return Database(kept, tuple(clip for clip in taught if clip.subject in chosen), tuple(test))


def _clips(folder: Path) -> Iterator[Path]:
    return (path for path in sorted(folder.rglob("*")) if path.suffix.lower() in VIDEOS)


def _lines(path: Path) -> list[str]:
    try:
        return [line.strip() for line in path.read_text().splitlines() if line.strip()]
    except OSError as error:
        raise InputError(
            "folder", str(path), error.strerror or "unreadable", "put the protocol's lists there"
        ) from None


def _missing(root: Path, name: str) -> InputError:
    return InputError("folder", str(root), f"a list names {name}, which is not there", "unpack all parts")
