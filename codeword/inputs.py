"""What users name on the command line becomes networks, accelerators and images."""

from __future__ import annotations

import tomllib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sim.errors import InputError, nearest
from sim.files import DAMAGED
from sim.limits import IMAGES

if TYPE_CHECKING:
    import numpy as np

    from sim.accelerator import Accelerator
    from sim.importers import Imported
    from sim.importers.quantized import QuantizedGraph
    from sim.network import Network
    from sim.shapes import Shape
    from sim.workloads import Workload

EXPORTED = {"resnet20-fashion": "resnet20_fashion"}
"""Networks of integers that ship with the package, by name: their folder in algos/zoo."""

EXTRAS = {
    "torch": "algos",
    "amaranth": "rtl",
    "cocotb": "rtl",
    "cocotb_tools": "rtl",
    "matplotlib": "plot",
    "onnx": "onnx",
    "numba": "sim",
    "vl_convert": "page",
    "polars": "sweep",
    "optuna": "sweep",
    "distributed": "dask",
    "diffusers": "models",
    "transformers": "models",
    "gguf": "models",
    "cv2": "models",
}
"""Packages that may be missing, and the extra that brings each."""


def network(
    name: str,
    machine: Accelerator,
    vector_operators: Sequence[str] = (),
    input_shapes: Mapping[str, Sequence[int]] | None = None,
    values: Mapping[str, int] | None = None,
    report: Callable[[str], None] = lambda _: None,
) -> Network | Workload | list[Shape]:
    """A network of integers (file, shipped or synthetic), or the shapes of a built-in or imported one.

    A quantized .onnx file has integers; where they cannot be layers, its shapes.

    Args:
        machine: a synthetic network has weights in its native format.
        vector_operators: operators of an .onnx file that count as one operation an element.
        input_shapes: sizes of inputs of an .onnx file, by name, in place of its own.
        values: of inputs of one number, and of conditions of Ifs, of an .onnx file, by name.
        report: called with each line about an import: multiply-accumulates and differences.

    Raises:
        InputError: unknown name, unreadable file, or a file type that is not supported.
    """
    from sim import artifact, synthetic
    from sim.workloads import WORKLOADS, spelled, workload

    name = spelled(name, (*EXPORTED, *synthetic.NAMES))
    suffix = Path(name).suffix
    of_onnx = {"--treat-as-vector": vector_operators, "--input-shape": input_shapes, "--value": values}
    for option, given in of_onnx.items():
        if given and suffix != ".onnx":
            raise InputError(
                option, next(iter(given)), f"{name} is no .onnx file", "give one or leave the option out"
            )
    if name in EXPORTED:
        return shipped(name)
    if name in synthetic.NAMES:
        return synthetic.native(name, machine)
    if name in WORKLOADS:
        return workload(name)
    if suffix == ".safetensors":
        return artifact.load(name)
    if (
        suffix == ".onnx"
        and not vector_operators
        and (graph := _graph(name, input_shapes, values)) is not None
    ):
        try:
            return _integers(graph, report)
        except InputError as error:
            report(f"{name}: shapes alone, since its integers are no layers: {error}")
    if suffix in (".onnx", ".csv"):
        found = _imported(name, suffix, vector_operators, input_shapes, values)
        for line in found.summary():
            report(line)
        return found.shapes
    if suffix:
        raise InputError(
            "network",
            name,
            f"{suffix} files cannot be read",
            "give a .safetensors, .onnx or .csv network or a built-in name",
        )
    raise InputError("network", name, "unknown", nearest(name, [*WORKLOADS, *EXPORTED, *synthetic.NAMES]))


def _imported(
    name: str,
    suffix: str,
    vector_operators: Sequence[str],
    input_shapes: Mapping[str, Sequence[int]] | None,
    values: Mapping[str, int] | None,
) -> Imported:
    if suffix == ".csv":
        from sim.importers import scalesim

        return scalesim.read(name)
    with extra():
        from sim.importers import onnx_file

        return onnx_file.read(name, vector_operators, input_shapes, values)


def _graph(
    name: str,
    input_shapes: Mapping[str, Sequence[int]] | None = None,
    values: Mapping[str, int] | None = None,
) -> QuantizedGraph | None:
    """What a quantized .onnx file holds; None if it is a float network."""
    with extra():
        from sim.importers.quantized import onnx_source

        return onnx_source.read(name, input_shapes, values)


def _integers(graph: QuantizedGraph, report: Callable[[str], None]) -> Network:
    """The network of a quantized file; `report` is told how it rounds."""
    from sim.importers.quantized import lower

    found = lower(graph)
    for line in found.summary():
        report(line)
    return found.network


def quantized_onnx(name: str, report: Callable[[str], None] = lambda _: None) -> Network:
    """The integers of an .onnx file.

    Raises:
        InputError: it has none, or they cannot be layers.
    """
    if (graph := _graph(name)) is None:
        problem = "a float network: only its shapes are known, it has no weights of integers"
        fix = "quantize it, with quantize_static of ONNX Runtime, or quantize the module that it came from"
        raise InputError("network", name, problem, fix)
    return _integers(graph, report)


def integer_network(
    name: str, machine: Accelerator, report: Callable[[str], None] = lambda _: None, step: int = 0
) -> Network:
    """A network with tensors; a synthetic one has weights in the machine's native format.

    Args:
        report: called with each line about an import.
        step: of a network file that holds the parameters of several.

    Raises:
        InputError: only shapes are known, or there is no such step.
    """
    from sim import artifact, synthetic
    from sim.network import Network

    if step:
        if Path(name).suffix != ".safetensors":
            raise InputError("--step", step, f"{name} has one step", "give a network file that holds several")
        return artifact.load(name, step)
    if Path(name).suffix == ".onnx":
        return quantized_onnx(name, report)
    found = network(name, machine)
    if not isinstance(found, Network):
        raise InputError(
            "network",
            name,
            "only its shapes are known, it has no weights",
            f"give a .safetensors network, or use {', '.join((*EXPORTED, *synthetic.NAMES))}",
        )
    return found


def time_steps(network: str | Network | Sequence[Network], machine: Accelerator) -> list[Network]:
    """The network of each time step of a file or list of several; one of any other network.

    Raises:
        InputError: as `integer_network`.
    """
    from sim import artifact
    from sim.network import Network

    if isinstance(network, Network):
        return [network]
    if not isinstance(network, str):
        return list(network)
    if Path(network).suffix != ".safetensors":
        return [integer_network(network, machine)]
    return [artifact.load(network, step) for step in range(artifact.step_count(network))]


def chosen_step(steps: Sequence[Network], step: int) -> Network:
    """
    Raises:
        InputError: there is no such step.
    """
    if not 0 <= step < len(steps):
        raise InputError("--step", step, f"the network has {len(steps)}", f"give 0 to {len(steps) - 1}")
    return steps[step]


def shipped(name: str) -> Network:
    """A trained network that ships with the package."""
    from sim import artifact

    return artifact.load(zoo_folder(name) / "network.safetensors")


def zoo_folder(name: str) -> Path:
    """Folder of a shipped network."""
    from importlib.util import find_spec

    spec = find_spec("algos")
    assert spec is not None
    assert spec.submodule_search_locations is not None
    return Path(spec.submodule_search_locations[0]) / "zoo" / EXPORTED[name]


def accelerator(name: str | Accelerator, settings: Sequence[str] = ()) -> Accelerator:
    """A preset or TOML file with single fields replaced by `field=value` settings."""
    from sim import accelerator as accelerators

    overrides = dict(map(_setting, settings))
    if not isinstance(name, str):
        return accelerators.build(name.model_dump() | overrides)
    return accelerators.load(name, overrides)


def _setting(text: str) -> tuple[str, Any]:
    field, equals, value = text.partition("=")
    if not equals:
        raise InputError("--set", text, "has no '='", "write --set field=value")
    try:
        return field.strip(), tomllib.loads(f"value = {value}")["value"]
    except (ValueError, RecursionError):
        return field.strip(), value.strip()


def images(net: Network, source: str | Path | None, count: int, seed: int) -> np.ndarray:
    """Images for a network, int8 [batch, C, H, W].

    Args:
        source: a .npy file of int8 (taken as they are) or float (quantized with the input's scale)
            images, [batch, C, H, W] or one [C, H, W]; None for `count` random ones.

    Raises:
        InputError: an unreadable file or another shape.
    """
    import numpy as np

    shape = tuple(net.input.shape)
    if source is None:
        if not 1 <= count <= IMAGES:
            raise InputError("--images", count, f"must be from 1 to {IMAGES:,}", "give 1 or more")
        return np.random.default_rng(seed).integers(-128, 128, (count, *shape)).astype(np.int8)
    values = _array(Path(source))
    if values.shape[-3:] != shape or values.ndim not in (3, 4):
        raise InputError(
            "--input", list(values.shape), f"the network takes {list(shape)}", "give images [batch, C, H, W]"
        )
    if len(values) == 0:
        raise InputError("--input", str(source), "holds no image", "give 1 or more")
    values = values.reshape(-1, *shape)
    if values.dtype == np.int8:
        return values
    if values.dtype.kind != "f" or not np.isfinite(values).all():
        raise InputError(
            "--input",
            str(values.dtype),
            "must be int8, or float without NaN",
            "quantize the images or give real values",
        )
    with np.errstate(over="ignore"):  # what is beyond all floats is clamped
        return net.input.quantize(values.astype(np.promote_types(values.dtype, np.float32)))


def _array(source: Path) -> np.ndarray:
    """What a .npy file holds.

    Raises:
        InputError: no such file, or another kind of file.
    """
    import numpy as np

    try:
        with source.open("rb") as file:
            if file.read(6) == b"\x93NUMPY":  # `np.load` would open archives too
                file.seek(0)
                values: np.ndarray = np.load(file, allow_pickle=False)
                return values
    except OSError as error:
        raise InputError("--input", str(source), error.strerror or str(error), "give a .npy file") from None
    except DAMAGED as error:
        problem = f"cannot be read: {error}"
        raise InputError("--input", str(source), problem, "write the .npy file again") from None
    raise InputError("--input", str(source), "is no .npy file", "write it with numpy.save")


@contextmanager
def extra() -> Iterator[None]:
    """A missing optional package becomes an error that says what to install."""
    try:
        yield
    except ModuleNotFoundError as error:
        package = (error.name or "").partition(".")[0]
        if package not in EXTRAS:
            raise
        raise InputError(
            "package", package, "is not installed", f"pip install 'codeword[{EXTRAS[package]}]'"
        ) from None
