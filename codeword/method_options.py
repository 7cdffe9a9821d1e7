"""Options of `codeword compress`, read from the configuration of the method that the arguments name."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields
from types import NoneType
from typing import TYPE_CHECKING, Annotated, Any, get_args, get_origin, get_type_hints

import typer

from codeword import inputs
from codeword.tables import Answer
from sim.errors import InputError

if TYPE_CHECKING:
    from algos.methods.method import Method

DEFAULT = "mvq"


def fitted(verb: Callable[..., Answer], arguments: Sequence[str]) -> Callable[..., Answer]:
    """The verb with an option for each described field of the method's configuration, None where not given.

    Args:
        verb: takes them as `**options`.
        arguments: of the command line, which name the method with `--method`.

    Raises:
        InputError: no such method, or an option that other methods have and this one has not.
    """
    with inputs.extra():
        from algos.methods import registry

        method = registry.named(_value(arguments, "--method") or DEFAULT)
    own = {flag(name) for name in _described(method)}
    for other in registry.METHODS.values():
        for option in map(flag, _described(other)):
            if option not in own and (value := _value(arguments, option)) is not None:
                raise InputError(
                    option,
                    value,
                    f"is no option of {method.name}",
                    f"{method.name} has {', '.join(sorted(own))}",
                )
    kinds = get_type_hints(type(method.defaults))
    return bare(verb, {name: _option(method, name, kinds[name]) for name in _described(method)})


def bare(verb: Callable[..., Answer], own: Mapping[str, Any] = {}) -> Callable[..., Answer]:
    """The verb with these options, annotations by name, in place of its `**options`.

    Typer reads signature and annotations, so these are all that has to be made.
    """
    signature = inspect.signature(verb, eval_str=True)
    parameters = [one for one in signature.parameters.values() if one.kind is not one.VAR_KEYWORD]
    parameters += [
        inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=option)
        for name, option in own.items()
    ]

    def command(**given: Any) -> Answer:
        return verb(**given)

    command.__doc__, command.__name__ = verb.__doc__, verb.__name__
    command.__signature__ = signature.replace(parameters=parameters)  # type: ignore[attr-defined]
    command.__annotations__ = {one.name: one.annotation for one in parameters}
    return command


def flag(name: str) -> str:
    """-k, --cross-layer."""
    return f"-{name}" if len(name) == 1 else f"--{name.replace('_', '-')}"


def values(name: str, given: Mapping[str, Any]) -> dict[str, Any]:
    """The options of a method that were given, pairs such as 4:16 parsed."""
    from algos.methods import registry

    method = registry.named(name)
    kinds = get_type_hints(type(method.defaults))
    return {
        name: _pair(name, value, kinds[name]) if get_origin(kinds[name]) is tuple else value
        for name, value in given.items()
        if value is not None
    }


def listing(methods: Mapping[str, Method[Any]]) -> str:
    """Every method and its options with their defaults, a paragraph each."""

    def defaults(method: Method[Any]) -> str:
        values = ((name, getattr(method.defaults, name)) for name in _described(method))
        return ", ".join(
            flag(name) + ("" if value is None else f" {_shown(value)}") for name, value in values
        )

    return "\n\n".join(f"{name}: {method.about}. {defaults(method)}" for name, method in methods.items())


def _described(method: Method[Any]) -> dict[str, str]:
    """Fields that have words for the command line; what methods share comes last."""
    found = [one for one in fields(method.defaults) if "help" in one.metadata]
    return {one.name: one.metadata["help"] for one in sorted(found, key=lambda one: one.kw_only is True)}


def _option(method: Method[Any], name: str, kind: Any) -> Any:
    """A field as Typer declares an option."""
    words, kind = _described(method)[name], _without_none(kind)
    if (default := getattr(method.defaults, name)) is not None:
        words += f"; by default {_shown(default)}"
    declared = flag(name)
    if kind is bool:
        declared += f"/--no-{declared.removeprefix('--')}"
    option = typer.Option(
        declared,
        help=words,
        metavar=_form(kind)[0] if get_origin(kind) is tuple else None,
        rich_help_panel=f"Options of {method.name}",
    )
    return Annotated[(kind if kind in (int, float, bool) else str) | None, option]


def _without_none(kind: Any) -> Any:
    """float of float | None."""
    parts = get_args(kind)
    return next(part for part in parts if part is not NoneType) if NoneType in parts else kind


def _form(kind: Any) -> tuple[str, str, str]:
    """Of a pair of numbers: how one writes it, the separator, an example."""
    return ("N:M", ":", "4:16") if get_args(kind)[0] is int else ("A,B", ",", "0.5,0.9")


def _shown(default: Any) -> str:
    if isinstance(default, bool):
        return "yes" if default else "no"
    if isinstance(default, tuple):
        return _form(tuple[type(default[0]), ...])[1].join(map(str, default))  # type: ignore[misc]
    return str(default)


def _pair(name: str, text: str, kind: Any) -> tuple[Any, Any]:
    form, separator, example = _form(kind)
    try:
        first, second = map(get_args(kind)[0], text.split(separator))
    except ValueError:
        raise InputError(flag(name), text, f"is not {form}", f"write for example {example}") from None
    return first, second


def _value(arguments: Sequence[str], option: str) -> str | None:
    """What stands for an option in the arguments; "" where nothing follows it."""
    for place, word in enumerate(arguments):
        if word == option:
            return next(iter(arguments[place + 1 : place + 2]), "")
        if word.startswith(f"{option}="):
            return word.partition("=")[2]
    return None
