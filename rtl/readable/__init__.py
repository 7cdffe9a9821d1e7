"""Verilog as people write it, from what Yosys writes: one operator a line, each result a wire without a name.

Expressions move into the place where they are used, and what stays a wire gets a name; widths become explicit.
"""

from rtl.readable.text import NAMELESS, readable

__all__ = ["NAMELESS", "readable"]
