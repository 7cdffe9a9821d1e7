"""Runs side by side: several networks on several machines, and results of before."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sim.errors import InputError
from sim.saved import Change, Result, load, number


@dataclass(frozen=True)
class Comparison(Result):
    """Results of networks on machines, by a name that tells them apart, in the order in which they were given."""

    runs: Mapping[str, Result]

    def __repr__(self) -> str:
        return f"<Comparison of {'; '.join(self.runs)}>"

    def _repr_html_(self) -> str:
        from codeword import priced
        from sim.shown import html

        tables = priced.comparison({name: run.to_json() for name, run in self.runs.items()})
        return "".join(
            html(one.title, [column.name for column in one.columns], one.shown()) for one in tables
        )

    @property
    def verb(self) -> str:
        return "compare"

    def to_json(self) -> dict[str, Any]:
        return {"runs": [{"name": name} | run.document() for name, run in self.runs.items()]}

    @classmethod
    def of(cls, found: Sequence[Result]) -> Comparison:
        """Named by what they do not have in common: network, machine, technology, verb.

        Raises:
            InputError: less than two, or one without cycles and energy of a machine.
        """
        if len(found) < 2:
            raise InputError(
                "runs", len(found), "nothing to compare", "name two networks, machines or results"
            )
        labels = [_labels(run) for run in found]
        telling = [field for field in labels[0] if len({label[field] for label in labels}) > 1]
        runs: dict[str, Result] = {}
        for run, label in zip(found, labels, strict=True):
            name = ", ".join(label[field] for field in telling) or label["network"]
            same = sum(1 for known in runs if known == name or known.startswith(f"{name}#"))
            runs[name if not same else f"{name}#{same + 1}"] = run
        return cls(runs)


_TEXTS = ("network", "accelerator", "technology")
_NUMBERS = ("macs", "cycles", "time_s", "utilization", "tops")
_PERHAPS = ("tops_per_watt", "tops_per_watt_with_dram")
_BY_NAME = {"stall_cycles": (), "energy_pj": ("total",), "area_mm2": ("total",)}
"""Figures by cause or component, and the sums among them; energy and area may be unknown."""


def _labels(run: Result) -> dict[str, str]:
    """By which runs are told apart.

    Raises:
        InputError: a result without the figures that are compared, or a damaged file.
    """
    fields = run.to_json()
    wrong = [name for name in _TEXTS if not isinstance(fields.get(name), str)]
    wrong += [name for name in _NUMBERS if not number(fields.get(name))]
    wrong += [
        name for name in _PERHAPS if name not in fields or not (fields[name] is None or number(fields[name]))
    ]
    for name, sums in _BY_NAME.items():
        parts = fields.get(name)
        if (
            not isinstance(parts, dict)
            or not set(sums) <= set(parts)
            or not all(number(part) or (part is None and sums) for part in parts.values())
        ):
            wrong.append(name)
    if wrong:
        fix = "compare estimates and simulations as they were written; diff takes any two results"
        raise InputError("result", run.verb, f"does not say {', '.join(wrong)}", fix)
    return {field: fields[field] for field in _TEXTS} | {"verb": run.verb}


def is_result(name: str) -> bool:
    return Path(name).suffix == ".json"


def diff(before: str | Path | Result, after: str | Path | Result) -> list[Change]:
    """The figures in which two results differ, each a result or a file of one.

    Raises:
        InputError: a file that cannot be read, or results of two verbs.
    """
    first, second = (one if isinstance(one, Result) else load(one) for one in (before, after))
    if _kind(first) != _kind(second):
        raise InputError("after", second.verb, f"is no {first.verb}", "compare results of the same verb")
    return first.diff(second)


def _kind(run: Result) -> str:
    """A simulation has the figures of an estimate."""
    return "priced" if "energy_pj" in run.to_json() else run.verb
