"""What enters the arena: formats, the machines that run them, and the methods that may make their weights."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

CALIBRATED = ("rtn", "gptq", "gptaq", "rescomp", "wstar")
"""Methods without labels, of which each scalar format takes the one that is nearest to the float network."""


FITTED = "nearest"
"""No method of the registry: each group with the scale of least squared error (`algos.weights.scaled`)."""


@dataclass(frozen=True)
class Entry:
    """A row.

    Attributes:
        name: of the format and its sizes.
        family: of the machines.
        methods: names; the first is the only one, or the nearest to the float network is chosen. None for INT8.
        options: of the methods.
        fields: of the machine, beside what the codebooks of the network ask for.
        updates: of the training behind it, 0 for none.
        trained: what it trains, "" for nothing.
        accuracy_of: run of the report comparison that trained a network of these sizes, whose accuracy this row
            takes; "" where it is measured here.
    """

    name: str
    family: str
    methods: tuple[str, ...] = ()
    options: Mapping[str, Any] = field(default_factory=dict)
    fields: tuple[str, ...] = ()
    updates: int = 0
    trained: str = ""
    accuracy_of: str = ""

    @property
    def format(self) -> str:
        """One name for a format in all its sizes."""
        return self.name.partition("-")[0]

    @property
    def file(self) -> str:
        """Of the row in the work folder, without ending."""
        return f"{self.name}-{self.updates}"


def _scaled(name: str, group: int, family: str, **options: Any) -> Entry:
    """With scales of groups."""
    given = {"group": group, **options}
    return Entry(f"{name}-g{group}", family, CALIBRATED, given, (f"scale_group={group}",))


def _scalar(group: int, entries: tuple[int, ...]) -> tuple[Entry, ...]:
    """All that is calibrated.

    Args:
        group: inputs that share a scale, where a format does not say so itself.
        entries: of palettes.
    """
    return (
        Entry("int8", "ews"),
        *(_scaled(f"int{bits}", group, f"int{bits}-g32", bits=bits) for bits in (4, 3, 2)),
        _scaled("mxfp4", min(32, group), "mxfp4", elements="mxfp4"),
        _scaled("nvfp4", 16, "nvfp4", elements="nvfp4"),
        Entry("ternary", "ternary", CALIBRATED, {"elements": "ternary"}),
        *(
            Entry(f"palette-{k}", "palette", CALIBRATED, {"elements": "palette", "entries": k})
            for k in entries
        ),
    )


def trained(entry: Entry, updates: int, what: str, accuracy_of: str = "") -> Entry:
    """The same, fine-tuned."""
    return replace(entry, updates=updates, trained=what, accuracy_of=accuracy_of)


_CODES = "codebooks, norms and dense layers"
COMPARED = 624
"""Updates of 128 images of `codeword report comparison`."""

_RESNET = {
    "vq": Entry("vq-k96-d8", "ews-c", ("vq",), {"k": 96, "d": 8}),
    "mvq": Entry("mvq-4:16-k32-d16", "ews-cms", ("mvq",), {"k": 32, "d": 16}),
    "ssvq": Entry("ssvq-k8-d8", "ssvq", ("ssvq",), {"k": 8, "d": 8}),
    "vq4all": Entry("rom-k4096-d8", "rom", ("vq4all",), {"k": 4096, "d": 8}),
    "aqlm": Entry("aqlm-2xk32-d8", "aqlm", ("aqlm",), {"k": 32, "d": 8}),
}
_SCALAR = {entry.name: entry for entry in _scalar(16, (16, 8))}
SHIPPED = Entry("mvq-4:16-k64-d16", "ews-cms", ("mvq",), {"k": 64, "d": 16}, (), 2340, _CODES)
"""`mvq.safetensors` of the zoo: 5 epochs of 60,000 images."""

RESNET = (
    *_SCALAR.values(),
    Entry("mxint8-g16", "mxint8", (FITTED,), {"form": "mxint8", "group": 16}, ("scale_group=16",)),
    *_RESNET.values(),
    *(
        trained(entry, COMPARED, _CODES, f"{method}-1.5")
        for method, entry in _RESNET.items()
        if method != "aqlm"
    ),
    SHIPPED,
    trained(_RESNET["aqlm"], 156, _CODES),
)

LLAMA_UPDATES = 60
_LLAMA = (
    Entry("vq-k256-d4", "ews-c", ("vq",), {"k": 256, "d": 4}),
    Entry("mvq-1:2-k128-d8", "ews-cms", ("mvq",), {"k": 128, "d": 8, "pattern": (1, 2)}),
    Entry("ssvq-k16-d4", "ssvq", ("ssvq",), {"k": 16, "d": 4}),
    Entry("rom-k4096-d8", "rom", ("vq4all",), {"k": 4096, "d": 8}),
    Entry("aqlm-2xk64-d8", "aqlm", ("aqlm",), {"k": 64, "d": 8}),
)
LLAMA = (
    *_scalar(64, ()),
    *_LLAMA,
    *(
        trained(entry, LLAMA_UPDATES, "codebooks, norms, embedding and head")
        for entry in _LLAMA
        if "vq4all" not in entry.methods
    ),
)

DECODED = {
    **{f"int{bits}": f"int{bits}-g32" for bits in (4, 3, 2)},
    **{name: name for name in ("mxfp4", "nvfp4", "mxint8", "ternary", "palette", "aqlm", "ssvq")},
    "vq": "ews-c",
    "mvq": "ews-cms",
}
"""Families whose decoders are synthesized, by format; that of a ROM is as large as its codebook."""
