"""One thread for PyTorch, here and in child processes: its threads spin where cores are shared.

Hypothesis times no example: a busy machine is no defect.
"""

from __future__ import annotations

import os

from hypothesis import settings

os.environ.setdefault("OMP_NUM_THREADS", "1")
settings.register_profile("untimed", deadline=None)
settings.load_profile("untimed")
