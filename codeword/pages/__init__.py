"""One HTML file that needs nothing else: a design, several, or a sweep, to look at, to sort and to print."""

from __future__ import annotations

from codeword.pages.write import page

__all__ = ["page"]
