"""Routes that the implementation before this one made carry no label, and are found once.

Children are watched by their label. Ingresses, VirtualServices and HTTPRoutes of before have the
owner reference alone: one that is no longer needed (ingress switched off since) would lead requests
to its service for ever, with nobody looking. So whoever begins to lead gives those the label; what
becomes of them is then decided like of every child.
"""

from __future__ import annotations

import logging

from ome.api import constants as c
from ome.api import external as x
from ome.api import names
from ome.api import resources as o
from ome.apimachinery import resources as r
from ome.apimachinery.errors import Conflict, NotFound, StatusError
from ome.apimachinery.objects import Object, Resource, controller_of, is_deleting, key_of
from ome.controllers.cluster import Cluster
from ome.kube import Client, KubeError

log = logging.getLogger("ome.controllers.unlabelled")

KINDS = (r.INGRESSES, x.VIRTUAL_SERVICES, x.HTTP_ROUTES)


async def label_routes(client: Client, cluster: Cluster) -> None:
    """What can't be read or written now is logged; the next leader looks again."""
    for resource in KINDS:
        if not cluster.capabilities.has(resource):
            continue
        try:
            found = await client.list(resource, label_selector=f"!{c.L_INFERENCE_SERVICE}")
            for route in found.items:
                await _label(client, cluster, resource, route)
        except (StatusError, KubeError) as error:
            log.warning("can't look for %s without a label: %s", resource, error)


async def _label(client: Client, cluster: Cluster, resource: Resource, route: Object) -> None:
    owner = controller_of(route)
    if owner is None or owner.get("kind") != o.INFERENCE_SERVICES.kind or is_deleting(route):
        return
    key = key_of(route)
    service = cluster.services.snapshot(key.namespace, str(owner.get("name")))
    if service is None or service.metadata.get("uid") != owner.get("uid"):
        return  # another's, or on its way out with its owner
    label = {c.L_INFERENCE_SERVICE: names.label_value(service.key.name)}
    version = (route.get("metadata") or {}).get("resourceVersion")
    patch = {"metadata": {"labels": label, "resourceVersion": version}}
    try:
        await client.patch(
            resource, key.name, patch, namespace=key.namespace, field_manager=c.MANAGER
        )
    except (Conflict, NotFound):
        return  # whoever changed it sees to it, or it is gone
    log.info("%s: %s %s gets its label", key.namespace, resource.kind, key.name)
