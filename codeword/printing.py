"""How verbs print: each returns an `Answer`, and has the options that say in which form it is seen and kept."""

from __future__ import annotations

import inspect
import json
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from codeword import outputs
from codeword.options import SHOWN, Json
from codeword.rendering import FORMS, SUFFIXES, Page, Request
from codeword.tables import Answer
from sim.errors import InputError, nearest
from sim.files import write_whole

FIGURES = f"also write the figures to a file, by its ending {', '.join(SUFFIXES)}; repeatable"

Form = Annotated[
    str,
    typer.Option(
        "--format", metavar="FORM", help=f"{', '.join(FORMS)}; csv is one table", rich_help_panel=SHOWN
    ),
]
Only = Annotated[
    str,
    typer.Option(
        "--only", metavar="NAME", help="only this table, such as sums or layers", rich_help_panel=SHOWN
    ),
]
Whole = Annotated[
    bool,
    typer.Option(
        "--all", help="every row and source; else blocks that repeat stand once", rich_help_panel=SHOWN
    ),
]
Outputs = Annotated[
    list[Path], typer.Option("--output", "-o", metavar="FILE", help=FIGURES, rich_help_panel=SHOWN)
]


def _parameter(name: str, default: Any, annotation: Any) -> inspect.Parameter:
    return inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=annotation)


_OWN = (
    _parameter("form", "", Form),
    _parameter("as_json", False, Json),
    _parameter("only", "", Only),
    _parameter("whole", False, Whole),
)


def printed(verb: Callable[..., Answer]) -> Callable[..., None]:
    """The verb as a command: its answer is printed, and written to the files that `--output` names.

    A verb that has `others` gets the names that are of no figures; one that writes something else with `--output`
    has figures on stdout alone; one that has `whole` is told whether all is to be seen.
    """
    signature = inspect.signature(verb, eval_str=True)
    names = set(signature.parameters)
    own = [
        one.replace(kind=inspect.Parameter.KEYWORD_ONLY)
        for one in signature.parameters.values()
        if one.name != "whole"
    ]
    added = list(_OWN)
    if not any(_writes(one) for one in own):
        added.append(_parameter("output", [], Outputs))

    def command(*, form: str, as_json: bool, only: str, whole: bool, output: Any = (), **given: Any) -> None:
        form, files = _form(form, as_json), output
        if "others" in names:
            files = [path for path in given["others"] if figures(path)]
            given["others"] = [path for path in given["others"] if not figures(path)]
        elif "output" in names:
            given["output"], files = output, ()
        files = [outputs.file(path, list(SUFFIXES)) for path in files]
        if "whole" in names:
            given["whole"] = whole
        answer = verb(**given)
        emit(answer, form, Request(whole, only, Page.of_stdout()), files)
        if not answer.ok:
            raise typer.Exit(1)

    command.__doc__, command.__name__ = verb.__doc__, verb.__name__
    command.__signature__ = signature.replace(parameters=[*own, *added], return_annotation=None)  # type: ignore[attr-defined]
    command.__annotations__ = {one.name: one.annotation for one in (*own, *added)}
    return command


def _writes(parameter: inspect.Parameter) -> bool:
    """Whether it is the option `--output`; Typer keeps the first name of an option as a default."""
    for mark in getattr(parameter.annotation, "__metadata__", ()):
        if "--output" in (getattr(mark, "default", None), *(getattr(mark, "param_decls", None) or ())):
            return True
    return False


def figures(path: Path) -> bool:
    """Whether a name is that of a file of figures."""
    return path.suffix in SUFFIXES


def _form(form: str, as_json: bool) -> str:
    if as_json and form not in ("", "json"):
        raise InputError("--format", form, "--json asks for another", "leave one of the two out")
    if form and form not in FORMS:
        raise InputError("--format", form, "no such form", nearest(form, FORMS))
    return form or ("json" if as_json else "table")


def emit(answer: Answer, form: str, request: Request, files: Sequence[Path] = ()) -> None:
    """Prints, then writes the files: where a disk is full, all has been seen; where nobody reads, they are written."""
    text = FORMS[form](answer, request)
    try:
        print(text, end="", flush=True)
    except BrokenPipeError:  # `| head` has seen enough; Python writes what is left when it ends
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    for path in files:
        written, without_page = SUFFIXES[path.suffix], Request(request.whole, request.only)
        text = FORMS[written](answer, without_page)
        write_whole(path, json.dumps(answer.fields, indent=1) + "\n" if written == "json" else text)
