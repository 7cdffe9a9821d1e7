"""The page: source, networks, accepted, checked, refused and why."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Collection
from typing import Any

from codeword.reports.imports.published import INSTALL, MACHINE
from codeword.reports.imports.sources import PUBLISHED, SOURCES
from codeword.reports.registry import Task
from codeword.reports.render import markdown
from sim.files import write_whole

_REFUSED = ("refused", "failed", "differs")

_NAMED = 4  # networks of one reason


def run(task: Task) -> None:
    """Writes the page beside the figures."""
    figures = task.figures()
    sources = [source for source in SOURCES if source.name in figures]
    rows = []
    reasons, absent = [], []
    for source in sources:
        networks = figures[source.name]["networks"]
        count = Counter(network["outcome"] for network in networks)
        built = len(networks) - count["absent"]
        taken = count["equal"] + count["unchecked"] + count["differs"]
        share = f" ({taken / built:.0%})" if built else ""
        name = f"{source.name} {figures[source.name]['version']}".strip()
        checked = f"{count['equal']} of {count['equal'] + count['differs']}, by {source.counter}"
        rows.append(
            (
                name,
                source.what,
                str(figures[source.name]["listed"]),
                str(len(networks)),
                str(built),
                f"{taken}{share}",
                checked,
            )
        )
        reasons += [(source.name, *reason) for reason in _reasons(networks, _REFUSED)]
        absent += [(source.name, *reason) for reason in _reasons(networks, ("absent",))]
    columns = ("source", "what", "networks", "tried", "built", "accepted", "MACs equal")
    parts = [
        "# Networks of others",
        _INTRODUCTION,
        markdown.table(columns, rows),
        *_published(figures),
        "## Refused, and why",
        "A network is in the row of its first reason. *failed*: not by a message but by an exception.",
        markdown.table(("source", "networks", "why", "for example"), reasons),
        "## Not built, and why",
        "What the package itself says; a network of one of these rows is in none of the above.",
        markdown.table(("source", "networks", "why", "for example"), absent),
        _QUANTIZED,
    ]
    write_whole(task.out.with_suffix(".md"), "\n\n".join(parts) + "\n")


_INTRODUCTION = f"""Made by `codeword report imports` from the packages named, as far as they are installed: every
network is imported as it comes, with random weights or none (those of *{PUBLISHED}* have their own), and the
multiply-accumulates of its layers are compared with a count by other means. *Networks*: all that the rule names.
*Tried*: of these so far; where they are fewer, the run was interrupted; it goes by a hash of the names, so that they
are a sample by chance. *Built*: what its own package builds and runs on one picture, one row of tokens or one sound;
accepted are so many of these. Each network has a process of its own, 120 seconds of a processor and 12 GiB."""

_PUBLISHED = f"""## Networks in packages

Files with their trained weights, as the packages carry them; of equal files one. Some are one architecture with other
weights: {{works}} different sums of multiply-accumulates are among them. They are read where they lie and never copied.
Accepted are those that `estimate` takes for `{MACHINE}`. Sizes that a file leaves open are what the package's own code
feeds, and an example where that depends on the user's data (`--input-shape`); rates of samples and conditions are given
with `--value`. What multiplies is counted by ONNX Runtime, from the sizes of every operator that it runs; without it,
networks are *unchecked*. To have them, in the work folder:

```
{INSTALL[0]}
{INSTALL[1]}
```"""


def _published(figures: dict[str, Any]) -> list[str]:
    """The packages, with how many networks of each were taken."""
    if PUBLISHED not in figures:
        return []
    found, networks = defaultdict(list), figures[PUBLISHED]["networks"]
    for network in networks:
        found[network["name"].partition(":")[0]].append(network["outcome"])
    rows = [
        (
            package,
            str(len(outcomes)),
            str(sum(o not in _REFUSED for o in outcomes)),
            str(outcomes.count("equal")),
        )
        for package, outcomes in sorted(found.items(), key=lambda item: item[0].lower())
    ]
    works = len({network["macs"] for network in networks if "macs" in network})
    return [
        _PUBLISHED.replace("{works}", str(works)),
        markdown.table(("package", "networks", "accepted", "MACs equal"), rows),
    ]


_QUANTIZED = """## Quantized networks

ONNX files with QuantizeLinear and DequantizeLinear, with QOperator nodes (`quantize_static` of ONNX Runtime writes
both) or with Quant nodes of QONNX and Brevitas keep their integers: `simulate`, `verify` and `estimate` take them
like a .safetensors network. Programs of PT2E go through `algos.frontend.pt2e.import_program`.

`MatMulNBits` of ONNX Runtime between quantized activations gives its levels as they are: of 2 and 4 bits with
scales of blocks as INT2 and INT4 with groups, where the scales of an output are whole multiples of one step; of 2,
4 and 8 bits with one block an output as INT8, zero points included. Other scales, zero points of several blocks and
`g_idx` are refused by name.

* uint8 activations less 128 are int8, exactly. Weights are int8, per tensor or per channel, biases int32. Weights
  whose integers less their zero point go beyond int8 are refused: quantize them symmetrically.
* A convolution, product, mean or residual addition ends in a multiplier of 16 bits and a shift, halves up; the file
  says float32, halves to even. The multiplier is the one with the fewest sums that round to another integer. How many
  they are, of all that can occur, is said layer by layer; they are one step apart, never more.
* `sim.importers.quantized.onnx_source.align(path, output)` moves scales a little, so that nearly none is left. Of a
  ResNet-8 by `quantize_static` ONNX Runtime gives the same ten logits for 59 of 100 random images as it comes, for 95
  aligned; of a MobileNet-like network for 76 and for 100. All others are one step beside, and the largest logit is the
  same for all. What remains is in additions, whose float32 terms ONNX Runtime adds in an order of its own.
* Functions of one tensor, whatever they are made of, are tables of 256 entries and exact. Softmax and layer
  normalization have integer definitions of their own ([network.md](network.md)).
* Gains and offsets of channels are depth-wise 1x1 convolutions; padding on one side makes a kernel larger; orders of
  axes cost nothing as long as each layer finds its channels together.
* Slices, splits and gathered indices in equal steps are copies in memory, quantized constants layers of their own;
  windows of a max pool that hang over the map read its last values again. Several outputs are several tensors, their
  scales by name in `outputs`.
* Logits that the file leaves in float are the last layer's int32 sums; their scale, or a scale for each of them, is
  `output` in the network's metadata.
* What is left in float between two layers is refused; what follows the last integers, such as a softmax, is left to
  the host, and said."""


def _reasons(networks: list[dict[str, Any]], outcomes: Collection[str]) -> list[tuple[str, str, str]]:
    """How many, why, and some names; the most frequent first."""
    found = defaultdict(list)
    for network in networks:
        if network["outcome"] in outcomes:
            why = network.get("why") or "MACs differ"
            mark = "failed: " if network["outcome"] == "failed" else ""
            found[mark + why.replace("|", "/")].append(network["name"])
    ordered = sorted(found.items(), key=lambda item: (-len(item[1]), item[0]))
    return [(str(len(names)), why, ", ".join(names[:_NAMED])) for why, names in ordered]
