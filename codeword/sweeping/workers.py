"""Who does the work: processes of this machine, or the workers of a Dask cluster that runs already."""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Executor, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import ExitStack, contextmanager
from typing import Any

from codeword.sweeping.evaluate import Job, Row, model, rows
from sim.errors import InputError

PIECE = 16
"""Jobs that go to a worker at once, and to disk."""

MANY = 200
"""Jobs from which on compiled code is worth its half a second of loading, and its compilation once."""

DEATHS = 3
"""Times that the pool may die in one piece of work after the other without a result."""


ANSWER = "10s"
"""How long a scheduler has to answer."""


class Workers:
    """Computes rows, in no order."""

    def __init__(self, processes: int | None = None, scheduler: str | None = None) -> None:
        self.processes = processes or len(os.sched_getaffinity(0))
        self.scheduler = scheduler
        self._many = False

    def compute(self, jobs: Sequence[Job]) -> Iterator[list[Row]]:
        """Rows of some jobs, as they are done; a worker that dies takes none with it.

        Raises:
            InputError: no such scheduler, or workers that die again and again.
        """
        self._many = len(jobs) >= MANY
        waiting = [jobs[n : n + PIECE] for n in range(0, len(jobs), PIECE)]
        if self.scheduler is None and (self.processes == 1 or len(waiting) == 1):
            for piece in waiting:
                yield rows(piece, model(), self._many)
            return
        deaths = 0
        while waiting:
            done: list[int] = []
            try:
                for number, found in self._through(waiting):
                    done.append(number)
                    yield found
                waiting = []
            except BrokenProcessPool:
                deaths = 0 if done else deaths + 1
                if deaths == DEATHS:
                    problem, fix = "die without a result", "give fewer: they may lack memory"
                    raise InputError("--processes", self.processes, problem, fix) from None
                finished = set(done)
                waiting = [piece for number, piece in enumerate(waiting) if number not in finished]

    def _through(self, pieces: Sequence[Sequence[Job]]) -> Iterator[tuple[int, list[Row]]]:
        """Number and rows of each piece; only some lie with the workers at a time."""
        with self._executor() as (executor, ahead):
            running: dict[Future[list[Row]], int] = {}
            next_piece = 0
            while running or next_piece < len(pieces):
                while len(running) < ahead and next_piece < len(pieces):
                    running[executor.submit(rows, pieces[next_piece], model(), self._many)] = next_piece
                    next_piece += 1
                for future in wait(running, return_when=FIRST_COMPLETED).done:
                    yield running.pop(future), future.result()

    @contextmanager
    def _executor(self) -> Iterator[tuple[Executor, int]]:
        """And how many pieces keep its workers busy."""
        if self.scheduler is None:
            # Not forked: the threads of the table's library do not live on in a fork.
            start = multiprocessing.get_context("spawn")
            with ProcessPoolExecutor(self.processes, mp_context=start) as executor:
                yield executor, 2 * self.processes
            return
        with ExitStack() as stack:
            client = stack.enter_context(_client(self.scheduler))
            cores = sum(client.nthreads().values())
            if not cores:
                raise InputError(
                    "--scheduler", self.scheduler, "has no workers", "start some: dask worker ADDRESS"
                )
            yield stack.enter_context(client.get_executor(pure=False)), 2 * cores


def _client(address: str) -> Any:
    """Raises InputError where nobody answers."""
    from distributed import Client

    try:
        return Client(address, timeout=ANSWER, set_as_default=False)
    except (OSError, ValueError) as error:
        problem = f"cannot be reached: {error or type(error).__name__}"
        raise InputError("--scheduler", address, problem, "start it: dask scheduler") from None
