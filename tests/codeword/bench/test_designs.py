"""The random designs of the benchmark are what they say."""

from __future__ import annotations

from codeword.bench import designs
from codeword.bench.growth import block
from sim.accelerator import Accelerator


def test_designs_are_the_same_each_time_and_unlike_each_other() -> None:
    found = designs.designs(50)
    assert found == designs.designs(50)
    assert found[:20] == designs.designs(20)
    assert len({machine.model_copy(update={"name": "same"}) for machine in found}) == 50
    differing = {
        field for field in Accelerator.model_fields if len({getattr(machine, field) for machine in found}) > 1
    }
    assert {"rows", "l1_bytes", "l2_bytes", "dram_bits", "dma_bits", "format", "technology"} <= differing


def test_a_block_has_the_products_of_attention() -> None:
    """Width 768, 12 heads of 64: n x n scores a head, and as many products to weigh the values."""
    scores, values = (shape.macs for shape in block(100)[1:3])
    assert scores == values == 12 * 100 * 100 * 64
