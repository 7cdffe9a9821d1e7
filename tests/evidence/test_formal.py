"""Proofs, each with false twins that must fail."""

from __future__ import annotations

import re

import pytest

from evidence.formal import prove as formal
from evidence.formal.proofs import PROOFS
from evidence.formal.prove import PROPERTIES, connect, prove
from sim.errors import InputError

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


INSIDE = {proof.properties: proof for proof in SLOW if any("expose" in command for command in proof.prepare)}


@pytest.mark.parametrize("proof", INSIDE.values(), ids=lambda proof: proof.name)
def test_the_registers_that_a_slow_proof_names_are_there(proof):
    connect(proof)


def test_a_register_that_is_not_there_is_an_error(fifo):
    proof, folder = fifo
    rules = folder / "fifo.sv"
    rules.write_text(rules.read_text().replace(".clk(clk)", ".\\head (clk)", 1))
    with pytest.raises(RuntimeError, match="does not have a port named 'head'"):
        connect(proof)


def test_every_name_once():
    names = [proof.name for proof in PROOFS]
    assert len(set(names)) == len(names)


@pytest.mark.parametrize("path", sorted(PROPERTIES.iterdir()), ids=lambda path: path.stem)
def test_a_mistake_bears_the_name_of_its_file(path):
    assert set(re.findall(r"FALSE_\w+", path.read_text())) <= {f"FALSE_{path.stem.upper()}"}


@pytest.fixture
def fifo(tmp_path, monkeypatch):
    """The proof of the FIFO and a folder of its own with its files."""
    proof = next(proof for proof in PROOFS if proof.name == "FIFO")
    for name in (*proof.checkers, proof.properties):
        (tmp_path / f"{name}.sv").write_text((PROPERTIES / f"{name}.sv").read_text())
    monkeypatch.setattr(formal, "PROPERTIES", tmp_path)
    return proof, tmp_path


def test_a_mistake_without_effect_is_named(fifo):
    """Though the other one is refuted."""
    proof, folder = fifo
    with (folder / "fifo.sv").open("a") as file:
        file.write("`ifdef FALSE_FIFO\n`endif\n")
    result = prove(proof)
    assert result.twin == "FALSE_FIFO proven"
    assert not result.holds


def test_a_proof_without_a_mistake_is_an_error(fifo):
    proof, folder = fifo
    rules = folder / "queue_rules.sv"
    rules.write_text(rules.read_text().replace("FALSE_QUEUE_RULES", "OTHER"))
    with pytest.raises(InputError, match="no false twin"):
        prove(proof)
