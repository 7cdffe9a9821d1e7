"""Results that somebody edited or cut, words that nobody knows: refused in one line, or shown."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import strategies as st

import codeword
from codeword.rendering import FORMS
from tests.codeword.damage import JUNK_JSON, as_json, bent, damaged
from tests.codeword.test_fuzz import assert_told, call, kind


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    where = tmp_path_factory.mktemp("results")
    codeword.estimate("alexnet", "ews-16").save(where / "good.json")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(where)
        yield where


def shown(data: st.DataObject) -> None:
    """A damaged file beside a good one, in any form."""
    form = ("--format", data.draw(st.sampled_from([*FORMS])))
    whole = ("--all",) if data.draw(st.booleans()) else ()
    names = data.draw(
        st.sampled_from([("good.json", "bad.json"), ("bad.json", "good.json"), ("bad.json", "bad.json")])
    )
    assert_told(call(data.draw(st.sampled_from(["compare", "diff"])), *names, *form, *whole))


def test_what_is_damaged_is_good_before(folder: Path) -> None:
    for verb in ("compare", "diff"):
        assert call(verb, "good.json", "good.json").status == 0


@kind
def test_fields(folder: Path, data: st.DataObject) -> None:
    fields = json.loads((folder / "good.json").read_text())
    fields["layers"] = fields["layers"][:2]
    (folder / "bad.json").write_text(as_json(damaged(data, fields, JUNK_JSON)))
    shown(data)


@kind
def test_bytes(folder: Path, data: st.DataObject) -> None:
    (folder / "bad.json").write_bytes(bent(data, (folder / "good.json").read_bytes()))
    shown(data)


@kind
def test_words(folder: Path, data: st.DataObject) -> None:
    word = data.draw(
        st.text(max_size=30) | st.sampled_from(["dr", "stal", "[red]", "--", "-1", "\ud800", "a" * 5000])
    )
    if not word.startswith("-"):
        verb = data.draw(st.sampled_from(["explain", "presets", "compare", "diff", "networks"]))
        assert_told(call(verb, word, *([word] if verb == "diff" else [])))
