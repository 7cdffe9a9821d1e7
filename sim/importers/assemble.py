"""Steps in execution order become layer shapes.

Free are views; clamps and factors of a whole tensor, which any requantization contains; a factor or an
offset a channel on a convolution, also after a factor of the whole; and a table directly on a
convolution, which the storer looks up as it writes. An addition rides on the convolution directly before
it. The last three need the convolution's result to be read in this one form only. Any function of one
tensor's elements, however many operators write it, is one table: x * sigmoid(x) as well as GELU spelled
with erf.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import replace

from sim.errors import InputError
from sim.importers.steps import Form, Step
from sim.shapes import ConvShape, PassShape, Shape

_FUNCTIONS = (Form.CLAMP, Form.SCALE, Form.TABLE)


def assemble(steps: Sequence[Step], given: Collection[str], outputs: Collection[str]) -> list[Shape]:
    """Layer shapes in execution order, with `residual`, `chained` and unique names.

    Args:
        given: tensors that come from outside: the network's inputs and constants.
        outputs: tensors read from outside.

    Raises:
        InputError: a tensor is read that neither comes from outside nor from an earlier step.
    """
    written = set(given)
    for step in steps:
        _require_written(step.inputs, written, step.name)
        written.add(step.output)
    _require_written(outputs, written, "output")
    return _Assembly(steps, outputs).shapes


def _require_written(tensors: Collection[str], written: Collection[str], reader: str) -> None:
    """What no multiply-accumulate counts must not get lost either."""
    for tensor in tensors:
        if tensor not in written:
            raise InputError(
                f"tensor {tensor}",
                reader,
                "is read here, but no layer before writes it",
                "report this network: a layer was lost",
            )


class _Assembly:
    def __init__(self, steps: Sequence[Step], outputs: Collection[str]) -> None:
        self.shapes: list[Shape] = []
        self.outputs = set(outputs)
        self.readers: dict[str, list[Step]] = {}
        for step in steps:
            for source in dict.fromkeys(step.inputs):
                self.readers.setdefault(source, []).append(step)
        self.roots = _roots(steps)
        self.forms: dict[str, list[str]] = {}  # of each root, the functions of it that are stored
        for tensor, root in self.roots.items():
            if self._stored(tensor):
                self.forms.setdefault(root, []).append(tensor)
        self.writer: dict[str, int] = {}  # the shape whose result a tensor is or is a view of
        self.pending: set[str] = set()  # tables that only exist inside a larger one
        self.sole: set[str] = set()  # a convolution's result, clamped at most, and its only form
        self.linear: set[str] = set()  # a convolution's result times and plus numbers at most
        self._names: set[str] = set()
        for step in steps:
            self._take(step)

    def _stored(self, tensor: str) -> bool:
        root = self.roots[tensor]
        return tensor in self.outputs or any(
            self.roots[reader.output] != root for reader in self.readers.get(tensor, ())
        )

    def _take(self, step: Step) -> None:
        source, output = step.inputs[0] if step.inputs else "", step.output
        if step.form is Form.VIEW:
            self._alias(output, source)
            self._inherit(output, source, self._only(step, source), linear=True)
        elif self.roots[output] != output:
            self._function(step)
        elif step.form is Form.AFFINE and self._foldable(source) and self._only(step, source):
            self._alias(output, source)
            self._inherit(output, source, True, linear=True)
        elif not (step.form is Form.BINARY and self._ride(step)):
            assert step.shape is not None
            self._emit(step.shape, source, output)

    def _function(self, step: Step) -> None:
        """A clamp, number or table, alone or as the end of a chain."""
        root, output, source = self.roots[step.output], step.output, step.inputs[0]
        inner = [tensor for tensor in step.inputs if tensor in self.pending]
        only = self.forms.get(root) == [output]
        if not inner and step.form in (Form.CLAMP, Form.SCALE):
            self._alias(output, source)
            self._inherit(output, root, only, linear=False)
            if step.form is Form.SCALE and source in self.linear:
                self.linear.add(output)
        elif output not in self.forms.get(root, ()):
            self.pending.add(output)
        elif root in self.sole and only:
            self._alias(output, root)
        else:
            assert isinstance(step.shape, PassShape)
            n = step.shape.results
            self._emit(PassShape(step.name, "table", n, 1, n), root if inner else source, output)

    def _ride(self, step: Step) -> bool:
        """Whether an addition rides on the convolution directly before it."""
        shape, last = step.shape, self.shapes[-1] if self.shapes else None
        assert isinstance(shape, PassShape)
        if shape.kind != "add" or not isinstance(last, ConvShape) or shape.results != last.results:
            return False
        for source in step.inputs:
            if self._written_last(source) and source in self.sole and self._only(step, source):
                self.shapes[-1] = last.with_residual(self._unique(step.name))
                self._alias(step.output, source)
                return True
        return False

    def _emit(self, shape: Shape, source: str, output: str) -> None:
        self.shapes.append(replace(shape, name=self._unique(shape.name), chained=self._written_last(source)))
        self.writer[output] = len(self.shapes) - 1
        if isinstance(shape, ConvShape):
            self.sole.add(output)
            if not shape.dynamic:
                self.linear.add(output)

    def _written_last(self, tensor: str) -> bool:
        return tensor in self.writer and self.writer[tensor] == len(self.shapes) - 1

    def _only(self, step: Step, tensor: str) -> bool:
        return tensor not in self.outputs and self.readers[tensor] == [step]

    def _foldable(self, tensor: str) -> bool:
        """Whether a factor a channel can go into the weights that the tensor comes from."""
        return tensor in self.linear and tensor in self.sole

    def _alias(self, output: str, source: str) -> None:
        if source in self.writer:
            self.writer[output] = self.writer[source]

    def _inherit(self, output: str, source: str, only: bool, *, linear: bool) -> None:
        if only and source in self.sole:
            self.sole.add(output)
            if linear and source in self.linear:
                self.linear.add(output)

    def _unique(self, name: str) -> str:
        found, number = name, 1
        while found in self._names:
            number += 1
            found = f"{name}#{number}"
        self._names.add(found)
        return found


def _roots(steps: Sequence[Step]) -> dict[str, str]:
    """The tensor that each tensor is an element-by-element function of; often itself."""
    roots: dict[str, str] = {}
    for step in steps:
        sources = {roots.setdefault(source, source) for source in step.inputs}
        function = step.form in _FUNCTIONS or (step.form is Form.BINARY and len(sources) == 1)
        roots[step.output] = sources.pop() if function else step.output
    return roots
