"""Types of a layer's fields: what Python holds, and what the network file may say of it.

`sim.artifact` derives the header of a kind from its dataclass: a field stands there with its name, type,
bounds, default and description, unless `Stored` makes it a tensor.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import Annotated

import numpy as np
from pydantic import Field

from sim.limits import LARGEST

Int8 = Annotated[int, Field(ge=-128, le=127)]
Positive = Annotated[int, Field(ge=1, le=LARGEST)]
Natural = Annotated[int, Field(ge=0, le=LARGEST)]
Shift = Annotated[int, Field(ge=1, le=47)]
Multiplier = Annotated[int, Field(ge=0, lt=2**16)]
Pair = tuple[Positive, Positive]
Map = tuple[Positive, Positive, Positive]
"""(C, H, W) of a tensor."""


@dataclass(frozen=True)
class Stored:
    """An array of one type, tensor `LAYER.field` of the file. Of one that may be None the header says
    whether it is there."""

    dtype: type[np.generic]


class Presence(Enum):
    """When a field stands in the header, where that is not *always written, read as its default*."""

    REQUIRED = "also a header that is read must name it, though Python has a default"
    SPARING = "written only where it differs from its default: a file without it stays what it was"
