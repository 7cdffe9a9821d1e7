"""The one table of operators: what each is to the hardware, as shapes and as integers."""

from __future__ import annotations

from algos.frontend.operator import Operator
from algos.frontend.operators.arithmetic import Arithmetic, Where
from algos.frontend.operators.attention import Attention
from algos.frontend.operators.hidden import HIDDEN, Hidden
from algos.frontend.operators.joins import Join, Upsampling
from algos.frontend.operators.movements import Embedding, Gathered, Movement, Padding, Roll, Taken
from algos.frontend.operators.norms import BatchNorm, GroupNorm, MaskedSoftMax, Norm, SoftMax
from algos.frontend.operators.pointwise import Clamp, Lookup, Power, Slopes
from algos.frontend.operators.pooling import Adaptive, Figure, Ranking, Reduction, Window
from algos.frontend.operators.products import (
    AddedProduct,
    Convolution,
    ExpertProduct,
    GroupedProduct,
    Linear,
    MatrixProduct,
    Transposed,
)
from algos.frontend.operators.scan import SelectiveScan
from algos.frontend.operators.views import Flat, Permutation, View

OPERATORS: dict[str, Operator] = {
    f"{operator.namespace}.{name}": operator
    for operator in (
        Convolution(),
        Linear(),
        MatrixProduct(),
        AddedProduct(),
        GroupedProduct(),
        ExpertProduct(),
        Transposed(),
        Attention(),
        Arithmetic(),
        Clamp(),
        Lookup(),
        Power(),
        Slopes(),
        BatchNorm(),
        Norm(),
        GroupNorm(),
        SoftMax(),
        MaskedSoftMax(),
        SelectiveScan(),
        View(),
        Flat(),
        Permutation(),
        Window(),
        Adaptive(),
        Reduction(),
        Figure(),
        Ranking(),
        Join(),
        Padding(),
        Movement(),
        Roll(),
        Taken(),
        Gathered(),
        Embedding(),
        Where(),
        Upsampling(),
    )
    for name in operator.names
} | {f"aten.{name}": Hidden(fix) for name, fix in HIDDEN.items()}
"""By ATen name."""
