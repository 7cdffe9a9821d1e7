"""The sdist holds every tracked file; the wheel made from it every file of the four packages and nothing else."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import tarfile
import tomllib
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGES = ("sim", "rtl", "algos", "codeword")


def built(kind: str, source: Path, target: Path) -> Path:
    """What the build backend makes of a source tree: an sdist or a wheel."""
    call = f"from setuptools import build_meta; print(build_meta.build_{kind}({str(target)!r}))"
    done = subprocess.run([sys.executable, "-c", call], cwd=source, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return target / done.stdout.splitlines()[-1]


@pytest.fixture(scope="module")
def tracked() -> set[str]:
    """Files of the repository that exist in the working tree."""
    if not (ROOT / ".git").exists():
        pytest.skip("only a Git checkout knows its files")
    listed = subprocess.run(["git", "ls-files"], cwd=ROOT, check=True, capture_output=True, text=True)
    return {name for name in listed.stdout.splitlines() if (ROOT / name).exists()}


@pytest.fixture(scope="module")
def sdist(tracked: set[str], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Made of a copy in which a run of Numba has left its cache."""
    copy = tmp_path_factory.mktemp("copy")
    for name in tracked:
        (copy / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, copy / name)
    traces = copy / "sim" / "__pycache__"
    traces.mkdir()
    (traces / "shapes.py311.nbi").touch()
    return built("sdist", copy, tmp_path_factory.mktemp("sdist"))


def test_sdist_holds_every_tracked_file(sdist: Path, tracked: set[str]) -> None:
    with tarfile.open(sdist) as archive:
        files = {member.name.partition("/")[2] for member in archive.getmembers() if member.isfile()}
    made = {name for name in files if name in ("PKG-INFO", "setup.cfg") or ".egg-info/" in name}
    assert files - made == tracked


def test_wheel_holds_the_packages_and_their_data(sdist: Path, tracked: set[str], tmp_path: Path) -> None:
    with tarfile.open(sdist) as archive:
        archive.extractall(tmp_path, filter="data")
    (source,) = tmp_path.iterdir()
    with zipfile.ZipFile(built("wheel", source, tmp_path)) as archive:
        files = {name for name in archive.namelist() if ".dist-info/" not in name}
    assert files == {name for name in tracked if name.startswith(tuple(f"{name}/" for name in PACKAGES))}
    assert files >= {f"{package}/py.typed" for package in PACKAGES}


def test_citation_names_the_version_and_the_licence() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    cited = dict(re.findall(r"^([\w-]+): (.+)$", (ROOT / "CITATION.cff").read_text(), re.M))
    assert (cited["version"], cited["license"]) == (project["version"], project["license"])
    assert cited["title"].strip('"').lower().startswith(project["name"])
