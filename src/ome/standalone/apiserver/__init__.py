"""A Kubernetes API over SQLite, for one machine. Knows nothing of OME.

========================================  ======================================================
``server, routes, context``               connections, who is asking, which handler answers
``reading, writing, subresources``        the handlers; beside them ``scale, pods, podlog, tokens``
``requests, codec, http``                 what requests carry, and answers
``discovery, openapi, reviews``           what the server says about itself
``representation, tables``                objects as JSON, YAML, metadata or tables; ``printers_*``
``engine, rules, lifecycle, managed``     what a write does
``admission, celrules``                   who else has a say in it
``kinds, registry, crds``                 which kinds are served
``listing, watching, selecting``          lists at one moment, changes from any version
``store, disk``                           what is kept, and how
``auth, tls``                             tokens and certificates
========================================  ======================================================

Left out on purpose: authorisation (everybody with a token may do everything), virtual addresses
(a Service's ``clusterIP`` stays as it was given and is mostly absent: consumers read
EndpointSlices), ``exec``, ``attach``, ``port-forward`` and proxying, API aggregation, conversion
webhooks, ``events.k8s.io`` (events are served in the core group), protobuf answers.
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
