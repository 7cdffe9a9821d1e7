"""The sdist holds every tracked file; the wheel made from it every file of the four packages and nothing else."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tarfile
import tomllib
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

import codeword
from codeword import inputs

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
    assert (cited["version"], cited["license"]) == (codeword.__version__, project["license"])
    assert cited["title"].strip('"').lower().startswith(project["name"])


def test_the_wheel_explains_itself(sdist: Path, tmp_path: Path) -> None:
    """The glossary is a link in the repository, and a file of its own in what is made of it."""
    with tarfile.open(sdist) as archive:
        (page,) = [one for one in archive.getmembers() if one.name.endswith("/codeword/glossary.md")]
        read = archive.extractfile(page)
        assert read is not None
        assert read.read() == (ROOT / "docs/glossary.md").read_bytes()
    assert (ROOT / "codeword/glossary.md").is_symlink()


def test_the_container_copies_what_there_is() -> None:
    """The recipe itself needs a machine that runs containers."""
    copied = re.findall(r"^COPY (.*) \S+$", (ROOT / "Containerfile").read_text(), re.M)
    names = [name for line in copied for name in line.split()]
    assert {*PACKAGES, "docs", "pyproject.toml"} <= set(names)
    assert all((ROOT / name).exists() for name in names)


def test_every_package_that_a_message_names_is_in_its_extra() -> None:
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    distributions = {"cv2": "opencv-python-headless"}  # whose names are no part of what is imported
    for package, extra in inputs.EXTRAS.items():
        name = distributions.get(package, package.replace("_tools", "").replace("_", "-"))
        assert any(name in line for line in extras[extra]), package


@pytest.fixture
def release(tmp_path: Path) -> Callable[..., subprocess.CompletedProcess[str]]:
    """The release script in a small repository, with a make of one's own."""
    files = {
        "codeword/__init__.py": '__version__ = "1.2.3"\n',
        "CITATION.cff": "version: 1.2.3\n",
        "CHANGELOG.md": "## [1.2.3] - today\n",
        ".ci/release": (ROOT / ".ci/release").read_text(),
    }
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    who = ("-c", "user.name=x", "-c", "user.email=x@example.org")
    for call in (("init", "-q"), ("add", "."), (*who, "commit", "-qm", "all")):
        subprocess.run(["git", *call], cwd=tmp_path, check=True)

    def run(version: str, make: str = "true") -> subprocess.CompletedProcess[str]:
        names = {"GIT_COMMITTER_NAME": "x", "GIT_COMMITTER_EMAIL": "x@example.org"}
        environment = os.environ | names | {"MAKE": make}
        call = ["bash", ".ci/release", version]
        return subprocess.run(call, cwd=tmp_path, env=environment, capture_output=True, text=True)

    return run


def test_a_release_is_tagged_once_and_only_when_all_is_well(
    release: Callable[..., subprocess.CompletedProcess[str]], tmp_path: Path
) -> None:
    def tags() -> str:
        return subprocess.run(["git", "tag"], cwd=tmp_path, capture_output=True, text=True).stdout

    assert "is not 1.2.4" in release("1.2.4").stderr
    assert "no version" in release("1.2").stderr
    assert release("1.2.3", make="false").returncode
    assert tags() == ""
    assert "Nothing was published" in release("1.2.3").stdout
    assert tags() == "v1.2.3\n"
    assert "tagged already" in release("1.2.3").stderr
    (tmp_path / "new").touch()
    assert "unknown to git" in release("1.2.3").stderr
