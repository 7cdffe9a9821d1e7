"""The page of language models on machines, from the figures."""

from __future__ import annotations

from typing import Any

from codeword.reports.language.measure import PROMPT
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


def run(task: Task) -> None:
    """Writes the page beside the figures."""
    write_whole(task.out.with_suffix(".md"), page(task.figures()))


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
