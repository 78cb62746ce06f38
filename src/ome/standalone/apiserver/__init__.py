"""A Kubernetes API over SQLite, for one machine. Knows nothing of OME.

What it serves and what it leaves out is told in the modules; the outermost are ``server`` (HTTP),
``engine`` (what a write does), ``store`` (what is kept), ``watching`` and ``listing``.
"""

from ome.standalone.apiserver.admission import (
    Admission,
    AdmissionRequest,
    AdmissionResponse,
    ReadView,
)
from ome.standalone.apiserver.disk import StoreCorrupt, StoreError, StoreLocked
from ome.standalone.apiserver.logs import PodLogs
from ome.standalone.apiserver.server import ApiServer, TlsConfig
from ome.standalone.apiserver.store import Limits, Store, StoreFull

__all__ = [
    "Admission",
    "AdmissionRequest",
    "AdmissionResponse",
    "ApiServer",
    "Limits",
    "PodLogs",
    "ReadView",
    "Store",
    "StoreCorrupt",
    "StoreError",
    "StoreFull",
    "StoreLocked",
    "TlsConfig",
]
