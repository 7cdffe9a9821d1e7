"""One thread for PyTorch, here and in child processes: its threads spin where cores are shared."""

from __future__ import annotations

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")
