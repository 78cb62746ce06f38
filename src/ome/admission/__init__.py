"""Defaulting and validation of OME's kinds, as functions: (object, old, view) -> what to store.

Synchronous and without side effects, so that the same code runs inside the embedded API server,
behind webhooks and in ``ome validate``.
"""

from ome.admission.review import OmeAdmission, Review
from ome.admission.view import View

__all__ = ["OmeAdmission", "Review", "View"]
