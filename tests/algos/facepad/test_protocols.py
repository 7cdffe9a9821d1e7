"""Loaders on generated trees of the databases' own file names."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from pathlib import Path

import pytest

from algos.facepad.protocols import LAYOUTS, Clips, load
from sim.errors import InputError


def touch(root: Path, names: Iterable[str]) -> Path:
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    return root


def kinds(clips: Clips) -> Counter[str]:
    return Counter(clip.kind for clip in clips)


REPLAY_ATTACK = [
    f"{part}/{name}.mov"
    for part, client in (("train", "001"), ("devel", "003"), ("test", "009"))
    for name in (
        f"real/client{client}_session01_webcam_authenticate_adverse_1",
        f"attack/fixed/attack_highdef_client{client}_session01_highdef_photo_adverse",
        f"attack/hand/attack_mobile_client{client}_session01_mobile_video_controlled",
        f"attack/hand/attack_print_client{client}_session01_highdef_photo_controlled",
    )
]
REPLAY_MOBILE = [
    f"{part}/{name}.mov"
    for part, client in (("train", "001"), ("devel", "005"), ("test", "002"))
    for name in (
        f"real/client{client}_session02_authenticate_mobile_adverse",
        f"attack/attack_client{client}_session01_mattescreen_fixed_mobile_photo_lightoff",
        f"attack/attack_client{client}_session01_print_hand_tablet_photo_lighton",
    )
]
ROSE = [
    f"clips/{subject}/{kind}_NT_5s_g_E_{subject}_1.mp4"
    for subject in (2, 3, 4, 5, 6, 7, 9, 10, 11, 12, 13, 14)
    for kind in ("G", "Ps", "Vm")
]
OULU = [
    f"{part}_files/{phone}_1_{user}_{kind}.avi"
    for part, user in (("Train", "01"), ("Dev", "21"), ("Test", "36"))
    for phone in (1, 2)
    for kind in range(1, 6)
]


def test_replay_attack(tmp_path: Path) -> None:
    found = load("replay-attack", touch(tmp_path, [*REPLAY_ATTACK, "train/real/notes.txt"]))
    for clips, subject in ((found.training, "001"), (found.development, "003"), (found.test, "009")):
        assert kinds(clips) == {"real": 1, "highdef photo": 1, "mobile video": 1, "print photo": 1}
        assert {clip.subject for clip in clips} == {subject}
    print_only = load("replay-attack", tmp_path, "print").test
    assert kinds(print_only) == {"real": 1, "print photo": 1}


def test_replay_mobile(tmp_path: Path) -> None:
    found = load("replay-mobile", touch(tmp_path, REPLAY_MOBILE))
    assert kinds(found.development) == {"real": 1, "mattescreen photo": 1, "print photo": 1}
    assert kinds(load("replay-mobile", tmp_path, "print").test) == {"real": 1, "print photo": 1}


def test_rose_youtu(tmp_path: Path) -> None:
    found = load("rose-youtu", touch(tmp_path, ROSE))
    assert {clip.subject for clip in found.test} == {"13", "14"}
    assert len({clip.subject for clip in found.development}) == 2
    assert not {clip.subject for clip in found.training} & {clip.subject for clip in found.development}
    assert len(found.training) + len(found.development) + len(found.test) == len(ROSE)
    assert kinds(found.test) == {"real": 2, "paper, still": 2, "video on a Mac screen": 2}


def test_siw_mv2(tmp_path: Path) -> None:
    names = {
        "trainlist_live": [f"Live_{n}" for n in range(1, 7)],
        "trainlist_all": [f"{kind}_{n}" for kind in ("Paper", "Mask_HalfMask") for n in range(1, 6)],
        "testlist_live": ["Live_9"],
        "testlist_all": ["Replay_2"],
    }
    for part, of in names.items():
        touch(tmp_path, (f"{'Live' if 'live' in part else 'Spoof'}/{name}.mov" for name in of))
        touch(tmp_path, [f"protocol_files/{part}.txt"])
        (tmp_path / "protocol_files" / f"{part}.txt").write_text("\n".join(of) + "\n")
    found = load("siw-mv2", tmp_path)
    assert kinds(found.test) == {"real": 1, "Replay": 1}
    assert kinds(found.training + found.development) == {"real": 6, "Paper": 5, "Mask HalfMask": 5}
    assert kinds(found.development)["real"] == 1
    (tmp_path / "Spoof" / "Replay_2.mov").unlink()
    with pytest.raises(InputError, match="names Replay_2, which is not there"):
        load("siw-mv2", tmp_path)


@pytest.mark.parametrize(("protocol", "file"), [("1", "Protocol_1/{}.txt"), ("3.2", "Protocol_3/{}_2.txt")])
def test_oulu_npu(tmp_path: Path, protocol: str, file: str) -> None:
    touch(tmp_path, OULU)
    for part in ("Train", "Dev", "Test"):
        stems = [Path(name).stem for name in OULU if name.startswith(part) and "/1_" in name]
        path = tmp_path / "Protocols" / file.format(part)
        path.parent.mkdir(parents=True, exist_ok=True)
        signs = {"1": "+1", "2": "-1", "3": "-1", "4": "-2", "5": "-2"}
        path.write_text("".join(f"{signs[stem[-1]]},{stem}\n" for stem in stems))
    found = load("oulu-npu", tmp_path, protocol)
    assert {clip.subject for clip in found.test} == {"36"}
    assert kinds(found.training) == dict.fromkeys(
        ("real", "print, printer 1", "print, printer 2", "replay, display 1", "replay, display 2"), 1
    )


@pytest.mark.parametrize("protocol", ["5", "3", "1.2", ""])
def test_no_protocol_of_oulu(tmp_path: Path, protocol: str) -> None:
    with pytest.raises(InputError, match="is none of OULU-NPU"):
        load("oulu-npu", tmp_path, protocol)


def test_folders_without_labels(tmp_path: Path) -> None:
    touch(tmp_path, ["train/real/video1.mov", "holiday.mp4"])
    for name in LAYOUTS:
        with pytest.raises(InputError, match=r"^folder ="):
            load(name, tmp_path)
    with pytest.raises(InputError, match="no such folder"):
        load("replay-attack", tmp_path / "none")
    with pytest.raises(InputError, match="use 'rose-youtu'"):
        load("rose", tmp_path)


def test_one_class_alone(tmp_path: Path) -> None:
    touch(tmp_path, [name for name in REPLAY_ATTACK if "/real/" in name])
    with pytest.raises(InputError, match="the training set has clips of one class"):
        load("replay-attack", tmp_path)
