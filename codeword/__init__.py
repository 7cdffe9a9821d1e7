"""Codeword: co-design of compressed networks and the accelerators that run them.

    import codeword
    found = codeword.estimate("resnet18", "ews-cms-64")
    found.cost.tops_per_watt
    found.save("before.json")  # codeword.load reads it again, .diff compares

All are also commands; `codeword VERB --help`.
"""

from __future__ import annotations

from typing import Any

__version__ = "0.1.0"
__all__ = [
    "compare",
    "compile",
    "compress",
    "diff",
    "doctor",
    "edit",
    "estimate",
    "explain",
    "load",
    "networks",
    "page",
    "presets",
    "quantize",
    "simulate",
    "sweep",
    "synth",
    "trace",
    "verify",
    "verilog",
]


def __getattr__(name: str) -> Any:
    """Verbs load on first use: `import codeword` costs nothing."""
    if name in __all__:
        from codeword import api

        return getattr(api, name)
    raise AttributeError(f"module 'codeword' has no attribute {name!r}")
