"""An export's folder: what the export owns is replaced, everything else is the user's."""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path

import pytest

from rtl import owned
from sim.errors import InputError

FIRST = {"a.v": "module a;\n", "b.v": "module b;\n"}
SECOND = {"a.v": "module a; // 2\n", "c.v": "module c;\n"}


def contents(folder: Path) -> dict[str, str]:
    return {path.name: path.read_text() for path in folder.iterdir() if path.name != owned.MANIFEST}


def manifest(folder: Path) -> dict[str, str]:
    found: dict[str, str] = json.loads((folder / owned.MANIFEST).read_text())["files"]
    return found


def test_the_manifest_lists_names_and_hashes(tmp_path: Path) -> None:
    owned.write(tmp_path / "out", FIRST)
    assert contents(tmp_path / "out") == FIRST
    expected = {name: hashlib.sha256(text.encode()).hexdigest() for name, text in FIRST.items()}
    assert manifest(tmp_path / "out") == expected
    assert (tmp_path / "out" / "a.v").stat().st_mode & 0o777 == 0o644


def test_the_next_export_replaces_its_own_files_and_no_others(tmp_path: Path) -> None:
    owned.write(tmp_path, FIRST)
    (tmp_path / "mine.v").write_text("mine")
    (tmp_path / "src").mkdir()
    (tmp_path / "src" / "b.v").write_text("mine too")
    (tmp_path / "b.md").symlink_to("mine.v")
    owned.write(tmp_path, SECOND)
    assert {path.name for path in tmp_path.iterdir()} == {*SECOND, "mine.v", "src", "b.md", owned.MANIFEST}
    assert (tmp_path / "mine.v").read_text() == "mine"
    assert (tmp_path / "src" / "b.v").read_text() == "mine too"
    assert (tmp_path / "a.v").read_text() == SECOND["a.v"]
    assert set(manifest(tmp_path)) == set(SECOND)


def test_an_edited_file_is_refused_by_name_unless_forced(tmp_path: Path) -> None:
    owned.write(tmp_path, FIRST)
    (tmp_path / "a.v").write_text("edited")
    before = {path.name: path.read_text() for path in tmp_path.iterdir()}
    with pytest.raises(InputError, match=r"a\.v': was edited .*--force"):
        owned.write(tmp_path, SECOND)
    assert {path.name: path.read_text() for path in tmp_path.iterdir()} == before
    owned.write(tmp_path, SECOND, force=True)
    assert contents(tmp_path) == SECOND


def test_an_edited_file_that_is_no_longer_exported_stays(tmp_path: Path) -> None:
    owned.write(tmp_path, FIRST)
    (tmp_path / "b.v").write_text("edited")
    owned.write(tmp_path, SECOND)
    assert contents(tmp_path) == SECOND | {"b.v": "edited"}
    assert set(manifest(tmp_path)) == set(SECOND)


def test_a_file_of_the_user_under_a_name_of_ours_is_refused(tmp_path: Path) -> None:
    (tmp_path / "b.v").write_text("mine")
    with pytest.raises(InputError, match=r"b\.v': is no export's"):
        owned.write(tmp_path, FIRST)
    assert contents(tmp_path) == {"b.v": "mine"}
    assert not (tmp_path / owned.MANIFEST).exists()
    (tmp_path / "b.v").write_text(FIRST["b.v"])
    owned.write(tmp_path, FIRST)
    assert contents(tmp_path) == FIRST


@pytest.mark.parametrize("force", [False, True])
@pytest.mark.parametrize("name", ["a.v", owned.MANIFEST])
@pytest.mark.parametrize("dangling", [False, True])
def test_a_link_is_neither_followed_nor_replaced(
    tmp_path: Path, name: str, force: bool, dangling: bool
) -> None:
    outside, folder = tmp_path / "outside", tmp_path / "out"
    folder.mkdir()
    if not dangling:
        outside.write_text('{"files": {}}')
    (folder / name).symlink_to(outside)
    with pytest.raises(InputError, match="directory = "):
        owned.write(folder, FIRST, force=force)
    assert (folder / name).is_symlink()
    assert outside.exists() != dangling
    assert dangling or outside.read_text() == '{"files": {}}'
    assert [path.name for path in folder.iterdir()] == [name]


def test_a_folder_in_the_way_and_a_file_for_a_folder(tmp_path: Path) -> None:
    (tmp_path / "a.v").mkdir()
    with pytest.raises(InputError, match=r"a\.v': is no file"):
        owned.write(tmp_path, FIRST, force=True)
    (tmp_path / "file").write_text("mine")
    with pytest.raises(InputError, match="is no directory"):
        owned.write(tmp_path / "file", FIRST, force=True)
    assert (tmp_path / "file").read_text() == "mine"


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        '{"files": 3}',
        '{"files": {"../x": "0"}}',
        '{"files": {"": "0"}}',
        '{"files": {"a": 1}}',
        '{"staging": ".."}',
        "[" * 100_000,
        "\udcff",
    ],
)
def test_a_manifest_that_no_export_wrote_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / owned.MANIFEST).write_bytes(text.encode(errors="surrogateescape"))
    (tmp_path / "x").write_text("mine")
    with pytest.raises(InputError, match=owned.MANIFEST):
        owned.write(tmp_path / ".", FIRST)
    owned.write(tmp_path, FIRST, force=True)
    assert contents(tmp_path) == FIRST | {"x": "mine"}


@pytest.mark.parametrize("stop", range(6))
def test_an_interrupted_export_is_repeated_without_force(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stop: int
) -> None:
    """Killed before any of its renames: two of manifests and two of files, no file is half written."""
    owned.write(tmp_path, FIRST)
    replace, done = os.replace, []

    def killed(source: object, target: object) -> None:
        if len(done) == stop:
            raise KeyboardInterrupt
        done.append(target)
        replace(source, target)  # type: ignore[arg-type]

    monkeypatch.setattr(os, "replace", killed)
    if stop < 4:
        with pytest.raises(KeyboardInterrupt):
            owned.write(tmp_path, SECOND)
    else:
        owned.write(tmp_path, SECOND)
    monkeypatch.undo()
    for name, text in contents(tmp_path).items():
        assert text in (FIRST.get(name), SECOND.get(name))
    if stop == 0:
        assert contents(tmp_path) == FIRST
    (tmp_path / "mine.v").write_text("mine")
    owned.write(tmp_path, SECOND)
    assert contents(tmp_path) == SECOND | {"mine.v": "mine"}


def test_what_a_killed_process_left_is_cleared(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    owned.write(tmp_path, FIRST)
    monkeypatch.setattr(owned.shutil, "rmtree", lambda *_, **__: None)
    monkeypatch.setattr(owned.os, "replace", _once(os.replace))
    with pytest.raises(KeyboardInterrupt):
        owned.write(tmp_path, SECOND)
    monkeypatch.undo()
    assert any(path.is_dir() for path in tmp_path.iterdir())
    owned.write(tmp_path, SECOND)
    assert contents(tmp_path) == SECOND


def _once(replace):  # type: ignore[no-untyped-def]
    calls = iter([replace])

    def first(source: object, target: object) -> None:
        for call in calls:
            call(source, target)
            return
        raise KeyboardInterrupt

    return first


def test_a_new_folder_is_not_left_behind_by_a_failure(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(owned.tempfile, "mkdtemp", lambda **_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        owned.write(tmp_path / "new", FIRST)
    assert not list(tmp_path.iterdir())
