r"""What a name may hold: of networks, of their layers, of accelerators, of cell libraries.

A name is printed in tables, Verilog comments, Markdown and JSON. It has 1 to 1,000 characters of any script,
brackets and commas too, and none that ends a line, steers a terminal or turns the direction of text. What
becomes part of Verilog, of a FuseSoC core or of a file name is a word of ASCII: letters, digits, `.`, `_`, `-`
and `+`, and the first one is a letter, a digit or `_`.
"""

from __future__ import annotations

import re

from sim.errors import InputError

NAME = re.compile(r"[^\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff]{1,1000}")
WORD = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._+-]{0,99}")


def require_name(field: str, name: object) -> None:
    """Raises InputError where a name is not `NAME`."""
    if not (isinstance(name, str) and NAME.fullmatch(name)):
        raise InputError(
            field,
            name,
            "a name has 1 to 1,000 characters, and none that ends a line or controls a terminal",
            "rename it",
        )


def require_word(field: str, name: str, where: str) -> None:
    """Raises InputError where a name that goes into `where` is not `WORD`."""
    if not WORD.fullmatch(name):
        raise InputError(
            field, name, f"goes into {where}", "use up to 100 letters, digits, '.', '_', '-' or '+' of ASCII"
        )
