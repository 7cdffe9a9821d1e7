"""The hardware of the systolic machine."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from rtl import compiler, export, synth, verify
from rtl import image as images
from rtl.machine import Hardware
from rtl.verify import VerifyResult
from sim.accelerator.systolic import Accelerator
from sim.errors import InputError
from sim.network import Network
from sim.trace import Trace


class Systolic(Hardware):
    """The complete accelerator of docs/hardware.md."""

    def compile(
        self, network: Network, accelerator: Accelerator, objective: str = "edp", l2_holds_all: bool = False
    ) -> compiler.Image:
        return compiler.compile(network, accelerator, objective, l2_holds_all=l2_holds_all)

    def write_image(
        self,
        network: Network,
        accelerator: Accelerator,
        directory: Path,
        image: np.ndarray,
        *,
        objective: str = "edp",
        l2_holds_all: bool = False,
        base: int = 0,
        soc: bool = False,
        force: bool = False,
        steps: Sequence[Network] = (),
        step: int = 0,
    ) -> images.Written:
        return images.write(
            network,
            accelerator,
            directory,
            image,
            objective=objective,
            l2_holds_all=l2_holds_all,
            base=base,
            soc=soc,
            force=force,
            steps=steps,
            step=step,
        )

    def verilog(
        self,
        accelerator: Accelerator,
        directory: Path,
        network: Network | None = None,
        *,
        force: bool = False,
    ) -> list[Path]:
        codebook = None if network is None else compiler.universal_codebook(network)
        return export.export(accelerator, directory, codebook=codebook, force=force)

    def verify(
        self,
        accelerator: Accelerator,
        network: Network | None = None,
        layer: str = "",
        image: np.ndarray | None = None,
        simulator: str = "auto",
        *,
        seed: int = 0,
        rtl_dir: str | Path | None = None,
        networks: int | None = None,
        stalls: bool = False,
        l2_holds_all: bool = False,
        waves: Path | None = None,
        window: range = range(0),
    ) -> VerifyResult:
        count = networks or verify.NETWORKS
        if network is None and count > 1:
            if waves is not None:
                raise InputError(
                    "--waves", str(waves), "shows one network", "give --network, or --networks 1"
                )
            return verify.verify_many(
                accelerator, seed, count, simulator, rtl_dir, stalls=stalls, l2_holds_all=l2_holds_all
            )
        stalled = seed if stalls else None
        looks: dict[str, Any] = {
            "stalls": stalled,
            "l2_holds_all": l2_holds_all,
            "waves": waves,
            "window": window,
        }
        if network is None:
            return verify.verify_random(accelerator, seed, simulator, rtl_dir, **looks)
        assert image is not None
        if layer:
            run = partial(verify.verify_layer, accelerator, network, layer, image)
        else:
            run = partial(verify.verify_network, accelerator, network, image)
        return run(simulator, rtl_dir, **looks)

    def trace(
        self,
        network: Network,
        accelerator: Accelerator,
        image: np.ndarray,
        *,
        objective: str = "edp",
        window: range = range(0),
        simulator: str = "auto",
        rtl_dir: str | Path | None = None,
    ) -> Trace:
        return verify.trace_network(
            accelerator, network, image, simulator, rtl_dir, objective=objective, window=window
        )

    def verify_steps(
        self,
        accelerator: Accelerator,
        networks: Sequence[Network],
        images: Sequence[np.ndarray],
        layer: str = "",
        simulator: str = "auto",
        rtl_dir: str | Path | None = None,
    ) -> VerifyResult:
        return verify.verify_steps(accelerator, networks, images, layer, simulator, rtl_dir)

    def synth(
        self, accelerator: Accelerator, library: synth.Library, component: str | None = None
    ) -> synth.Synthesis:
        return synth.synthesize(accelerator, library, component=component)


HARDWARE = Systolic()
