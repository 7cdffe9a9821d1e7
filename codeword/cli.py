"""The command line: parses, calls `codeword.api`, prints.

Exit status: 0 done, 1 a check failed, 2 bad input.
"""

from __future__ import annotations

import errno
import sys
from collections.abc import Sequence
from contextlib import redirect_stdout
from io import TextIOWrapper
from pathlib import Path
from typing import Annotated, NoReturn

import typer

import codeword
from codeword import about_verbs, answers, api, compare_verbs, inputs, method_options, outputs, progress
from codeword.compile_verb import compile_
from codeword.edit_verb import edit
from codeword.model_verbs import compress, quantize
from codeword.options import (
    MOST,
    AcceleratorName,
    Dram,
    L2HoldsAll,
    NetworkName,
    Objective,
    Settings,
    TechnologyName,
    input_shape,
    shares,
    value,
)
from codeword.page_verb import page
from codeword.printing import FIGURES, printed
from codeword.sweep_verb import sweep
from codeword.tables import Answer
from codeword.trace_verb import Window, cycles, trace
from sim.errors import InputError
from sim.saved import document


def main() -> None:
    """Entry point of the `codeword` command; what goes wrong in files and memory is told here and nowhere else."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):  # names of any script, on a terminal of any encoding
            stream.reconfigure(errors="backslashreplace")
    try:
        with progress.shown():
            _run(application(sys.argv[1:]))
    except InputError as error:
        _refuse(str(error))
    except OSError as error:
        _refuse(_of_files(error))
    except MemoryError as error:
        said = f" ({error})" if str(error) else ""
        _refuse(f"out of memory{said}. Fix: give a smaller network, fewer images, or more memory.")
    except RecursionError:
        _refuse("the input is nested too deeply. Fix: give a plainer file.")


def _run(app: typer.Typer) -> None:
    """What is printed is written out here, where a full disk can still be told of."""
    try:
        app()
    finally:
        sys.stdout.flush()


def _of_files(error: OSError) -> str:
    what = f"{error.strerror or error}" + (f": {error.filename!r}" if error.filename else "")
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return f"{what}. Fix: make room, or write elsewhere; what was there before is as it was."
    return f"{what}. Fix: give files and folders that can be read and written."


def _refuse(message: str) -> NoReturn:
    """Exit status 2 and one line, whatever the message quotes."""
    line = "; ".join(part.strip() for part in message.splitlines())
    print("codeword: " + "".join(c if c.isprintable() else repr(c)[1:-1] for c in line), file=sys.stderr)
    sys.exit(2)


def application(arguments: Sequence[str]) -> typer.Typer:
    """The command.

    Args:
        arguments: name the verb and for `compress` the method, whose configuration becomes its options.
    """
    app = typer.Typer(no_args_is_help=True, pretty_exceptions_enable=False)
    app.callback()(_root)
    called = arguments[:1] == ["compress"]
    verb = method_options.fitted(compress, arguments) if called else method_options.bare(compress)
    app.command("compress", epilog=_methods(arguments) if called else None)(printed(verb))
    for verb in (
        quantize,
        edit,
        estimate,
        simulate,
        verilog,
        compile_,
        synth,
        verify,
        trace,
        *LOOKING,
        sweep,
        page,
        report,
    ):
        app.command(verb.__name__.removesuffix("_"))(printed(verb))
    return app


LOOKING = (
    compare_verbs.compare,
    compare_verbs.diff,
    about_verbs.presets,
    about_verbs.networks,
    about_verbs.explain,
    about_verbs.doctor,
)


def _version(asked: bool) -> None:
    if asked:
        print(f"codeword {codeword.__version__}")
        raise typer.Exit


def _root(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="print the version")
    ] = False,
) -> None:
    """Co-design of compressed networks and the accelerators that run them."""


def _methods(arguments: Sequence[str]) -> str | None:
    """What the help of `compress` says of every method, where none is named."""
    if "--help" not in arguments or any(word.startswith("--method") for word in arguments):
        return None
    from algos.methods import registry

    return method_options.listing(registry.METHODS)


def estimate(
    network: NetworkName,
    accelerator: AcceleratorName,
    settings: Settings = [],  # noqa: B006
    technology: TechnologyName = None,
    dram: Dram = None,
    objective: Objective = "edp",
    vector_operators: Annotated[
        list[str],
        typer.Option(
            "--treat-as-vector",
            metavar="OP",
            help="count an unknown operator of an .onnx file as one "
            "operation an element on the vector unit; repeatable",
        ),
    ] = [],  # noqa: B006
    input_shapes: Annotated[
        list[str],
        typer.Option(
            "--input-shape",
            metavar="NAME=N,C,H,W",
            help="size of an input of an .onnx file, where the file leaves it open; repeatable",
        ),
    ] = [],  # noqa: B006
    values: Annotated[
        list[str],
        typer.Option(
            "--value",
            metavar="NAME=N",
            help="an input of one number, or the condition of an If, of an .onnx file, "
            "where layers depend on it; repeatable",
        ),
    ] = [],  # noqa: B006
    zeros: Annotated[
        str | None,
        typer.Option(metavar="A,W", help="shares of zero activations and weights, for the expected gating"),
    ] = None,
    whole: bool = False,
) -> Answer:
    """Cycles, energy, area and TOPS/W from the closed form."""
    found = api.estimate(
        network,
        accelerator,
        objective=objective,
        settings=settings,
        technology=technology,
        dram=dram,
        vector_operators=vector_operators,
        input_shapes=dict(map(input_shape, input_shapes)),
        values=dict(map(value, values)),
        report=lambda line: print(line, file=sys.stderr),
        zeros=None if zeros is None else shares(zeros),
    )
    return answers.estimate(found, whole)


def simulate(
    network: NetworkName,
    accelerator: AcceleratorName,
    settings: Settings = [],  # noqa: B006
    objective: Objective = "edp",
    source: Annotated[
        Path | None, typer.Option("--input", help=".npy images, int8 or float [batch, C, H, W]")
    ] = None,
    count: Annotated[int, typer.Option("--images", help="how many random ones, without --input")] = 1,
    seed: Annotated[int, typer.Option(min=0, max=MOST, help="of the random images")] = 0,
    step: Annotated[
        int, typer.Option(min=0, help="time step of a network file that holds several, the first is 0")
    ] = 0,
    others: Annotated[
        list[Path], typer.Option("--output", "-o", help=f"write the network's outputs as .npy; {FIGURES}")
    ] = [],  # noqa: B006
    registers: Annotated[
        bool, typer.Option("--registers", help="clock every register of the array; same counts, more slowly")
    ] = False,
    arbitrated: Annotated[
        bool,
        typer.Option("--arbitrated", help="an L1 whose banks all clients share, instead of a group for each"),
    ] = False,
    whole: bool = False,
) -> Answer:
    """Run images through the cycle engine and compare every tensor with the functional model."""
    values = outputs.one(others)
    if values is not None:
        outputs.file(values, ["", ".npy"])
    machine = inputs.accelerator(accelerator, settings)
    net = inputs.integer_network(network, machine, lambda line: print(line, file=sys.stderr), step)
    images = inputs.images(net, source, count, seed)
    run = api.simulate(net, machine, images, objective=objective, registers=registers, arbitrated=arbitrated)
    if values is not None:
        outputs.save_array(values, run.outputs)
    return answers.simulate(run, whole)


def verilog(
    accelerator: AcceleratorName,
    directory: Annotated[Path, typer.Option("--output", "-o", help="directory to write")],
    network: Annotated[
        str | None, typer.Option(help="network whose universal codebook goes into the ROM of a rom machine")
    ] = None,
    settings: Settings = [],  # noqa: B006
    force: Annotated[
        bool, typer.Option("--force", help="replace files of the export that were edited since the last one")
    ] = False,
) -> Answer:
    """Write the accelerator's Verilog, one file a module, with registers, FuseSoC core and lint waivers."""
    outputs.folder(directory)
    files = api.verilog(accelerator, directory, network=network, settings=settings, force=force)
    fields = document("verilog", {"directory": str(directory), "files": [file.name for file in files]})
    return Answer(fields, notes=[f"{len(files)} modules, top {files[0].name}, in {directory}"])


def synth(
    accelerator: AcceleratorName,
    liberty: Annotated[
        list[str],
        typer.Option(
            "--liberty",
            metavar="PATH",
            help="cell library, .lib or .lib.gz, or a folder with the files of one; "
            "repeatable to compare libraries",
        ),
    ],
    settings: Settings = [],  # noqa: B006
    component: Annotated[
        str | None, typer.Option(metavar="KIND", help="synthesize one kind of component, such as sparse_pe")
    ] = None,
    others: Annotated[
        list[Path],
        typer.Option("--output", "-o", help=f"directory to write the netlists to, LIBRARY.v; {FIGURES}"),
    ] = [],  # noqa: B006
) -> Answer:
    """Map the accelerator's Verilog onto a cell library: cells, area and longest path by component."""
    found = api.synth(
        accelerator, liberty, component=component, settings=settings, netlists=outputs.one(others)
    )
    return answers.synthesis(found)


def verify(
    accelerator: AcceleratorName,
    settings: Settings = [],  # noqa: B006
    network: Annotated[
        str | None, typer.Option(help="run this network from input to output; without it random small ones")
    ] = None,
    layer: Annotated[str, typer.Option(help="run one convolution of the network alone")] = "",
    simulator: Annotated[str, typer.Option(help="icarus, verilator, cxxrtl or auto")] = "auto",
    seed: Annotated[int, typer.Option(min=0, max=MOST, help="of the random network, image and stalls")] = 0,
    networks: Annotated[
        int | None,
        typer.Option(
            min=1,
            max=10_000,
            help="how many random ones, by default enough; from two on also starts that must fail, "
            "errors of memory, and every register",
        ),
    ] = None,
    rtl: Annotated[
        Path | None,
        typer.Option(
            help="check this folder of `codeword verilog`, edited or not, instead of a fresh export"
        ),
    ] = None,
    stalls: Annotated[
        bool,
        typer.Option(
            "--stalls", help="the bus waits in a quarter of the cycles; compares values, not cycles"
        ),
    ] = False,
    l2_holds_all: L2HoldsAll = False,
    waves: Annotated[
        Path | None,
        typer.Option(
            help="file (.fst, .vcd) for the signals of the Verilog around the first difference; those of the engine "
            "go to NAME.engine.vcd beside it"
        ),
    ] = None,
    window: Window = None,
    steps: Annotated[
        list[int],
        typer.Option(
            "--step", help="of a network file of several; repeat it: one after the other on one memory image"
        ),
    ] = [],  # noqa: B006
    whole: bool = False,
) -> Answer:
    """Run a network on the Verilog and on the cycle engine; compare every word, cycle and counter."""
    found = api.verify(
        accelerator,
        network=network,
        layer=layer,
        simulator=simulator,
        seed=seed,
        networks=networks,
        rtl_dir=rtl,
        stalls=stalls,
        l2_holds_all=l2_holds_all,
        waves=waves,
        window=cycles(window),
        settings=settings,
        steps=steps,
    )
    return answers.verify(found, whole)


def report(
    name: Annotated[
        str, typer.Argument(metavar="[NAME]", help="of the report; without it they are listed")
    ] = "",
    stages: Annotated[
        list[str], typer.Option("--stage", help="run this stage alone, such as train or text; repeatable")
    ] = [],  # noqa: B006
    work: Annotated[
        Path | None, typer.Option(help="folder of checkpoints and networks, from which a training goes on")
    ] = None,
    out: Annotated[
        Path | None, typer.Option(help="file of the figures; text and picture are written beside it")
    ] = None,
    data: Annotated[
        Path | None, typer.Option(help="folder of the Fashion-MNIST IDX files; by default Debian's")
    ] = None,
    images: Annotated[
        int | None, typer.Option(help="of the test set at most, where a report takes fewer")
    ] = None,
) -> Answer:
    """Make one of the reports in reports/ anew."""
    from codeword.reports import registry

    if not name:
        return answers.reports(registry.REPORTS.values())
    with inputs.extra(), redirect_stdout(sys.stderr):
        try:
            made = registry.make(name, stages=stages, work=work, out=out, data=data, images=images)
        except registry.CheckFailed as failed:
            print(f"codeword: {failed}", file=sys.stderr)
            raise typer.Exit(1) from None
    return Answer(document("report", {"report": name, "out": str(made)}), notes=[f"{name}: {made}"])
