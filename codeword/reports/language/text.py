"""The page of language models on machines, from the figures."""

from __future__ import annotations

import json
from typing import Any

from codeword.reports.language.measure import PROMPT
from codeword.reports.language.values import ASKED, CALIBRATION, JUDGED, LENGTH
from codeword.reports.registry import Task
from codeword.reports.render.markdown import table
from sim.files import write_whole
from sim.workloads.transformer import LANGUAGE_MODELS

_WORDS = """# Language models on the machines

Made by `codeword report language`. Shapes of `docs/workloads.md`, batches and contexts as said, *counted* by the closed
form on 64x64 arrays at 300 MHz with MVQ's 40 nm energies, {dram} of its published peak rate, and a weight port of 512
bits. INT8 activations, keys and values, vector work included. No accuracy stands behind it: INT8 weights, levels of 4
and 2 bits with scales of 64 inputs, plain VQ and MVQ at the sizes of the machines' own codebooks; the first layer and
the head stay in INT8. Embeddings are looked up by the host. Of a token all weights come from off chip, and all keys and
values too: what the closed form leaves of them in L2, layer by layer, is added at the memory's peak rate. The full
matrix of scores is computed for a prompt, though a causal mask hides half of it.

The loader writes a row of 64 weights a cycle at most, whatever they take in memory: {bound}. That is why fewer bits
save energy and traffic here, and hardly time; a larger batch saves all three, until keys and values weigh more than
weights.

## Prompts of {prompt} tokens

{prompts}

## Tokens

Energy and traffic a token, the memory's energy included.

{tokens}
"""


_VALUES = """
## SmolLM2-135M with values

`codeword report language --stage values`, resumable. The weights of SmolLM2-135M-Instruct come rounded to 4 bits in
their package; here they are INT8, an output channel a scale, as activations, keys and values are, a tensor a scale.
All {blocks} blocks and the head ran on the cycle engine (`{machine}`) on the prompt's {asked} tokens behind an
opening of {opening}, and then on each token that the integers had chosen, keys and values in a cache: {runs}
networks, **{exact} bit-exact** (every tensor of the engine equal to the functional model), {cycles:,} cycles.

Asked "{question}", with the answer begun "{begun}", the integers go on with
`{answer}`, the float model with `{float_answer}`: {same}.

| block | {passes} |
| --- | {rules} |
{rows}

Errors: norm of the difference over the norm of the stream in float. First of this block alone, on the integers that
it was given; then of all blocks so far, against the float model from the tokens on.
"""

_CAUSE = """
**What the scales ask for.** The first token of a window has values of up to {largest:,.0f} in the stream (one
channel, from block 11 on) where no other token passes {others:,.0f}: massive activations (Sun et al., arXiv
2402.17762), on which attention parks what it has no use for. One INT8 scale for both leaves a step of {step:,.0f},
and nothing of all other tokens: an earlier run of this report had relative errors of 0.43 from block 13 on for that
reason. No observer mends it, since a range that clips the large values takes away what attention parks on. Two things
do, both exact in float: the opening, the same of every conversation (`<|im_start|>user` and its line end), is
computed once in float and only its keys and values are kept, in INT8 (IntactKV, arXiv 2403.01241; PrefixQuant, arXiv
2410.05265); and the stream is rotated (QuaRot), which spreads the outliers that are left over all channels. By
definition, without the engine, on {windows} windows of {length} tokens of Moby Dick, scales from {calibration}
others:

| opening | rotated | largest value | error behind block 13 | behind the last | equal to float | nats | in float |
| --- | --- | --- | --- | --- | --- | --- | --- |
{variants}
"""

_SHORT = """
**Where it falls short.** What is left comes from the perceptron: its product of gate and up projection has outliers
of its own, which no rotation that fuses reaches. Few windows, one prompt.
"""


def run(task: Task) -> None:
    """Writes the page beside the figures, and what was found with values where that is there."""
    beside = task.out.with_name("language_values.json")
    words = valued(json.loads(beside.read_text())) if beside.exists() else ""
    write_whole(task.out.with_suffix(".md"), page(task.figures()) + words)


def valued(found: dict[str, Any]) -> str:
    """The part of the page that is about SmolLM2 on the engine."""
    rows = found["rows"]
    passes = sorted({row["past"] for row in rows})
    by_block = {number: [row for row in rows if row["block"] == number] for number in range(_blocks(rows))}
    same = {True: "the same", False: "not the same"}[found["answer"] == found["float_answer"]]
    words = _VALUES.format(
        **{key: found[key] for key in ("machine", "opening", "question", "answer", "float_answer")},
        blocks=len(by_block),
        asked=found["prompt"] - found["opening"],
        runs=len(rows),
        exact="all" if all(row["bit_exact"] for row in rows) else "NOT ALL",
        cycles=sum(row["cycles"] for row in rows),
        same=same,
        begun=ASKED.splitlines()[-1],
        passes=" | ".join("prompt" if past == passes[0] else f"token {past + 1}" for past in passes),
        rules=" | ".join("---" for _ in passes),
        rows="\n".join(
            " | ".join((f"| {number}", *(f"{row['alone']:.3f}, {row['error']:.3f}" for row in some))) + " |"
            for number, some in by_block.items()
        ),
    )
    return words + _cause(found["variants"]) + _SHORT


def _blocks(rows: list[dict[str, Any]]) -> int:
    return 1 + max(row["block"] for row in rows if row["block"] != "head")


def _cause(variants: list[dict[str, Any]]) -> str:
    """Why the errors are as they are, from the variants."""
    plain, opened = (next(row for row in variants if row["opening"] is way) for way in (False, True))
    return _CAUSE.format(
        largest=plain["largest"],
        others=opened["largest"],
        step=plain["largest"] / 127,
        windows=JUDGED,
        length=LENGTH,
        calibration=CALIBRATION,
        variants="\n".join(map(_variant, variants)),
    )


def _variant(row: dict[str, Any]) -> str:
    words = {True: "constant", False: "as the others"}[row["opening"]], "yes" if row["rotated"] else "no"
    mine, true = row["nats"]
    cells = (
        *words,
        f"{row['largest']:,.0f}",
        *(f"{row['errors'][number]:.2f}" for number in (13, -1)),
        *(f"{row['equal']:.0%}", f"{mine:.2f}", f"{true:.2f}"),
    )
    return f"| {' | '.join(cells)} |"


def page(found: dict[str, Any]) -> str:
    """The report."""
    prompts = [row for row in found["rows"] if row["prompt"]]
    tokens = [row for row in found["rows"] if not row["prompt"]]
    machine = found["machines"]
    bound = "; ".join(f"{model.name} {model.decode(1).macs / 64 / 300e6:.3g} s" for model in LANGUAGE_MODELS)
    return _WORDS.format(
        dram=found["dram"].upper(),
        prompt=PROMPT,
        bound=f"for a token alone {bound}",
        prompts=table(
            ("model", "weights", "machine", "seconds", "tokens/s", "mJ a token", "MB off chip"),
            (
                (
                    *(row["model"], row["weights"], machine[row["weights"]]),
                    *(_number(row["time_s"]), _number(PROMPT / row["time_s"])),
                    _number(1e3 * row["energy_j"] / PROMPT),
                    _number(sum(row["traffic_bytes"].values()) / 1e6),
                )
                for row in prompts
            ),
        ),
        tokens=table(
            (
                *("model", "weights", "context", "batch", "tokens/s", "mJ"),
                *("MB of projections", "head", "keys and values", "maps"),
            ),
            map(_token, tokens),
        ),
    )


def _token(row: dict[str, Any]) -> tuple[str, ...]:
    batch, traffic = row["batch"], row["traffic_bytes"]
    return (
        *(row["model"], row["weights"], f"{row['context']:,}", str(batch)),
        _number(batch / row["time_s"]),
        _number(1e3 * row["energy_j"] / batch),
        *(
            _number(traffic[cause] / batch / 1e6)
            for cause in ("projections", "head", "keys and values", "maps")
        ),
    )


def _number(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"
