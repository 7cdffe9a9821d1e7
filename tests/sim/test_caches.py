"""Caches lie in the user's home, or where that cannot be written, in a temporary folder of the user alone."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from sim import caches

NOWHERE = "/dev/null"
"""Not even root makes a folder in it."""


def test_the_users_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert caches.user("rtl") == tmp_path / "codeword" / "rtl"
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert caches.user("rtl") == tmp_path / ".cache" / "codeword" / "rtl"
    assert caches.user("rtl").is_dir()


@pytest.mark.parametrize("setting", ["HOME", "XDG_CACHE_HOME"])
def test_without_a_home_a_temporary_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, setting: str
) -> None:
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.setenv(setting, NOWHERE)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    assert caches.user("rtl") == tmp_path / f"codeword-{os.getuid()}" / "rtl"
    (tmp_path / f"codeword-{os.getuid()}").chmod(0o777)
    caches._of_this_process.cache_clear()
    own = caches.user("rtl")
    assert own == caches.user("rtl")
    assert own.parent.parent == tmp_path
    assert own.parent.stat().st_mode & 0o777 == 0o700


@pytest.mark.parametrize("attack", ["writable", "link", "file"])
def test_a_temporary_folder_of_others_is_not_taken(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, attack: str
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    folder = tmp_path / f"codeword-{os.getuid()}"
    if attack == "link":
        (tmp_path / "theirs").mkdir()
        folder.symlink_to(tmp_path / "theirs")
    elif attack == "writable":
        folder.mkdir()
        folder.chmod(0o777)
    else:
        folder.touch()
    assert caches.temporary() == ""


def test_a_temporary_folder_is_for_its_user_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    folder = Path(caches.temporary())
    assert folder.parent == tmp_path
    assert folder.stat().st_mode & 0o777 == 0o700
    assert caches.temporary() == str(folder)
