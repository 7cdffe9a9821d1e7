"""Single nodes, run by ONNX's reference implementation."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import onnx
from onnx import helper
from onnx.reference import ReferenceEvaluator


def results(
    node: onnx.NodeProto, inputs: Mapping[str, np.ndarray], opsets: Mapping[str, int]
) -> list[object]:
    """What one node gives for arrays.

    It runs as a model of its own: a bare node the reference takes for one of the newest version.

    Args:
        inputs: by name.
        opsets: versions by domain.

    Raises:
        NotImplementedError, RuntimeError, TypeError, ValueError, KeyError, IndexError: as the reference has it.
    """
    taken = [
        helper.make_tensor_value_info(name, helper.np_dtype_to_tensor_dtype(array.dtype), None)
        for name, array in inputs.items()
    ]
    given = [helper.make_empty_tensor_value_info(name) for name in node.output if name]
    versions = [helper.make_opsetid(domain, version) for domain, version in opsets.items()]
    alone = helper.make_model(helper.make_graph([node], "node", taken, given), opset_imports=versions)
    return list(ReferenceEvaluator(alone).run(None, dict(inputs)))
