"""A second kind of machine: one folder and a line in the registry, and every verb above takes it."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from types import ModuleType
from typing import ClassVar, Literal

import pytest
from pydantic import BaseModel, ConfigDict, Field
from typer.testing import CliRunner

import codeword
from codeword.cli import application
from sim import accelerator, bulk, machine, network
from sim.accelerator.page import page
from sim.cost import Prices
from sim.errors import InputError
from sim.estimate import estimate
from sim.machine import Machine
from sim.network import Network
from sim.results import Counted, LayerCounts, Simulation
from sim.technology import Figure
from sim.workloads import workload


class Abacus(BaseModel):
    """Beads that each multiply and add once a cycle, without any memory."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    kind: Literal["abacus"] = "abacus"
    beads: int = Field(ge=1, description="multipliers")
    clock_hz: float = Field(1e3, gt=0, description="of the hand that moves them")
    technology: str = Field("", description="none: wood")

    @property
    def peak_macs(self) -> int:
        return self.beads


class Wooden(Machine):
    kind = "abacus"
    description = Abacus
    families: ClassVar = {"abacus": lambda rows, columns: {"beads": rows * columns}}
    sizes = (1, 9)
    objectives = ("edp",)

    def count(self, net, accelerator, *, objective="edp", zeros=None, formats=None) -> Counted:
        shapes = net.shapes if isinstance(net, Network) else net
        return Counted(tuple(self._layer(shape, accelerator) for shape in shapes), {})

    def _layer(self, shape, accelerator) -> LayerCounts:
        cycles = {"compute": -(-shape.macs // accelerator.beads), "rest": 1}
        return LayerCounts(shape.name, shape.macs, cycles, {"mac": shape.macs})

    def prices(self, accelerator) -> Prices:
        wood = Figure(2.0, "assumed", "made up for this test")
        return Prices(
            accelerator, {"mac": wood}, {}, {}, {"beads": wood}, Figure(None, "assumed", "no limit")
        )

    def mapping_energies(self, accelerator) -> str:
        return accelerator.technology

    def run(
        self, net, accelerator, images, *, objective="edp", registers=False, arbitrated=False
    ) -> Simulation:
        if registers:
            raise InputError("registers", True, "an abacus has none", "leave the option out")
        tensors = network.run(net, images)
        return Simulation(net, tensors, self.count(net, accelerator).layers, True, 0.0)


@pytest.fixture
def abacus(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """Registered as a user would: a module with `MACHINE`, and a line in KINDS."""
    module = ModuleType("abacus_machine")
    module.MACHINE = Wooden()  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "abacus_machine", module)
    monkeypatch.setitem(machine.KINDS, "abacus", "abacus_machine")
    return "abacus-2x5"


def test_presets_and_descriptions(abacus: str) -> None:
    found = accelerator.load(abacus, {"clock_hz": 2.0})
    assert isinstance(found, Abacus)
    assert (found.beads, found.clock_hz) == (10, 2.0)
    with pytest.raises(InputError, match=r"columns = 10: presets go from 1 to 9"):
        accelerator.preset("abacus-2x10")
    with pytest.raises(InputError, match=r"beads = 0: .* beads is: multipliers"):
        accelerator.load(abacus, {"beads": 0})
    with pytest.raises(InputError, match=r"wires.*no|beads"):
        accelerator.load(abacus, {"wires": 1})
    assert "## Kind `abacus`" in page()
    assert "| `beads` | integer >= 1 |  | multipliers |" in page()


def test_an_estimate_adds_up_what_the_machine_counts(abacus: str) -> None:
    found = codeword.estimate("resnet20", abacus)
    macs = 31_021_952
    layers = len(found.layers)
    assert found.cost.macs == macs
    assert found.cost.cycles == sum(-(-layer.counts.macs // 10) for layer in found.layers) + layers
    assert found.cost.stall_cycles == {"rest": layers}
    assert found.cost.total_pj == 2.0 * macs
    assert found.cost.total_mm2 == 2.0
    assert found.cost.peak_tops == 2 * 10 * 1e3 / 1e12


def test_many_designs_at_once(abacus: str) -> None:
    machines = [accelerator.build({"name": "wood", "kind": "abacus", "beads": beads}) for beads in (2, 7)]
    shapes = workload("resnet20").shapes
    found = bulk.estimates([shapes], machines)
    expected = [estimate(shapes, machine) for machine in machines]
    assert found.columns["cycles"].tolist() == [[one.cost.cycles for one in expected]]
    assert found.columns["energy_pj"].tolist() == [[one.cost.total_pj for one in expected]]


def test_the_command_line_takes_it(abacus: str) -> None:
    def call(*arguments: str) -> str:
        done = CliRunner().invoke(application(arguments), arguments)
        assert done.exit_code == 0, done.output
        return done.stdout

    assert json.loads(call("estimate", "resnet20", "-a", abacus, "--json"))["stall_cycles"]["rest"] > 0
    assert "equals the functional model" in call("simulate", "resnet20-fashion", "-a", abacus)


def test_what_a_kind_lacks_is_refused_by_name(abacus: str) -> None:
    with pytest.raises(InputError, match=r"registers = True: an abacus has none"):
        codeword.simulate("resnet20-fashion", abacus, network_input(), registers=True)
    with pytest.raises(InputError, match=r"kind = 'abacus': no hardware of this kind of machine"):
        codeword.verilog(abacus, "nowhere")


def network_input():
    return codeword.api.inputs.images(codeword.api.inputs.shipped("resnet20-fashion"), None, 1, 0)


def test_the_kind_is_gone_again() -> None:
    assert "abacus" not in machine.KINDS
    with pytest.raises(InputError, match="no such preset"):
        accelerator.preset("abacus-2x5")
    with pytest.raises(InputError, match=r"kind = 'abacus': no such kind of machine"):
        accelerator.build({"name": "x", "kind": "abacus"})
