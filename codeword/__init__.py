"""Codeword: co-design of compressed networks and the accelerators that run them.

    import codeword
    codeword.estimate("resnet18", "ews-cms-64").cost.tops_per_watt

All are also commands; `codeword VERB --help`.
"""

from __future__ import annotations

from typing import Any

__version__ = "0.1.0"
__all__ = ["compile", "compress", "estimate", "quantize", "simulate", "verify", "verilog"]


def __getattr__(name: str) -> Any:
    """Verbs load on first use: `import codeword` costs nothing."""
    if name in __all__:
        from codeword import api

        return getattr(api, name)
    raise AttributeError(f"module 'codeword' has no attribute {name!r}")
