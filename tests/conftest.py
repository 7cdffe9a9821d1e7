"""One thread for PyTorch, here and in child processes: its threads spin where cores are shared.

Hypothesis times no example: a busy machine is no defect. `make test` draws the same examples every time, so that it
says of a commit what it said before; `make test-all` draws new ones (HYPOTHESIS_PROFILE=drawn).
"""

from __future__ import annotations

import os

from hypothesis import settings

os.environ.setdefault("OMP_NUM_THREADS", "1")
settings.register_profile("fixed", deadline=None, derandomize=True)
settings.register_profile("drawn", deadline=None)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "fixed"))
