"""Many healthy services in an operator's caches, without any server.

What the operator plans is put into the caches as an API server would have it, with a running pod
for each Deployment.
"""

from __future__ import annotations

import copy
import itertools
from typing import Any

import msgspec
from tests.fakes import objects

from ome.apimachinery import resources as r
from ome.apimachinery.objects import Object
from ome.controllers import Operator, ownership
from ome.controllers.decide import Decision
from ome.kube import Client, Informer
from ome.kube.store import Entry

NAMESPACE = "default"


class Fleet:
    """An operator that does not run. Its client must never be used."""

    def __init__(self) -> None:
        self.operator = Operator(Client("http://127.0.0.1:9"))
        self.cluster = self.operator.cluster
        self._versions = itertools.count(1)
        self.put(self.cluster.models["ClusterBaseModel"], objects.model())
        self.put(self.cluster.runtimes[1], objects.runtime())

    def put(self, informer: Informer, obj: Object) -> Object:
        """Into a cache, as a new version."""
        version = next(self._versions)
        obj = copy.deepcopy(obj)
        obj["metadata"] |= {"resourceVersion": str(version)}
        obj["metadata"].setdefault("uid", f"uid-{version}")
        informer.upsert(Entry.of(msgspec.json.encode(obj)))
        return obj

    def add(self, name: str) -> None:
        """A healthy service."""
        service = objects.service(name)
        service["metadata"]["generation"] = 1
        self.put(self.cluster.services, service)
        for action in self.decide(name).plan.applies:
            live = copy.deepcopy(ownership.for_creation(action.object))
            if action.resource == r.DEPLOYMENTS:
                live["metadata"]["generation"] = 1
                counts = ("replicas", "updatedReplicas", "readyReplicas", "availableReplicas")
                live["status"] = dict.fromkeys(counts, 1) | {"observedGeneration": 1}
                self.put(self.cluster.pods, pod_of(live))
            self.put(self.cluster.children[action.resource], live)

    def decide(self, name: str) -> Decision:
        found = self.cluster.services.get(NAMESPACE, name)
        assert found is not None
        return self.operator.reconciler._decide(found, self.cluster.observed(found))


def pod_of(deployment: Object, **annotations: str) -> Object:
    template: Any = deployment["spec"]["template"]
    names = [container["name"] for container in template["spec"]["containers"]]
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "name": f"{deployment['metadata']['name']}-0",
            "namespace": NAMESPACE,
            "labels": template["metadata"]["labels"],
            "annotations": annotations,
        },
        "spec": template["spec"],
        "status": {
            "phase": "Running",
            "conditions": [{"type": "Ready", "status": "True"}],
            "containerStatuses": [
                {"name": name, "ready": True, "restartCount": 0} for name in names
            ],
        },
    }
