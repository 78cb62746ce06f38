"""What is installed on a cluster: the one source of ``ome install`` and of the Helm chart.

:mod:`settings` is the table of what can be set, :mod:`parts` builds the objects from a lookup of
settings and nothing else, so that the same builders give objects (values looked up) and Helm
templates (:mod:`chart`, expressions looked up).
"""

from ome.cli.install.parts import Part, crds, parts
from ome.cli.install.settings import SETTINGS, Lookup, Setting, Values

__all__ = ["SETTINGS", "Lookup", "Part", "Setting", "Values", "crds", "parts"]
