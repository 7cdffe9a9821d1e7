"""Clock gates change nothing, and a gate that opens with the clock high is found."""

import pytest

from evidence.formal.gates import GATES, result


@pytest.mark.parametrize(
    "gates",
    [pytest.param(gates, marks=() if gates.fast else pytest.mark.slow, id=gates.name) for gates in GATES],
)
def test_gates_change_nothing(gates):
    assert result(gates).holds
