"""ViM-VQ and what it is compared with on a Vim that is trained here; resumable.

The Vim is three times as wide as the shipped one, so that codebooks are a small part of what is stored, and has
one block, so that 27 searches of 500 steps take a quarter of an hour of one core and not a night. Each
row runs in a process of its own, so that its peak memory is its own, and is kept in the work folder.
There also lie Vim and DeiT in integers, which `text` runs on a machine before it
writes the report.
"""

from __future__ import annotations

import argparse
import copy
import hashlib
import itertools
import json
import platform
import subprocess
import sys
import time
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import torch
from torch import nn

from algos import reference
from algos.data import fashion_mnist
from algos.data.fashion_mnist import Images
from algos.frontend.export import export
from algos.methods.vim_vq import VARIANTS, Variant, VimVqConfig, calibrate, harden, soften, storage, variant
from algos.models.deit import DeiT
from algos.models.vim import Vim
from algos.training import accuracy, fit, normalize
from algos.weights.soft import SoftAssignment
from algos.zoo.tokens import RECIPE, load_deit, load_vim
from codeword.reports.mvq_accuracy.train import progress
from codeword.reports.registry import Task
from sim import artifact
from sim.files import write_json

SETTINGS = {
    "2 bit": VimVqConfig(k=256, d=4),
    "1 bit": VimVqConfig(k=16, d=4),
    "3 bit": VimVqConfig(k=64, d=2),
}
EXPORTED = "2 bit"
CALIBRATION = 256  # training images
WIDTH, DEPTH = 192, 1
"""Channels of a token, and blocks. At 64 channels, codebooks of 2 bits take 1.2 bits a weight more."""
FLOAT, TRAINED, TESTED = replace(RECIPE, epochs=1), 20_000, 2_000
"""Recipe of the float network, its training images and the test images of all accuracies, the first ones."""
METHODS: tuple[Variant, ...] = ("kmeans", "convex", "vim-vq")
"""The ablation of Table 4; VQ4DiT and DKM, whose steps mix all codewords of each sub-vector, take hours more."""
SEEDS = (0, 1, 2)
"""Of k-means and of the images of a step; the float network is one."""


def float_vim(training: Images, work: Path) -> Vim:
    """The float network of all rows; the first call makes its checkpoint."""
    torch.manual_seed(0)
    model = Vim(WIDTH, DEPTH)
    fit(model, training.first(TRAINED), FLOAT, work / "float.pt", progress("float"))
    return model


def _images(data: Path | None) -> tuple[Images, Images]:
    """All of the training, and the test images that are used."""
    training, test = fashion_mnist.load(data)
    return training, test.first(TESTED)


def configured(setting: str, method: Variant, seed: int) -> VimVqConfig:
    """Of a row."""
    return replace(variant(method, SETTINGS[setting]), seed=seed)


def row(setting: str, method: Variant, seed: int, data: Path | None, work: Path) -> dict[str, Any]:
    """Calibrates one model; seconds and peak memory are of the calibration alone.

    `truncated` is the share of sub-vectors that the end of the calibration left open.
    """
    training, test = _images(data)
    config = configured(setting, method, seed)
    reference = float_vim(training, work)
    model = copy.deepcopy(reference)
    calibration = training.first(CALIBRATION)
    base, start, cpu = _begin_peak(), time.perf_counter(), time.process_time()
    soften(model, calibration, config)
    seconds, cpu, peak = time.perf_counter() - start, time.process_time() - cpu, _peak()
    probe = normalize(test.first(500).pixels)
    mixes = [part for part in model.modules() if isinstance(part, SoftAssignment)]
    truncated = sum(len(mix.open()) for mix in mixes) / sum(len(mix.code) for mix in mixes)
    soft = accuracy(model, test) if truncated else None
    with torch.no_grad():
        before = model(probe)
        harden(model)
        equal = torch.equal(model(probe), before)
    found, bits = accuracy(model, test), storage(model)
    return {
        "setting": setting,
        "method": method,
        "seed": seed,
        **_origin(reference, config),
        "bits": asdict(bits),
        "index_bits_per_weight": bits.assignments / bits.weights,
        "bits_per_weight": bits.per_weight,
        "accuracy": found,
        "accuracy_before_truncation": found if soft is None else soft,
        "truncated": truncated,
        "soft_equals_hard": equal,
        "block_error": block_error(reference, model, test.first(500)),
        "seconds": seconds,
        "cpu_seconds": cpu,
        "peak_rss_bytes": peak,
        "peak_rss_growth_bytes": max(0, peak - base),
    }  # the kernel counts in lots of pages


def exported(name: str, data: Path | None, path: Path) -> dict[str, Any]:
    """Vim or DeiT by ViM-VQ in integers, written to a file; sub-vectors of outputs, as machines read them."""
    training, test = fashion_mnist.load(data)
    calibration = training.first(CALIBRATION)
    model: Vim | DeiT = load_vim() if name == "vim" else load_deit()
    before, config = accuracy(model, test), _export_config()
    origin = _origin(model, config)
    bits = calibrate(model, calibration, config)
    network = export(model, calibration, name=f"{name}-fashion-vq")
    artifact.save(network, path)
    return {
        **origin,
        "bits_per_weight": bits.per_weight,
        "accuracy_float": before,
        "accuracy": accuracy(model, test),
        "accuracy_integer": reference.accuracy(network, test),
    }


def _export_config() -> VimVqConfig:
    return replace(SETTINGS[EXPORTED], axis="output")


def _origin(model: nn.Module, config: VimVqConfig) -> dict[str, Any]:
    """Of a result: the configuration and the float network."""
    digest = hashlib.sha256()
    for name, tensor in model.state_dict().items():
        digest.update(name.encode() + tensor.contiguous().numpy().tobytes())
    return {"config": asdict(config), "weights_sha256": digest.hexdigest()}


@torch.no_grad()
def block_error(reference: Vim, model: nn.Module, images: Images) -> list[float]:
    """Mean square error of each block on the float stream, against the mean square of what it adds."""
    stream, errors = reference.patches(normalize(images.pixels)), []
    for ours, theirs in zip(model.blocks, reference.blocks, strict=True):
        after = theirs(stream)
        errors.append(float((ours(stream) - after).square().mean() / (after - stream).square().mean()))
        stream = after
    return errors


def _begin_peak() -> int:
    """Forgets the peak so far (Linux); returns the memory in use, bytes."""
    Path("/proc/self/clear_refs").write_text("5")
    return _peak()


def _peak() -> int:
    """Most memory in use since then, bytes."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return 1024 * next(int(line.split()[1]) for line in lines if line.startswith("VmHWM:"))


def reproduce(data: Path | None, work: Path, out: Path) -> None:
    """Runs what is not yet done and writes the results after every row."""
    work.mkdir(parents=True, exist_ok=True)
    training, test = _images(data)
    reference = float_vim(training, work)
    results: dict[str, Any] = {
        "data": f"Fashion-MNIST: {CALIBRATION} training images without labels, {len(test):,} test images",
        "model": f"Vim, {DEPTH} block{'s' * (DEPTH > 1)} of {WIDTH} channels, trained for {FLOAT.epochs} epochs of "
        f"{TRAINED:,} images; projections of the blocks compressed, the rest float32",
        "test_images": len(test),
        "versions": {"torch": torch.__version__, "python": platform.python_version()},
        "machine": platform.machine(),
        "float": {"accuracy": accuracy(reference, test)},
        "rows": [],
        "exports": {},
    }
    for name, load in (("vim", load_vim), ("deit", load_deit)):
        kept = work / f"{name}.json"
        if not _made(kept, load(), _export_config()):
            write_json(kept, exported(name, data, work / f"{name}.safetensors"))
        results["exports"][name] = json.loads(kept.read_text())
        write_json(out, results)
    for seed, setting, method in itertools.product(SEEDS, SETTINGS, METHODS):
        kept = work / f"{setting}-{method}-{seed}.json".replace(" ", "")
        if not _made(kept, reference, configured(setting, method, seed)):
            words = [setting, method, str(seed), str(kept), *(["--data", str(data)] if data else [])]
            subprocess.run([sys.executable, "-m", "codeword.reports.vim.train", *words], check=True)
        results["rows"].append(json.loads(kept.read_text()))
        write_json(out, results)
        print(_line(results["rows"][-1]), flush=True)


def _made(kept: Path, model: nn.Module, config: VimVqConfig) -> bool:
    """Whether a result is there, of this configuration and of the network as it now is."""
    return kept.exists() and json.loads(kept.read_text()).items() >= _origin(model, config).items()


def _line(found: dict[str, Any]) -> str:
    return (
        f"{found['setting']} {found['method']:7} seed {found['seed']}: {found['bits_per_weight']:.2f} bit, "
        f"{found['accuracy_before_truncation']:.2%} -> {found['accuracy']:.2%}, "
        f"{found['seconds']:.0f} s, {found['peak_rss_growth_bytes'] / 1e6:.0f} MB"
    )


def run(task: Task) -> None:
    """Whatever the work folder does not hold yet."""
    torch.set_num_threads(1)
    reproduce(task.data, task.work, task.out)


def main() -> None:
    """The process of one row."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("setting", choices=SETTINGS)
    parser.add_argument("method", choices=VARIANTS)
    parser.add_argument("seed", type=int)
    parser.add_argument("out", type=Path, help="file of the row, beside the float network")
    parser.add_argument("--data", type=Path, help="folder of the IDX files")
    options = parser.parse_args()
    torch.set_num_threads(1)
    write_json(
        options.out, row(options.setting, options.method, options.seed, options.data, options.out.parent)
    )


if __name__ == "__main__":
    main()
