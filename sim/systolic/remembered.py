"""What the compiled search has found in this process; here, so that nobody loads Numba to ask or to forget it."""

from __future__ import annotations

import numpy as np

MOST = 1 << 16
searches: dict[bytes, np.ndarray] = {}
"""FOUND [OBJECTIVES] by all that a search depends on: problems, source and energies; MOST of them."""
ready = False
"""Whether the compiled code is loaded, so that a single estimate is quicker with it than without."""
