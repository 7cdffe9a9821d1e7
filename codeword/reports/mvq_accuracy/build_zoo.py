"""Makes the files of algos/zoo/resnet20_fashion from the folder of `mvq_accuracy.train`.

    codeword report mvq_accuracy
    python -m codeword.reports.mvq_accuracy.build_zoo

Stages that `codeword.reports.mvq_accuracy.train` has not finished are run.
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from algos import checkpoint, reference, zoo
from algos.data import fashion_mnist
from algos.data.fashion_mnist import Images
from algos.training import accuracy
from codeword.reports.mvq_accuracy.train import Experiment
from codeword.reports.registry import named
from sim import artifact

TRAINING, TEST = 3000, 2000


def build(data: Path | None, work: Path, folder: Path) -> None:
    """Writes the four network files and the images, and prints the accuracies."""
    training, test = fashion_mnist.load(data)
    folder.mkdir(parents=True, exist_ok=True)
    save_images(training.first(TRAINING), test.first(TEST), folder / "images.npz")
    experiment = Experiment(training, work)
    dense = experiment.dense()
    checkpoint.save(dense, folder / "float.safetensors")
    print(f"float: {accuracy(dense, test):.2%}")
    sparse = experiment.sparse(dense)
    checkpoint.save(sparse, folder / "sparse.safetensors")
    print(f"sparse 4:16: {accuracy(sparse, test):.2%}")
    model, _ = experiment.clustered("D", sparse)
    network = replace(experiment.fine_tuned("D", model), name="resnet20-fashion")
    checkpoint.save(model, folder / "mvq.safetensors")
    print(f"MVQ, float activations: {accuracy(model, test):.2%}")
    artifact.save(network, folder / "network.safetensors")
    print(f"MVQ, integers: {reference.accuracy(network, test):.2%}")


def save_images(training: Images, test: Images, path: Path) -> None:
    """uint8 pixels and labels, compressed."""
    np.savez_compressed(
        path,
        training_pixels=training.pixels.numpy(),
        test_pixels=test.pixels.numpy(),
        training_labels=training.labels.to(torch.uint8).numpy(),
        test_labels=test.labels.to(torch.uint8).numpy(),
    )


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, help="folder of the IDX files")
    parser.add_argument("--work", type=Path, default=named("mvq_accuracy").work, help="checkpoints")
    parser.add_argument("--out", type=Path, default=zoo.FOLDER)
    options = parser.parse_args()
    torch.set_num_threads(1)
    build(options.data, options.work, options.out)


if __name__ == "__main__":
    main()
