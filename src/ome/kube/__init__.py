"""Talking to any Kubernetes API: client, auth, cache, work queue, lease, events.

Knows nothing of OME's kinds. Importing it is quick: the HTTP library is loaded by the first request
and YAML by the first kubeconfig.
"""

from ome.kube.client import Client, ObjectList, PatchType, WatchEvent
from ome.kube.connecting import connect
from ome.kube.controller import Controller, Outcome, Result, Terminal
from ome.kube.discovery import Discovery, UnknownResource
from ome.kube.endpoint import Endpoint
from ome.kube.errors import ConfigError, KubeError, LeadershipLost, Unreachable
from ome.kube.events import Events
from ome.kube.informer import Informer, InformerSet
from ome.kube.lease import LeaderElector
from ome.kube.store import Snapshot
from ome.kube.workqueue import QueueShutdown, RetryPolicy, WorkQueue

__all__ = [
    "Client",
    "ConfigError",
    "Controller",
    "Discovery",
    "Endpoint",
    "Events",
    "Informer",
    "InformerSet",
    "KubeError",
    "LeaderElector",
    "LeadershipLost",
    "ObjectList",
    "Outcome",
    "PatchType",
    "QueueShutdown",
    "Result",
    "RetryPolicy",
    "Snapshot",
    "Terminal",
    "UnknownResource",
    "Unreachable",
    "WatchEvent",
    "WorkQueue",
    "connect",
]
