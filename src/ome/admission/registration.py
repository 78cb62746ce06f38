"""Which writes the API server asks us about: the webhook configurations.

One table of :class:`Hook`. Names and paths of the first six are those that clusters have had
before, so that an installation is taken over in place; models, weights and accelerator classes are
new.

The rules that hold for all of them:

* ``failurePolicy: Fail``: nothing slips by while the webhooks are away. So nothing that is needed
  to bring them back may depend on them: the pods of the operator's own namespace are left out, and
  so are objects that are being deleted (their finalizers can go without us).
* ``sideEffects: None``: dry runs are reviewed like everything else.
* Two forms of address: a Service inside the cluster, or a URL (tests, and operators that run
  outside of it).
"""

from __future__ import annotations

import base64
from dataclasses import dataclass
from typing import Final

from ome.api import constants as c
from ome.api import resources as o
from ome.apimachinery.objects import Object, Resource
from ome.apimachinery.resources import MUTATING_WEBHOOKS, PODS, VALIDATING_WEBHOOKS

SERVICE_NAME: Final = "ome-webhook-server-service"
SERVICE_PORT: Final = 443
REVIEW_VERSIONS: Final = ("v1", "v1beta1")
TIMEOUT_SECONDS: Final = 10
L_NAMESPACE_NAME: Final = "kubernetes.io/metadata.name"


@dataclass(frozen=True, slots=True)
class Hook:
    """One webhook. ``configuration`` names the object that it stands in."""

    configuration: str
    name: str
    path: str
    resource: Resource
    mutating: bool
    operations: tuple[str, ...] = ("CREATE", "UPDATE")


def _validator(resource: Resource) -> Hook:
    kind = resource.kind.lower()
    return Hook(
        f"{kind}.{o.GROUP}",
        f"{kind}.ome-webhook-server.validator",
        f"/validate-ome-io-{o.VERSION}-{kind}",
        resource,
        mutating=False,
    )


DEFAULTER: Final = Hook(
    f"inferenceservice.{o.GROUP}",
    "inferenceservice.ome-webhook-server.defaulter",
    f"/mutate-ome-io-{o.VERSION}-inferenceservice",
    o.INFERENCE_SERVICES,
    mutating=True,
)
POD_MUTATOR: Final = Hook(
    f"inferenceservice.{o.GROUP}",
    "inferenceservice.ome-webhook-server.pod-mutator",
    "/mutate-pods",
    PODS,
    mutating=True,
    operations=("CREATE",),
)
HOOKS: Final = (DEFAULTER, POD_MUTATOR, *(_validator(resource) for resource in o.ALL))


@dataclass(frozen=True, slots=True)
class Address:
    """Where the API server finds us: ``url`` (``https://host:port``), or a Service."""

    namespace: str = c.DEFAULT_NAMESPACE
    service: str = SERVICE_NAME
    url: str = ""

    def dns_names(self) -> tuple[str, ...]:
        """What the certificate must name, for the form with a Service."""
        inside = f"{self.service}.{self.namespace}"
        return (f"{inside}.svc", inside, self.service, f"{inside}.svc.cluster.local")

    def client_config(self, path: str, ca_bundle: bytes) -> Object:
        if self.url:
            found: Object = {"url": self.url.rstrip("/") + path}
        else:
            found = {
                "service": {
                    "name": self.service,
                    "namespace": self.namespace,
                    "path": path,
                    "port": SERVICE_PORT,
                }
            }
        if ca_bundle:
            found["caBundle"] = base64.b64encode(ca_bundle).decode()
        return found


def configurations(address: Address, ca_bundle: bytes = b"") -> list[Object]:
    """The objects to apply. Without ``ca_bundle`` the running operator fills it in."""
    found: dict[tuple[bool, str], Object] = {}
    for hook in HOOKS:
        resource = MUTATING_WEBHOOKS if hook.mutating else VALIDATING_WEBHOOKS
        configuration = found.setdefault(
            (hook.mutating, hook.configuration),
            {
                "apiVersion": resource.api_version,
                "kind": resource.kind,
                "metadata": {
                    "name": hook.configuration,
                    "labels": {c.L_PART_OF: c.OPERATOR_NAME},
                },
                "webhooks": [],
            },
        )
        configuration["webhooks"].append(_webhook(hook, address, ca_bundle))
    return list(found.values())


def configuration_names() -> dict[Resource, tuple[str, ...]]:
    """The objects of :func:`configurations` by kind."""
    return {
        resource: tuple(dict.fromkeys(h.configuration for h in HOOKS if h.mutating is mutating))
        for resource, mutating in ((MUTATING_WEBHOOKS, True), (VALIDATING_WEBHOOKS, False))
    }


def _webhook(hook: Hook, address: Address, ca_bundle: bytes) -> Object:
    resource = hook.resource
    webhook: Object = {
        "name": hook.name,
        "admissionReviewVersions": list(REVIEW_VERSIONS),
        "clientConfig": address.client_config(hook.path, ca_bundle),
        "failurePolicy": "Fail",
        "matchPolicy": "Equivalent",
        "rules": [
            {
                "apiGroups": [resource.group],
                "apiVersions": [resource.version],
                "operations": list(hook.operations),
                "resources": [resource.plural],
                "scope": "Namespaced" if resource.namespaced else "Cluster",
            }
        ],
        "sideEffects": "None",
        "timeoutSeconds": TIMEOUT_SECONDS,
    }
    if hook is POD_MUTATOR:
        webhook["reinvocationPolicy"] = "IfNeeded"
        webhook["objectSelector"] = {
            "matchExpressions": [{"key": c.L_INFERENCE_SERVICE, "operator": "Exists"}]
        }
        webhook["namespaceSelector"] = {
            "matchExpressions": [
                {"key": c.L_CONTROL_PLANE, "operator": "DoesNotExist"},
                {"key": L_NAMESPACE_NAME, "operator": "NotIn", "values": [address.namespace]},
            ]
        }
    else:
        webhook["matchConditions"] = [
            {
                "name": "not-being-deleted",
                "expression": "!has(object.metadata.deletionTimestamp)",
            }
        ]
    return webhook
