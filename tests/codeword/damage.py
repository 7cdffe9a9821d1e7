"""Good files and fields, damaged in ways of all kinds."""

from __future__ import annotations

import copy
import io
import json
import math
from collections.abc import Iterator
from typing import Any

from hypothesis import strategies as st
from PIL import Image

JUNK: list[Any] = [
    None,
    True,
    -1,
    0,
    1,
    3,
    10**6,
    2**31,
    2**70,
    10**4400,
    0.5,
    -1e-300,
    1e300,
    math.nan,
    math.inf,
    "",
    "16",
    "yes",
    "input",
    "[red]x[/b]",
    ":smile:",
    "a\ninitial $finish;",
    "\x1b[31m",
    "\u202ex",
    "мережа, 网络 [1]",
    "x" * 2000,
    "../../x",
    [],
    [1, 1],
    [0, 0, 0],
    [True, "1", None],
    {},
    {"a": {"b": 1}},
    [[[[]]]],
]
JUNK_JSON = [*JUNK, "\ud800"]


def parts(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Places of all values in nested dictionaries and lists."""
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, part in items:
        yield (*path, key)
        yield from parts(part, (*path, key))


def damaged(data: st.DataObject, fields: Any, junk: list[Any]) -> Any:
    """The same fields with one to three values replaced, removed, doubled or added."""
    fields = copy.deepcopy(fields)
    for _ in range(data.draw(st.sampled_from([1, 1, 1, 2, 3]))):
        places = list(parts(fields))
        if not places:
            break
        *path, key = data.draw(st.sampled_from(places))
        within = fields
        for step in path:
            within = within[step]
        match data.draw(st.sampled_from(["replace"] * 6 + ["remove", "double", "add"])):
            case "replace":
                within[key] = copy.deepcopy(data.draw(st.sampled_from(junk)))
            case "remove":
                del within[key]
            case "double" if isinstance(within, list):
                within.append(copy.deepcopy(within[key]))
            case _ if isinstance(within, dict):
                within[data.draw(st.sampled_from(["more", "a\nb", "", "self", "kind"]))] = 1
    return fields


def bent(data: st.DataObject, content: bytes) -> bytes:
    """Bytes cut, flipped, put in front or made anew."""
    match data.draw(st.sampled_from(["cut", "flip", "front", "new"])):
        case "cut":
            return content[: data.draw(st.integers(0, len(content)))]
        case "flip":
            changed = bytearray(content)
            top = min(len(content), data.draw(st.sampled_from([16, 200, 2000, len(content)])))
            for _ in range(data.draw(st.integers(1, 5))):
                changed[data.draw(st.integers(0, top - 1))] = data.draw(st.integers(0, 255))
            return bytes(changed)
        case "front":
            return data.draw(st.binary(min_size=1, max_size=9)) + content
    return data.draw(st.binary(max_size=300))


def toml(value: Any) -> str:
    """As TOML, tables inline; what TOML has not (null) is left out."""
    match value:
        case bool():
            return str(value).lower()
        case int() if abs(value) > 10**4000:
            return "1" + "0" * 4400
        case str():
            return json.dumps(value)
        case list():
            return f"[{', '.join(toml(part) for part in value if part is not None)}]"
        case dict():
            return (
                f"{{{', '.join(f'{toml(str(k))} = {toml(v)}' for k, v in value.items() if v is not None)}}}"
            )
    return str(value)


def as_document(fields: dict[str, Any]) -> str:
    return "".join(f"{toml(str(key))} = {toml(part)}\n" for key, part in fields.items() if part is not None)


def as_json(value: Any) -> str:
    return json.dumps(value, default=str) if not vast(value) else "1" * 4400


def vast(value: Any) -> bool:
    """Python itself refuses to write such a number."""
    if isinstance(value, dict | list):
        return any(map(vast, value.values() if isinstance(value, dict) else value))
    return isinstance(value, int) and value > 10**4000


def image_file(data: st.DataObject) -> bytes:
    """A picture of any mode, size and format."""
    mode = data.draw(st.sampled_from(["1", "L", "LA", "P", "RGB", "RGBA", "CMYK", "I;16", "F"]))
    size = data.draw(st.sampled_from([(1, 1), (2, 5), (1, 300), (4, 4)]))
    form = {"CMYK": "JPEG", "F": "TIFF"}.get(mode, "PNG")
    content = io.BytesIO()
    Image.new(mode, size).save(content, form)
    return content.getvalue()
