"""SmolLM2-135M in integers, block after block: a question, and the tokens that answer it, on the engine.

The blocks are networks of their own, so that neither memory nor time grows with their number; what one of them gives in
INT8 is what the next one takes, at the same scale, and keys and values of all tokens lie in the cache at one scale.

Two things keep the scales small. The first token of any window has activations of 25,000 where others have 100 (massive
activations, arXiv 2402.17762): the opening that all conversations share is computed in float, and its keys and values
are constants (IntactKV, arXiv 2403.01241; PrefixQuant, arXiv 2410.05265). And the stream beside the layers is rotated.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from copy import deepcopy
from functools import cache, partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

import codeword
from algos.compensation.rotation import rotate
from algos.data.text import windows
from algos.models.llama import Llama, Shape
from codeword.reports.language import stream
from codeword.reports.registry import Task
from sim.files import write_json
from sim.network import Network
from sim.network import run as run_integers
from sim.steps import steps

MACHINE = "ews-64"
OPENING, QUESTION = "<|im_start|>user\n", "What is the capital of France?"
ASKED = "<|im_end|>\n<|im_start|>assistant\nThe capital of France is"
TOKENS = 2
"""That are decoded behind the prompt; the prompt gives one more."""

CALIBRATION, JUDGED, LENGTH = 32, 8, 12
"""Windows of the text that set scales, and others on which variants are compared; tokens of these."""

Found = dict[str, Any]
Made = tuple[Found, tuple[np.ndarray, ...]]
"""A row, and the arrays that go on from it."""


def run(task: Task) -> None:
    """Rows a block and pass, kept in the work folder, and variants by definition alone."""
    torch.set_num_threads(1)
    task.work.mkdir(parents=True, exist_ok=True)
    model, tokenizer, text = load()
    opening, question, asked = (
        tokenizer(part, add_special_tokens=False).input_ids for part in (OPENING, QUESTION, ASKED)
    )
    compared = []
    for number, (constant, rotated) in enumerate(VARIANTS):
        about: Found = {"opening": constant, "rotated": rotated}
        make = partial(_alone, model, opening, text, constant, rotated)
        compared.append(_kept(task.work / f"variant-{number}", about, make)[0])
    rotate(model)
    prompt = [*opening, *question, *asked]
    calibration = conversations(text, opening, len(question), asked)
    rows = list(passes(model, calibration, prompt, len(opening), task.work))
    given, wanted = answers(model, rows, len(prompt))
    found = {
        "machine": MACHINE,
        "opening": len(opening),
        "prompt": len(prompt),
        "question": QUESTION,
        "answer": tokenizer.decode(given),
        "float_answer": tokenizer.decode(wanted),
        "variants": compared,
        "rows": rows,
    }
    write_json(task.out.with_name("language_values.json"), found)


def load() -> tuple[Llama, Any, Tensor]:
    """SmolLM2-135M as our own model, its tokenizer, and a text in its tokens, int64 [n]."""
    from algos.data import smollm2
    from algos.zoo import llama

    given, tokenizer = smollm2.load()
    config = given.config
    shape = Shape(
        *(config.vocab_size, config.hidden_size, config.num_hidden_layers, config.num_attention_heads),
        *(config.num_key_value_heads, config.intermediate_size, 64),
        config.rope_parameters["rope_theta"],
        config.rms_norm_eps,
    )
    model = Llama(shape)
    model.load_state_dict(given.state_dict(), strict=False)
    model.lm_head.weight = model.model.embed_tokens.weight
    return model.eval(), tokenizer, smollm2.tokens(tokenizer, llama.load_text()["held_out"][:8192]).long()


def conversations(text: Tensor, opening: list[int], question: int, asked: list[int]) -> Tensor:
    """Windows of a text in the form of a question and its answer, int64 [CALIBRATION, tokens]."""
    some = windows(text, question + TOKENS, CALIBRATION)
    first, second = (torch.tensor(part).expand(CALIBRATION, -1) for part in (opening, asked))
    return torch.cat([first, some[:, :question], second, some[:, question:]], 1)


VARIANTS = ((False, False), (False, True), (True, False), (True, True))
"""Whether the opening is constant, and whether the stream is rotated."""


@torch.no_grad()
def variant(plain: Llama, opening: list[int], text: Tensor, constant: bool, rotated: bool) -> Found:
    """By definition alone: errors of the stream behind every block, and how the text fares."""
    some = windows(text, LENGTH, CALIBRATION + JUDGED)
    before = torch.tensor(opening if constant else [], dtype=torch.long)
    tokens, first = torch.cat([before.expand(len(some), -1), some], 1), len(before)
    model = deepcopy(plain)
    if rotated:
        rotate(model)
    seen, wanted = (stream.floats(model, part) for part in tokens.split((CALIBRATION, JUDGED)))
    scales = stream.Scales.found(seen, first)
    kept = stream.Cache.of(wanted, scales, first)
    x, errors = scales.x[0].integers(wanted.x[0][:, first:].numpy()), []
    for number in range(model.shape.blocks):
        _, made = stream.chunk(model, number, scales, seen, first, tokens.shape[1])
        x, *_ = made.results(run_integers(made.network, made.integers(x, kept.rows(number))))
        errors.append(stream.error(scales.x[number + 1].real(x), wanted.x[number + 1][:, first:].numpy()))
    real = torch.from_numpy(scales.x[-1].real(x)).float()
    logits, true = (model.lm_head(model.model.norm(each)) for each in (real, wanted.x[-1][:, first:]))
    after = tokens[CALIBRATION:, first + 1 :, None]
    return {
        "opening": constant,
        "rotated": rotated,
        "largest": float(torch.stack([each[:, first:].abs().max() for each in wanted.x]).max()),
        "errors": errors,
        "equal": float((logits.argmax(-1) == true.argmax(-1)).double().mean()),
        "nats": [-float(z[:, :-1].log_softmax(-1).gather(-1, after).mean()) for z in (logits, true)],
    }


def _alone(*given: Any) -> Made:
    """A variant, from which no array goes on."""
    return variant(*given), ()


@torch.no_grad()
def passes(
    model: Llama, calibration: Tensor, prompt: list[int], opening: int, work: Path, decoded: int = TOKENS
) -> Iterator[Found]:
    """The prompt behind the opening, then each token that the integers choose, through all blocks and the head.

    Args:
        calibration: windows, int64 [n, tokens]; they begin with the opening, too.
        opening: tokens whose keys and values are constants.
        work: folder of what is done.
    """
    seen = stream.floats(model, calibration)
    scales = stream.Scales.found(seen, opening)
    kept = stream.Cache.of(stream.floats(model, torch.tensor([prompt[:opening]])), scales, opening)
    head = cache(lambda: stream.head(model, scales, seen, opening))
    tokens, begin = list(prompt), opening
    for _ in range(decoded + 1):
        true = stream.floats(model, torch.tensor([tokens]))
        x = scales.x[0].integers(true.x[0][:, begin:].numpy())
        for number in steps(range(model.shape.blocks), f"blocks, {len(tokens)} tokens", model.shape.blocks):
            about = {"past": begin, "block": number, "tokens": list(tokens)}
            make = partial(_block, model, number, scales, seen, kept, true, x)
            row, (x, *new) = _kept(work / f"smollm2-{begin}-{number}", about, make)
            kept.add(number, *new)
            yield row
        about = {"past": begin, "block": "head", "tokens": list(tokens)}
        row, _ = _kept(work / f"smollm2-{begin}-head", about, partial(_last, model, head, true, x))
        yield row
        begin = len(tokens)
        tokens.append(row["token"])


def _block(
    model: Llama,
    number: int,
    scales: stream.Scales,
    seen: stream.Floats,
    kept: stream.Cache,
    true: stream.Floats,
    x: np.ndarray,
) -> Made:
    """One block on int8 x [1, tokens, dim]: a row; the stream behind it, keys and values of these tokens.

    Args:
        true: of the whole conversation so far, in float from its beginning.
    """
    past = kept.past(number)
    module, made = stream.chunk(model, number, scales, seen, past, past + x.shape[1])
    row, found = simulated(made.network, made.integers(x, kept.rows(number)))
    y, *_ = results = made.results(found)
    alone = module(stream.rows(*map(stream.tensor, (x, *kept.rows(number)))))[0].numpy()
    real, whole = scales.x[number + 1].real(y), true.x[number + 1][:, past:].numpy()
    return row | {"alone": stream.error(real, alone), "error": stream.error(real, whole)}, results


def _last(model: Llama, head: Callable[[], stream.Made], true: stream.Floats, x: np.ndarray) -> Made:
    """The token that the integers choose behind the last one of x, and the float model's."""
    made = head()
    row, found = simulated(made.network, made.integers(x[:, -1:]))
    given = made.results(found)[0].reshape(-1)
    best = int(model.lm_head(model.model.norm(true.x[-1][:, -1])).argmax())
    row |= {"token": int(given.argmax()), "float_token": best}
    return row | {"better": int((given > given[best]).sum()), "ties": int((given == given.max()).sum())}, ()


def simulated(network: Network, images: np.ndarray) -> tuple[Found, dict[str, np.ndarray]]:
    """A row of one run on the engine, and what every tensor is by definition."""
    found = codeword.simulate(network, MACHINE, images)
    return {
        "layers": len(network.layers),
        "bit_exact": bool(found.to_json()["bit_exact"]),
        "cycles": sum(layer.total_cycles for layer in found.layers),
    }, run_integers(network, images)


def _kept(path: Path, about: Found, make: Callable[[], Made]) -> Made:
    """What was made of the same tokens before, or else is made now."""
    said, arrays = path.with_suffix(".json"), path.with_suffix(".npz")
    if said.exists():
        row: Found = json.loads(said.read_text())
        if all(row[key] == value for key, value in about.items()):
            with np.load(arrays) as file:
                return row, tuple(file[name] for name in file.files)
    begin = time.process_time()
    row, found = make()
    row |= about | {"cpu_seconds": time.process_time() - begin}
    np.savez(arrays, *found)
    write_json(said, row)
    return row, found


@torch.no_grad()
def answers(model: Llama, rows: list[Found], prompt: int) -> tuple[list[int], list[int]]:
    """Tokens that the integers chose, and those that the float model chooses alone."""
    given = [row["token"] for row in rows if row["block"] == "head"]
    tokens = rows[0]["tokens"][:prompt]
    for _ in given:
        tokens = [*tokens, int(model(torch.tensor([tokens]))[0, -1].argmax())]
    return given, tokens[prompt:]
