"""Other values for the constants of `rtl`, for checks that the real ones would make too large."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from unittest.mock import patch

from sim.errors import InputError


@contextmanager
def constants(values: Mapping[str, int]) -> Iterator[None]:
    """Gives constants of the modules of `rtl` other values for a while, by name, wherever they are used.

    Raises:
        InputError: a name that no loaded module has.
    """
    with ExitStack() as stack:
        for name, value in values.items():
            owners = [
                module
                for title, module in tuple(sys.modules.items())
                if title.startswith("rtl.") and hasattr(module, name)
            ]
            if not owners:
                raise InputError("small", name, "is no constant of a loaded module", "correct the name")
            for module in owners:
                stack.enter_context(patch.object(module, name, value))
        yield
