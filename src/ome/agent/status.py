"""What the agent tells the cluster: one key of the node's ConfigMap and one label, per model.

Each write touches one key only, so two models (or two agents during a handover) never undo each
other. What is already there is not written again. The label is what lets pods onto the node: it
goes first when a model stops being ready and last when it becomes ready.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from ome.agent.identity import data_key, label_key
from ome.api import constants as c
from ome.apimachinery.errors import AlreadyExists, NotFound
from ome.apimachinery.objects import Key, Object
from ome.apimachinery.resources import CONFIG_MAPS, NODES
from ome.kube import Client

MANAGER = "ome-agent"


class NodeStatus:
    """Writes for one node. ``namespace`` is the operator's."""

    def __init__(self, client: Client, node: str, namespace: str) -> None:
        self._client = client
        self._node = node
        self._namespace = namespace
        self._entries: dict[str, str] = {}
        self._labels: dict[str, str | None] = {}

    def saw_config_map(self, obj: Mapping[str, Any] | None) -> None:
        """The ConfigMap as the server has it now; None where it is gone."""
        self._entries = dict((obj or {}).get("data") or {})

    def saw_labels(self, labels: Mapping[str, str]) -> None:
        domain = c.MODEL_LABEL_DOMAIN + "/"
        self._labels = {k: v for k, v in labels.items() if k.startswith(domain)}

    @property
    def entries(self) -> Mapping[str, str]:
        return self._entries

    @property
    def labels(self) -> Mapping[str, str | None]:
        return self._labels

    async def set(self, key: Key, status: str, entry: Mapping[str, Any]) -> None:
        """Make label and ConfigMap say ``status``; ``entry`` is the rest of the JSON value."""
        if status != c.NODE_MODEL_READY:
            await self._label(label_key(key), status)
        await self.tell(key, status, entry)
        if status == c.NODE_MODEL_READY:
            await self._label(label_key(key), status)

    async def tell(self, key: Key, status: str, entry: Mapping[str, Any]) -> None:
        """Write the ConfigMap alone; the label stays as it is."""
        value = {"name": key.name, "status": status, **entry}
        await self._entry(data_key(key), json.dumps(value, separators=(",", ":")))

    async def unlabel(self, key: Key) -> None:
        await self._label(label_key(key), None)

    async def remove(self, key: Key) -> None:
        """Forget the model: no label, no key."""
        await self._label(label_key(key), None)
        await self.remove_data_key(data_key(key))

    async def remove_data_key(self, name: str) -> None:
        if name not in self._entries:
            return
        patch: Object = {"data": {name: None}}
        try:
            await self._patch(patch)
        except NotFound:
            self._entries.clear()
            return
        self._entries.pop(name, None)

    async def remove_label(self, name: str) -> None:
        await self._label(name, None)

    async def _entry(self, name: str, text: str) -> None:
        if self._entries.get(name) == text:
            return
        try:
            await self._patch({"metadata": self._metadata(), "data": {name: text}})
        except NotFound:
            await self._create({name: text})
        self._entries[name] = text

    async def _create(self, data: dict[str, str]) -> None:
        obj: Object = {
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": {
                "name": self._node,
                "namespace": self._namespace,
                **self._metadata(),
            },
            "data": data,
        }
        try:
            await self._client.create(CONFIG_MAPS, obj, field_manager=MANAGER)
        except AlreadyExists:
            await self._patch({"metadata": self._metadata(), "data": data})

    async def _patch(self, patch: Object) -> None:
        await self._client.patch(
            CONFIG_MAPS, self._node, patch, namespace=self._namespace, field_manager=MANAGER
        )

    def _metadata(self) -> Object:
        return {
            "labels": {c.L_MODEL_STATUS: "true", "node": self._node},
            "annotations": {
                c.A_NODE_NAME: self._node,
                c.A_MANAGED_BY: c.MANAGED_BY_MODEL_AGENT,
            },
        }

    async def _label(self, name: str, value: str | None) -> None:
        if self._labels.get(name) == value:
            return
        patch: Object = {"metadata": {"labels": {name: value}}}
        await self._client.patch(NODES, self._node, patch, field_manager=MANAGER)
        if value is None:
            self._labels.pop(name, None)
        else:
            self._labels[name] = value
