"""ZigZag (github.com/KULeuven-MICAS/zigzag) on a network of ours: time of its mapping search and cost model.

It runs in an environment of its own (`make bench-others`), on the machine and the mapping that it ships as tpu_like.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

from codeword.bench.scale_sim import ROOT, Process, run_apart
from sim.network import Network

PYTHON = ROOT / ".venv-zigzag" / "bin" / "python"

_RUN = """
from pathlib import Path
import zigzag
from zigzag.api import get_hardware_performance_zigzag as run
inputs = Path(zigzag.__path__[0]) / "inputs"
machine, mapping = (str(inputs / kind / "tpu_like.yaml") for kind in ("hardware", "mapping"))
energy, latency, _ = run("network.onnx", machine, mapping, opt="EDP", dump_folder="out", loma_show_progress_bar=False)
print(int(latency))
"""


def zigzag(network: Network) -> Process:
    """One run on one image; cycles of all layers in sum."""
    from codeword.bench.onnx_network import onnx_network

    with tempfile.TemporaryDirectory() as name:
        (Path(name) / "network.onnx").write_bytes(onnx_network(network, images=1).SerializeToString())
        found, printed = run_apart([str(PYTHON), "-c", _RUN], Path(name))
    found.cycles.append(int(printed.split()[-1]))
    return found
