"""Proofs, each with a false twin that must fail."""

from __future__ import annotations

import pytest

from rtl.formal.proofs import PROOFS
from rtl.formal.prove import prove

SLOW = [proof for proof in PROOFS if not proof.fast]
FAST = [proof for proof in PROOFS if proof.fast]


@pytest.mark.parametrize("proof", FAST, ids=lambda proof: proof.name)
def test_proof(proof):
    result = prove(proof)
    assert result.holds, result


@pytest.mark.slow
@pytest.mark.parametrize("proof", SLOW, ids=lambda proof: proof.name)
def test_slow_proof(proof):
    result = prove(proof)
    assert result.holds, result


def test_every_name_once():
    names = [proof.name for proof in PROOFS]
    assert len(set(names)) == len(names)
