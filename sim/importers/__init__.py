"""Networks described elsewhere become layer shapes.

An importer turns each operator into a `Step`; `assemble` decides which of them cost anything. Each
compares its multiply-accumulates with a count of the source's own, so that no layer is lost.
"""

from sim.importers.assemble import assemble
from sim.importers.result import Imported, checked

__all__ = ["Imported", "assemble", "checked"]
