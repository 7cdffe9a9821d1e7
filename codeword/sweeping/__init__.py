"""Many designs on some networks: a space of descriptions, a search of it, and a table that only grows."""

from __future__ import annotations

from codeword.sweeping.run import Sweep, sweep
from codeword.sweeping.space import Space

__all__ = ["Space", "Sweep", "sweep"]
