"""Modules by the names that users give on the command line: their own functions, and exported programs."""

from __future__ import annotations

import importlib
import inspect
import logging
import sys
from functools import reduce
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from algos.batches import applied
from sim.errors import InputError, nearest
from sim.quiet import quiet

FORM = "write package.module:function, a function without arguments that returns an nn.Module"


def function(name: str) -> nn.Module:
    """What `package.module:function` returns, or the module itself where it names one; the current folder counts.

    Raises:
        InputError: no such module or function, one that needs arguments or raises, or another result.
    """
    place, _, path = name.partition(":")
    if not all(part.isidentifier() for text in (place, path) for part in text.split(".")):
        raise InputError("model", name, "is no name of a function", FORM)
    owner = _imported(place, name)
    try:
        found: Any = reduce(getattr, path.split("."), owner)
    except AttributeError:
        raise InputError("model", name, f"{place} has no {path}", nearest(path, vars(owner))) from None
    if not isinstance(found, nn.Module):
        found = _called(found, name)
    if not isinstance(found, nn.Module):
        raise InputError("model", name, f"returns {type(found).__name__}, no nn.Module", FORM)
    return found.eval()


def _imported(place: str, name: str) -> Any:
    sys.path.insert(0, str(Path.cwd()))
    try:
        importlib.invalidate_caches()
        return importlib.import_module(place)
    except ModuleNotFoundError as error:
        if error.name and f"{place}.".startswith(f"{error.name}."):
            problem = f"there is no module {error.name}"
            raise InputError(
                "model", name, problem, "install it, or go to the folder that it lies in"
            ) from None
        raise InputError("model", name, f"its module needs {error.name}", "install that") from None
    except (Exception, SystemExit) as error:  # whatever a user's file does
        raise InputError("model", name, f"its module raises {_said(error)}", "repair it") from error
    finally:
        sys.path.remove(str(Path.cwd()))


def _called(found: Any, name: str) -> Any:
    if not callable(found):
        raise InputError("model", name, f"is {type(found).__name__}, no function", FORM)
    try:
        parameters = inspect.signature(found).parameters.values()
    except (TypeError, ValueError):  # of C
        parameters = {}.values()
    needed = [
        one.name
        for one in parameters
        if one.default is one.empty and one.kind not in (one.VAR_POSITIONAL, one.VAR_KEYWORD)
    ]
    if needed:
        fix = "name a function without any, which calls it"
        raise InputError("model", name, f"needs arguments: {', '.join(needed)}", fix)
    try:
        return found()
    except (Exception, SystemExit) as error:  # whatever a user's function does
        raise InputError("model", name, f"raises {_said(error)}", "repair it") from error


def _said(error: BaseException) -> str:
    return f"{type(error).__name__}: {' '.join(str(error).split())[:300]}"


def program(path: str | Path) -> torch.export.ExportedProgram:
    """A `.pt2` file of `torch.export.save`.

    torch unpickles parts of it without restriction (`weights_only=False` in torch.export.pt2_archive): code in the
    file runs.

    Raises:
        InputError: no such file, or another kind of file.
    """
    if not Path(path).is_file():
        raise InputError("model", str(path), "no such file", "give what torch.export.save wrote")
    with quiet(logging.CRITICAL):  # torch logs what is wrong with a file; the error says it
        try:
            import torch.ao.quantization.fx._decomposed  # declares the operators of PT2E

            return torch.export.load(path)
        except Exception as error:  # of many types, of zip, JSON, pickle and C++
            problem = f"cannot be loaded: {_said(error)}"
            raise InputError("model", str(path), problem, "save it again with torch.export.save") from None


def runnable(exported: torch.export.ExportedProgram, path: str | Path) -> nn.Module:
    """A program as a module of a single sample or more.

    Raises:
        InputError: it takes another number of tensors than one, or batches of one size that is not 1.
    """
    nodes = {node.name: node for node in exported.graph.nodes}
    inputs = [nodes[str(name)].meta.get("val") for name in exported.graph_signature.user_inputs]
    if len(inputs) != 1 or not isinstance(inputs[0], torch.Tensor) or not inputs[0].ndim:
        raise InputError("model", str(path), f"takes {len(inputs)} inputs", "export a module of one tensor")
    batch = inputs[0].shape[0]
    if isinstance(batch, int) and batch != 1:
        fix = "export it with a sample of batch 1, or with a batch of any size (torch.export.Dim)"
        raise InputError("model", str(path), f"takes batches of {batch} alone", fix)
    with quiet(logging.CRITICAL):
        module = exported.module()
    for name in ("train", "eval"):  # they would refuse: what was recorded stays in its mode
        vars(module).pop(name, None)
    return module


def output(module: nn.Module, sample: Tensor) -> Any:
    """What a module makes of one sample [...].

    Raises:
        InputError: it does not take it.
    """
    try:
        with torch.no_grad():
            return applied(module.eval(), sample[None])
    except Exception as error:  # of many types
        problem = f"the network does not take samples of this size: {_said(error)}"
        fix = "give other data, --preprocess with another size, or --grey"
        raise InputError("--data", list(sample.shape), problem, fix) from error


def require_classes(found: Any, labels: Tensor) -> None:
    """
    Raises:
        InputError: an output that a cross-entropy with these labels cannot be taken of, or a sample alone.
    """
    if not isinstance(found, Tensor) or found.ndim != 2:
        problem = "the network returns no scores of classes [n, classes] to train on"
        raise InputError(
            "labels", len(labels), problem, "train it in Python, with codeword.compress(loss=...)"
        )
    top = int(labels.max())
    if top >= found.shape[1] or int(labels.min()) < 0:
        raise InputError("labels", top, f"the network has {found.shape[1]} classes", "number them from 0")
    if len(labels) < 2:
        raise InputError("--data", len(labels), "one sample alone trains nothing", "give more")
