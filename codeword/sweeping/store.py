"""The table of a sweep: a folder of Parquet files that only grows.

Every finished piece of work is a file of its own in `parts/`, written whole or not at all, so that what is done when
a worker or the machine dies is not lost; `results.parquet` takes them in at the end of a run. A row is there once,
by its key.
"""

from __future__ import annotations

import hashlib
import io
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from codeword.sweeping.evaluate import Row, model
from sim.errors import InputError
from sim.files import write_whole

if TYPE_CHECKING:
    import polars as pl

RESULTS = "results.parquet"
"""All rows: `pandas.read_parquet(RESULTS)`."""


class Store:
    """Rows in a folder.

    Attributes:
        of_others: rows that another version of the code computed; they stay in the table and are not used.
    """

    def __init__(self, folder: Path) -> None:
        self.folder, self.parts = folder, folder / "parts"
        self.parts.mkdir(parents=True, exist_ok=True)
        everything = self._read([folder / RESULTS, *sorted(self.parts.glob("*.parquet"))])
        self._rows: dict[str, Row] = {}
        self._others: list[Row] = []
        for row in [] if everything is None else everything.to_dicts():
            if row["model"] == model():
                self._rows[row["key"]] = row
            else:
                self._others.append(row)

    @property
    def of_others(self) -> int:
        return len({row["key"] for row in self._others})

    def __contains__(self, key: str) -> bool:
        return key in self._rows

    def __getitem__(self, key: str) -> Row:
        return self._rows[key]

    def __len__(self) -> int:
        return len(self._rows)

    def add(self, rows: Sequence[Row]) -> None:
        """On disk before it returns."""
        if rows:
            name = hashlib.sha256("".join(sorted(row["key"] for row in rows)).encode()).hexdigest()[:24]
            _write(self.parts / f"{name}.parquet", rows)
            self._rows |= {row["key"]: row for row in rows}

    def close(self) -> Path:
        """All rows into one file, and then the parts go."""
        path = self.folder / RESULTS
        parts = sorted(self.parts.glob("*.parquet"))
        if parts or not path.exists():
            others = {row["key"]: row for row in self._others}
            _write(path, [*others.values(), *self._rows.values()])
        for part in parts:
            part.unlink()
        self.parts.rmdir() if not any(self.parts.iterdir()) else None
        return path

    def _read(self, paths: Iterable[Path]) -> pl.DataFrame | None:
        import polars as pl

        tables = []
        for path in paths:
            if not path.exists():
                continue
            try:
                table = pl.read_parquet(path)
            except (pl.exceptions.PolarsError, OSError) as error:
                raise InputError("results", str(path), f"cannot be read: {error}", "move it away") from None
            if not {"key", "model", "network"} <= set(table.columns):
                raise InputError("results", str(path), "is no table of a sweep", "give another --output")
            tables.append(table)
        return pl.concat(tables, how="diagonal_relaxed") if tables else None


def frame(rows: Sequence[Row]) -> pl.DataFrame:
    """Rows as a table; columns that some rows lack are empty there."""
    import polars as pl

    return pl.DataFrame(rows, infer_schema_length=None)


def _write(path: Path, rows: Sequence[Row]) -> None:
    content = io.BytesIO()
    frame(rows).write_parquet(content)
    write_whole(path, content.getvalue())
