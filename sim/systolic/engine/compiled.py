"""How Numba compiles the steps of the engine, and keeps the result."""

from __future__ import annotations

from functools import partial
from hashlib import sha256
from importlib.resources import files
from typing import Any

from numba import _dynfunc, njit
from numba.core.codegen import JITCodeLibrary
from numba.core.compiler import CompilerBase, DefaultPassBuilder
from numba.core.compiler_machinery import LoweringPass, register_pass
from numba.core.typed_passes import NativeLowering, NopythonTypeInference

from sim.kept import kept


class _Part(JITCodeLibrary):  # type: ignore[misc]
    """Code of a step, for the function that it is linked into: that is optimized and made for the processor.

    Numba would do both for every step too, and for what steps call once more at each level.
    """

    def _optimize_final_module(self) -> None:
        pass

    def _finalize_final_module(self) -> None:
        self._finalize_dynamic_globals()
        self._finalized = True


@register_pass(mutates_CFG=False, analysis_only=False)
class _Apart(LoweringPass):  # type: ignore[misc]
    """Lowering fills a part; it makes nothing that can be called."""

    _name = "codeword_apart"

    def __init__(self) -> None:
        LoweringPass.__init__(self)

    def run_pass(self, state: Any) -> bool:
        state.library = _Part(state.targetctx.codegen(), state.func_id.func_qualname)
        state.library.enable_object_caching()
        state.flags.no_compile = True
        return True


@register_pass(mutates_CFG=False, analysis_only=False)
class _Known(LoweringPass):  # type: ignore[misc]
    """Callers find the part by what Python would call, whose address is 0."""

    _name = "codeword_known"

    def __init__(self) -> None:
        LoweringPass.__init__(self)

    def run_pass(self, state: Any) -> bool:
        lowered = state["cr"]
        module, name = lowered.fndesc.lookup_module(), lowered.fndesc.qualname
        entry = _dynfunc.make_function(module, name, "", 0, lowered.env, (state.library,))
        state.targetctx.insert_user_function(entry, lowered.fndesc, [state.library])
        state["cr"] = lowered._replace(cfunc=entry)
        return True


class _Parts(CompilerBase):  # type: ignore[misc]
    def define_pipelines(self) -> list[Any]:
        passes = DefaultPassBuilder.define_nopython_pipeline(self.state)
        passes.add_pass_after(_Apart, NopythonTypeInference)
        passes.add_pass_after(_Known, NativeLowering)
        passes.finalize()
        return [passes]


_part = partial(
    njit, error_model="numpy", no_cpython_wrapper=True, no_cfunc_wrapper=True, pipeline_class=_Parts
)
step = _part(forceinline=True, _nrt=False)
"""Part of a cycle. It counts no references to the arrays of a run, which outlive it: with two atomic additions
for each array and call, simulations took 7 times as long. So a step allocates nothing, and copies rows by loops.
LLVM inlines it: inlined by Numba (`inline="always"`), these steps ran forever. Python cannot call it."""

part = _part(forceinline=False, _nrt=True)
"""A function with arrays of its own that only steps call: not inlined, and nothing Python could call."""

whole = kept(forceinline=False, error_model="numpy", _nrt=True)
"""A function with arrays of its own. Numba hands the flags of a caller on to what it compiles for it, so that
without a word a step would forbid them."""


def _digest() -> str:
    """Of all modules of this package, by name and content."""
    modules = sorted((file for file in files(__package__).iterdir() if file.name.endswith(".py")), key=str)
    return sha256(b"".join(file.name.encode() + file.read_bytes() for file in modules)).hexdigest()[:16]


SOURCES = _digest()
"""Numba compiles again what it keeps on disk when the file of the function changes, not when one does that
holds a function it calls. So what is kept and calls into other files takes this as an argument with a default:
the type of an argument left out is its default, and code of other types is not taken up."""
