"""The operator's scenarios of the one-machine home, word for word, on a real control plane.

The functions are those of tests/standalone/test_operator.py; only the home is another: kwok plays
the node instead of the fake kubelet, and admission comes by webhook instead of in process. What
those tests do with engines that crash or answer needs a kubelet and is not repeated here.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest
import pytest_asyncio
from tests.cluster.bed.controlplane import ControlPlane
from tests.cluster.conftest import Kubectl
from tests.cluster.wire import Answer
from tests.fakes.home import Home
from tests.fakes.webhooks import Replica
from tests.standalone.test_operator import (
    test_a_hand_edit_is_healed_and_a_removed_field_goes,
    test_a_model_in_use_stays_until_its_service_is_gone,
    test_a_restart_of_the_operator_writes_nothing,
    test_a_service_of_the_same_name_that_is_not_ours_is_left_alone,
    test_children_have_the_contracts_names_labels_and_owner,
    test_deletion_leaves_nothing,
    test_everything_may_be_applied_in_any_order_and_says_what_it_waits_for,
    test_metadata_is_filled_in_from_the_first_node,
    test_replicas_scaled_by_somebody_else_stay_within_bounds,
)

from ome.admission.registration import configuration_names
from ome.api import constants as c
from ome.api import resources as o
from ome.apimachinery import resources as r
from ome.apimachinery.errors import NotFound
from ome.apimachinery.objects import Resource
from ome.kube import Client, connect

__all__ = [
    "test_a_hand_edit_is_healed_and_a_removed_field_goes",
    "test_a_model_in_use_stays_until_its_service_is_gone",
    "test_a_restart_of_the_operator_writes_nothing",
    "test_a_service_of_the_same_name_that_is_not_ours_is_left_alone",
    "test_children_have_the_contracts_names_labels_and_owner",
    "test_deletion_leaves_nothing",
    "test_everything_may_be_applied_in_any_order_and_says_what_it_waits_for",
    "test_metadata_is_filled_in_from_the_first_node",
    "test_replicas_scaled_by_somebody_else_stay_within_bounds",
]
pytestmark = pytest.mark.timeout(300)
NODE = "node-a"
CONFIG = "inferenceservice-config"


class KwokNode:
    """The part of the fake kubelet that these scenarios use; kwok does the rest."""

    name = NODE

    def __init__(self, client: Client) -> None:
        self._client = client

    async def register(self) -> None:
        labels = {"kubernetes.io/hostname": NODE, "kubernetes.io/os": "linux"}
        node = {"apiVersion": "v1", "kind": "Node", "metadata": {"name": NODE, "labels": labels}}
        await self._client.create(r.NODES, node)
        size = {"cpu": "1000", "memory": "1000Gi", "pods": "1000"}
        status = {"status": {"capacity": size, "allocatable": size}}
        await self._client.patch(r.NODES, NODE, status, subresource="status")

    async def label(self, labels: dict[str, str | None]) -> None:
        await self._client.patch(r.NODES, NODE, {"metadata": {"labels": labels}})


class NobodyAsks:
    """In the place of the fake engine: kwok's pods don't answer, and nobody asks them."""

    requests: tuple[()] = ()


class BedHome(Home):
    """The same face over the bed."""

    def __init__(self, client: Client) -> None:
        super().__init__(client, KwokNode(client), NobodyAsks())  # type: ignore[arg-type]

    async def until(
        self, what: str, check: Callable[[], Awaitable[Any]], timeout: float = 60.0
    ) -> Any:
        return await super().until(what, check, timeout)

    async def clear(self) -> None:
        """Takes away what the scenarios look at in the whole cluster."""
        await self._delete_all(o.INFERENCE_SERVICES)
        await self._delete_all(o.CLUSTER_SERVING_RUNTIMES)
        await self._delete_all(o.CLUSTER_BASE_MODELS)
        await self._delete_all(r.CONFIG_MAPS, "ome", f"{c.L_MODEL_STATUS}=true")
        for name in ("chat", "chat-engine"):
            await self._gone(r.SERVICES, name, "default")

        async def empty() -> bool:
            kinds = (r.DEPLOYMENTS, r.HORIZONTAL_POD_AUTOSCALERS, r.PODS)
            return not [name for kind in kinds for name in await self.names(kind)]

        await self.until("the namespace is empty", empty)

    async def _delete_all(self, resource: Resource, namespace: str = "", labels: str = "") -> None:
        """Nobody is left who would let go of finalizers."""
        for item in (await self.client.list(resource, namespace, label_selector=labels)).items:
            meta = item["metadata"]
            where = meta.get("namespace") or ""
            if meta.get("finalizers"):
                free = {"metadata": {"finalizers": None}}
                await self.client.patch(resource, meta["name"], free, namespace=where)
            await self._gone(resource, meta["name"], where)

    async def _gone(self, resource: Resource, name: str, namespace: str) -> None:
        try:
            await self.client.delete(resource, name, namespace)
        except NotFound:
            return


@pytest_asyncio.fixture
async def home(
    bed: ControlPlane, cluster: Kubectl, definitions: list[Answer]
) -> AsyncIterator[BedHome]:
    async with await connect(bed.kubeconfig()) as client:
        space = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "ome"}}
        await client.apply(r.NAMESPACES, space, field_manager="test")
        ingress = {
            "ingressDomain": "127.0.0.1:1",
            "pathTemplate": "/services/{{ .Namespace }}/{{ .Name }}",
            "disableIngressCreation": True,
        }
        config = {
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": {"name": CONFIG, "namespace": "ome"},
            "data": {"ingress": json.dumps(ingress)},
        }
        await client.apply(r.CONFIG_MAPS, config, field_manager="test")
        found = BedHome(client)
        await found.clear()
        webhooks = Replica(client)
        try:
            await found.kubelet.register()
            await webhooks.start()
            await _reviewing(found, webhooks)
            await found.start_operator()
            yield found
        finally:
            await found.stop_operator()
            await webhooks.stop()  # first: it puts a configuration back that somebody deletes
            for resource, names in configuration_names().items():
                for name in names:
                    await found._gone(resource, name, "")
            await found.clear()
            await found._gone(r.NODES, NODE, "")
            await found._gone(r.CONFIG_MAPS, CONFIG, "ome")


async def _reviewing(home: BedHome, webhooks: Replica) -> None:
    """The API server learns of a registration a moment after it was written."""
    probe = {
        "apiVersion": "ome.io/v1beta1",
        "kind": "InferenceService",
        "metadata": {"name": "probe", "namespace": "default"},
        "spec": {"model": {"name": "nowhere"}, "engine": {}},
    }

    async def reviewed() -> bool:
        if webhooks.problems():
            return False
        made = await home.client.create(o.INFERENCE_SERVICES, probe, dry_run=True)
        return "maxReplicas" in made["spec"]["engine"]

    async def passes() -> bool:
        try:
            return await reviewed()
        except Exception as error:
            await asyncio.sleep(0.1)
            if "failed calling webhook" in str(error):
                return False
            raise

    await home.until("writes come by the webhooks", passes)
