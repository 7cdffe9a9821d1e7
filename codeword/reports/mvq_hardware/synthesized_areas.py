"""Area ratios of MVQ's six settings on the cell libraries, beside those of Table 7."""

from __future__ import annotations

import json
from typing import Any

from codeword.reports.mvq_hardware.published import published
from codeword.reports.registry import Task
from sim import accelerator, technology
from sim.files import write_whole
from sim.technology.provenance import total

SETTINGS = ("ws", "ws-cms", "ews", "ews-c", "ews-cm", "ews-cms")
SIZES = (16, 32, 64)
LIBRARIES = ("sg13g2", "sky130hd", "asap7")
BASE = "ews"
COUNTED = ("array", "arf", "prf", "loader", "crf")
"""What stands beside the array of Table 7; the paper does not say what that holds."""
_PRINTED = {
    "ws": "WS",
    "ews": "EWS",
    "ews-c": "EWS-C, EWS-CM",
    "ews-cm": "EWS-C, EWS-CM",
    "ews-cms": "EWS-CMS",
}


def run(task: Task) -> None:
    """Keeps them beside the report's figures."""
    write_whole(task.out.with_name("area_ratios.json"), json.dumps(rows(), indent=1) + "\n")


def rows() -> list[dict[str, Any]]:
    """Library, setting, size, `array_um2` of the parts COUNTED, and its `ratio` to EWS of that size.

    A row whose parts are not all known has None, and says why in `source`.
    """
    found = []
    for library in LIBRARIES:
        for size in SIZES:
            areas = {}
            for setting in SETTINGS:
                parts = technology.load(library).areas(accelerator.preset(f"{setting}-{size}"))
                areas[setting] = total({name: parts[name] for name in COUNTED if name in parts})
            base = areas[BASE].value
            for setting, area in areas.items():
                known = area.value is not None and base is not None
                found.append(
                    {
                        "library": library,
                        "setting": setting,
                        "size": size,
                        "array_um2": round(1e6 * area.value, 1) if area.value is not None else None,
                        "ratio": round(area.value / base, 4) if known else None,  # type: ignore[operator]
                        "label": area.label,
                        "source": area.source,
                    }
                )
    return found


def printed(setting: str, size: int) -> float | None:
    """Ratio of Table 7; None for WS-CMS, which it does not have."""
    if setting not in _PRINTED:
        return None
    table = published()["table7"].rows
    column = SIZES.index(size)
    return table[_PRINTED[setting]][column] / table[_PRINTED[BASE]][column]


def markdown(found: list[dict[str, Any]] | None = None) -> str:
    """A section for the reproduction report, from `rows` or what `run` wrote."""
    known = {(row["library"], row["setting"], row["size"]): row for row in found or rows()}
    lines = [
        "| setting | size | Table 7 | " + " | ".join(LIBRARIES) + " |",
        "|---" * (3 + len(LIBRARIES)) + "|",
    ]
    for setting in SETTINGS:
        for size in SIZES:
            ours = [_cell(known[library, setting, size]) for library in LIBRARIES]
            lines.append(
                f"| {setting} | {size}x{size} | {_number(printed(setting, size))} | "
                + " | ".join(ours)
                + " |"
            )
    missing = dict.fromkeys(
        f"{row['setting']}: {row['source']}" for row in known.values() if row["ratio"] is None
    )
    return "\n\n".join(
        filter(
            None,
            [
                "## Area ratios by synthesis",
                "Area over that of EWS at the same size. Ours: array with WRF, ARF, PRF, weight loader and codebook "
                "RF, without storer, control and memories; the paper does not say what its array holds. The label is "
                "that of the least sure part: the codebook RF is a *fit* to other sizes.",
                "\n".join(lines),
                "Unknown: " + "; ".join(missing) + "." if missing else "",
            ],
        )
    )


def _cell(row: dict[str, Any]) -> str:
    return "unknown" if row["ratio"] is None else f"{row['ratio']:.2f} ({row['label']})"


def _number(value: float | None) -> str:
    return "not printed" if value is None else f"{value:.2f}"
