"""How far long work is, told to whoever listens; who shows it, and how, is no matter of the work.

As with logging, nothing is handed down through the functions between.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TypeVar

Item = TypeVar("Item")

Listener = Callable[[str, int, int], None]
"""Called with what is being done, how many of its steps are done, and of how many: before each step, and when
the work is over, done or not, with as many as there are."""

_LISTENER: ContextVar[Listener] = ContextVar("listener", default=lambda what, done, total: None)


@contextmanager
def heard_by(listener: Listener) -> Iterator[None]:
    """Tells this listener, in place of any other, of the work of this thread."""
    token = _LISTENER.set(listener)
    try:
        yield
    finally:
        _LISTENER.reset(token)


def tell(what: str, done: int, total: int) -> None:
    """One message to the listener, if there is one."""
    _LISTENER.get()(what, done, total)


def steps(items: Iterable[Item], what: str, total: int) -> Iterator[Item]:
    """The items, each of them a step of the work.

    Args:
        total: how many there are.
    """
    try:
        for done, item in enumerate(items):
            tell(what, done, total)
            yield item
    finally:
        tell(what, total, total)


@contextmanager
def step(what: str) -> Iterator[None]:
    """Work in one step, however long."""
    tell(what, 0, 1)
    try:
        yield
    finally:
        tell(what, 1, 1)
