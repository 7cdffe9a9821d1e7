"""Whether a mutant that no test found can be told from the original at all."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

from evidence.mutation.mutants import DESIGN, SELECTOR, SELECTOR_BITS
from evidence.mutation.suite import ports
from rtl import yosys
from rtl.block import Block, module_name

SECONDS = 10


def proven(
    top: Block,
    kind: str,
    number: int,
    view: str | None,
    directory: Path,
    zero: Mapping[str, int] | None = None,
) -> bool:
    """True if original and mutant of `kind` give equal outputs in every cycle, whatever the inputs.

    The logic between registers and placed modules of `kind` may be the same by itself, or with these modules taken
    apart to their memories: ports for tests are tied. If not, ABC looks at `top` from power-up on, unbounded, by
    property-directed reachability.

    Args:
        view: what the contract leaves open: Verilog statements over the ports of `top` that assign `legal`
            (these inputs are allowed now) and may change `seen_NAME`, the part of output NAME that counts.
            `was_NAME` is a port in the cycle before, `fresh` the first cycle, `note` what the statements put
            into `next_note` then (16 bits, 0 at first). Once an input was not legal, anything goes. Empty:
            all inputs, all outputs. None: `top` is too large for this proof.
        zero: by input of `top`, the bits that the contract keeps at 0. They are constants in the proof, which
            makes it easier than `legal` would.
    """
    if any(_same_logic(module_name(kind), number, directory, apart=apart) for apart in (False, True)):
        return True
    if view is None:
        return False
    (directory / "miter.v").write_text(_miter(top, number, view, zero or {}))
    return yosys.prove([DESIGN, "miter.v"], "miter", directory, SECONDS) == "proven"


def _same_logic(module: str, number: int, directory: Path, *, apart: bool) -> bool:
    """With registers and the ports of placed modules as further inputs and outputs; `apart`: without such modules."""
    taken = ("flatten", "memory_collect", f"submod -name memories {module}/t:$mem_v2") if apart else ()
    selected = [f"connect -set {SELECTOR} {SELECTOR_BITS}'d{n}" for n in (0, number)]
    return proven_without_registers(
        [
            f"read_verilog {DESIGN}",
            f"hierarchy -top {module}",
            *("proc", *taken, "opt_clean", "dffunmap"),
            f"expose -evert -evert-dff {module}/c:*",
            f"copy {module} original",
            f"copy {module} changed",
            f"delete -port original/{SELECTOR} changed/{SELECTOR}",
            "cd original",
            selected[0],
            "cd changed",
            selected[1],
            "cd ..",
        ],
        directory,
    )


def proven_without_registers(prepare: Iterable[str], directory: Path) -> bool:
    """Whether `original` and `changed`, which the Yosys commands `prepare` make without registers, are the same."""
    log = yosys.run(
        [
            *prepare,
            "miter -equiv -flatten original changed same",
            "opt -full same",
            f"sat -prove trigger 0 -set-def-inputs -timeout {SECONDS} same",
        ],
        directory,
    )
    return "SAT proof finished - no model found: SUCCESS!" in log


def _miter(top: Block, number: int, view: str, zero: Mapping[str, int]) -> str:
    ins, outs = ports(top)
    placed = {
        side: f"{module_name(top.kind)} {side} (.{SELECTOR}({SELECTOR_BITS}'d{selected}), "
        for side, selected in (("original", 0), ("changed", number))
    }
    return miter(ins, outs, placed, view, top.clocked, zero)


def miter(
    ins: Mapping[str, int],
    outs: Mapping[str, int],
    placed: Mapping[str, str],
    view: str,
    clocked: bool,
    zero: Mapping[str, int] | None = None,
) -> str:
    """Verilog of a module `miter`, which asserts that two modules give what is the same as far as a view sees it.

    Args:
        ins, outs: widths of their ports by name, without clk and rst.
        placed: how the instances `original` and `changed` begin, before their ports.
        view, zero: see `proven`.
    """
    # Names are escaped: some ports are called like keywords.
    zero = zero or {}
    inputs = (
        {"clk": "clk"}
        | ({"rst": "rst"} if clocked else {})
        | {
            name: f"\\{name} & {width}'h{(1 << width) - 1 & ~zero.get(name, 0):x}"
            for name, width in ins.items()
        }
    )
    declared = [
        "input clk",
        *(["input rst"] if clocked else []),
        *(f"input [{width - 1}:0] \\{name} " for name, width in ins.items()),
    ]
    lines = [f"module miter({', '.join(declared)});"]
    for side, begin in placed.items():
        lines += [f"  wire [{width - 1}:0] {side}_{name};" for name, width in outs.items()]
        connections = [f".\\{name} ({value})" for name, value in inputs.items() if clocked or name != "clk"]
        connections += [f".\\{name} ({side}_{name})" for name in outs]
        lines.append(f"  {begin}{', '.join(connections)});")
        lines += [
            f"  wire {side}_legal;",
            *(f"  wire [{width - 1}:0] {side}_seen_{name};" for name, width in outs.items()),
        ]
        seen = [
            *(f".\\{name} ({value})" for name, value in inputs.items()),
            *(f".\\{name} ({side}_{name}), .seen_{name}({side}_seen_{name})" for name in outs),
        ]
        lines.append(f"  view {side}_view ({', '.join(seen)}, .legal({side}_legal));")
    same = " && ".join(f"original_seen_{name} == changed_seen_{name}" for name in outs)
    lines += [
        "  reg allowed = 1;",
        "  always @(posedge clk) allowed <= allowed && original_legal;",
        f"  always @* if (allowed && original_legal) assert ({same});",
        "endmodule",
    ]
    everything = {**({"rst": 1} if clocked else {}), **ins, **outs}
    return "\n".join([*lines, *_view(declared, everything, outs, view)])


def _view(
    declared: list[str], everything: Mapping[str, int], outs: Mapping[str, int], view: str
) -> list[str]:
    """The module around the statements of a view; `everything`: widths of the ports that it remembers."""
    declared = [
        *declared,
        *(f"input [{width - 1}:0] \\{name} " for name, width in outs.items()),
        *(f"output reg [{width - 1}:0] seen_{name}" for name, width in outs.items()),
    ]
    return [
        f"module view({', '.join(declared)}, output reg legal);",
        "  reg fresh = 1;",
        "  always @(posedge clk) fresh <= 0;",
        "  reg [15:0] note = 0, next_note; always @(posedge clk) note <= next_note;",
        *(
            f"  reg [{width - 1}:0] was_{name}; always @(posedge clk) was_{name} <= \\{name} ;"
            for name, width in everything.items()
        ),
        "  always @* begin",
        "    legal = 1; next_note = note;",
        *(f"    seen_{name} = \\{name} ;" for name in outs),
        view,
        "  end",
        "endmodule",
        "",
    ]
