"""Every report is a folder and an entry, and the committed texts are what the committed figures give."""

from __future__ import annotations

import json
import shutil
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

from codeword import reports
from codeword.reports import registry
from codeword.reports.registry import REPORTS, CheckFailed, Report, Stage, Task, make
from sim.errors import InputError
from tests.codeword.conftest import Command

FOLDERS = {path.parent.name for path in Path(reports.__file__).parent.glob("*/__init__.py")} - {"render"}


def test_folders_and_entries_are_the_same() -> None:
    assert set(REPORTS) == FOLDERS
    for report in REPORTS.values():
        for stage in (*report.stages, *report.others):
            assert find_spec(f"codeword.reports.{report.name}.{stage.name}") is not None


@pytest.mark.parametrize("name", ["comparison", "formats", "imagenet", "imports", "vim", "vq4all", "zoo"])
def test_committed_texts_are_of_the_committed_figures(name: str, tmp_path: Path) -> None:
    kept = REPORTS[name].out
    out = tmp_path / kept.name
    shutil.copy(kept, out)
    make(name, stages=["text"], out=out)
    assert out.with_suffix(".md").read_text() == kept.with_suffix(".md").read_text()
    assert out.read_bytes() == kept.read_bytes()


def test_texts_name_the_command_that_makes_them() -> None:
    for report in REPORTS.values():
        if (text := report.out.with_suffix(".md")).exists():
            assert f"Made by `codeword report {report.name}`" in text.read_text()


@pytest.fixture
def throwaway(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Report:
    """A report as one adds it: a folder, here beside those of the package, and an entry."""
    folder = tmp_path / "package" / "throwaway"
    folder.mkdir(parents=True)
    (folder / "__init__.py").write_text("")
    (folder / "train.py").write_text("def run(task): task.out.write_text('[1]')")
    (folder / "text.py").write_text(
        "from codeword.reports.registry import CheckFailed\n"
        "def run(task):\n"
        "    task.out.with_suffix('.md').write_text(f'{task.figures()} {task.priced} {task.work}')\n"
        "    print('printed')\n"
        "    if task.data: raise CheckFailed('not so')\n"
    )
    monkeypatch.setattr(reports, "__path__", [*reports.__path__, str(folder.parent)])
    report = Report(
        "throwaway",
        "nothing",
        tmp_path / "new" / "a.json",
        (Stage("train", "no time"), Stage("text", "none")),
    )
    monkeypatch.setitem(REPORTS, "throwaway", report)
    yield report
    for name in [name for name in sys.modules if name.startswith("codeword.reports.throwaway")]:
        del sys.modules[name]


def test_a_new_report_is_a_folder_and_an_entry(codeword: Command, throwaway: Report) -> None:
    assert json.loads(codeword("report", "--json").out)["reports"][-1]["stages"]["train"] == "no time"
    result = codeword("report", "throwaway", "--stage", "text")
    assert (result.status, result.err.count("no such file")) == (2, 1)
    result = codeword("report", "throwaway", "--json")
    fields = json.loads(result.out)
    assert (fields["report"], fields["out"]) == ("throwaway", str(throwaway.out))
    assert "printed" in result.err
    text = throwaway.out.with_suffix(".md")
    assert text.read_text() == "[1] True runs/throwaway"
    assert codeword("report", "throwaway", "--stage", "text").status == 0
    assert text.read_text() == "[1] False runs/throwaway"
    assert codeword("report", "throwaway", "--stage", "text", "--work", "here").status == 0
    assert text.read_text() == "[1] True here"
    result = codeword("report", "throwaway", "--data", "there")
    assert (result.status, "not so" in result.err) == (1, True)


def test_a_check_that_fails_is_an_error_of_its_own(throwaway: Report) -> None:
    with pytest.raises(CheckFailed, match="not so"):
        make("throwaway", data=Path("there"))


def test_names(codeword: Command) -> None:
    listed = codeword("report")
    assert listed.status == 0
    assert all(name in listed.out for name in REPORTS)
    with pytest.raises(InputError, match=r"report = 'vin': unknown\. Fix: use 'vim'"):
        registry.named("vin")
    with pytest.raises(InputError, match=r"--stage = 'trian': is none of vim\. Fix: use 'train'"):
        make("vim", stages=["trian"])
    with pytest.raises(InputError, match=r"--out = '.*': no such file"):
        Task(Path("a"), Path("nowhere.json")).figures()
