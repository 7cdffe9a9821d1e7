"""The exported Verilog of a whole accelerator is what Yosys wrote, module by module."""

from __future__ import annotations

import pytest

from evidence.formal.readable import equal, pairs, statuses


def test_a_changed_module_is_not_proven() -> None:
    gold, gate = pairs("ews-cms-4")["codeword_watchdog"]
    assert equal(gold, gate) == "proven"
    assert gate.count(" == ") == 1
    assert equal(gold, gate.replace(" == ", " != ")).startswith("ERROR")


@pytest.mark.slow
@pytest.mark.parametrize("preset", ["ews-cms-4", "rom-4", "ssvq-4", "ws-4"])
def test_every_module_is_proven(preset: str) -> None:
    """But for those with large memories, and the storer, whose induction would have to go through one."""
    found = statuses(preset)
    wrong = {module: status for module, status in found.items() if status not in ("proven", "skipped")}
    assert not wrong
    assert sum(status == "proven" for status in found.values()) > 0.8 * len(found)
