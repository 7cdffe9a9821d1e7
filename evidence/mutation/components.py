"""The suites of all components: `SUITES` of each file of this folder that has some."""

from __future__ import annotations

from importlib import import_module
from pkgutil import iter_modules

from evidence import mutation
from evidence.mutation.suite import Suite

_FILES = [
    found.name for found in iter_modules(mutation.__path__) if found.name not in ("__main__", "components")
]
SUITES: tuple[Suite, ...] = tuple(
    suite for name in _FILES for suite in getattr(import_module(f"{mutation.__name__}.{name}"), "SUITES", ())
)
