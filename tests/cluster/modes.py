"""A service of every mode: what it asks for, what has to be there, and an update of it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from tests.fakes.objects import runtime, service
from tests.unit.rendering.modes import GATEWAYS, gpu_runtime

from ome.api import external as x
from ome.apimachinery import resources as r
from ome.apimachinery.objects import Object, Resource

DISABLED = {"disableIngressCreation": True, "ingressDomain": "svc.cluster.local"}
EXAMPLE = {"ingressDomain": "example.com", "domainTemplate": "{{ .Name }}.{{ .IngressDomain }}"}
RT, GROUPS = {"name": "rt"}, {"name": "groups"}
"""Named, not chosen: the cluster has what other tests' files left, too."""
NEW = {"runner": {"name": "ome-container", "image": "engine:2"}}
NEW_GROUP = {"leader": NEW, "worker": NEW}
RAY = {"annotations": {"ome.io/deploymentMode": "MultiNodeRayVLLM"}}
VIRTUAL = {"ome.io/deploymentMode": "VirtualDeployment"}


def parts() -> Object:
    """A runtime whose engine is a group of pods, whose decoder is not, with a router."""
    made = gpu_runtime(2)
    made["metadata"]["name"] = "parts"
    made["spec"]["decoderConfig"] = runtime()["spec"]["engineConfig"]
    made["spec"]["routerConfig"] = {
        "runner": {"name": "router", "image": "router:1", "ports": [{"containerPort": 8080}]}
    }
    return made


def annotated(subject: Object, annotations: Object) -> Object:
    subject["metadata"]["annotations"] = annotations
    return subject


@dataclass(frozen=True)
class Case:
    """``updated`` is the service after an update that reaches the pods of ``workloads``."""

    service: Object
    updated: Object
    workloads: tuple[tuple[Resource, str], ...]
    others: tuple[tuple[Resource, str], ...] = ()
    """Further children that have to be there."""
    ingress: Object = field(default_factory=lambda: DISABLED)
    runtime: Object = field(default_factory=runtime)
    url: str = ""
    conditions: tuple[str, ...] = ()
    reason: str = "Serving"


def _engine(change: Object, **spec: Any) -> tuple[Object, Object]:
    """The service, and the same with a changed engine."""
    engine = spec.pop("engine", {"minReplicas": 1})
    return service(engine=engine, **spec), service(engine={**engine, **change}, **spec)


CASES = {
    "deployment": Case(
        *_engine(NEW, runtime=RT),
        ((r.DEPLOYMENTS, "chat-engine"),),
        (
            (r.SERVICES, "chat-engine"),
            (r.SERVICES, "chat"),
            (r.HORIZONTAL_POD_AUTOSCALERS, "chat-engine"),
            (r.POD_DISRUPTION_BUDGETS, "chat-engine"),
        ),
    ),
    "keda": Case(
        *_engine(
            NEW, runtime=RT, kedaConfig={"enableKeda": True, "authenticationRef": {"name": "p"}}
        ),
        ((r.DEPLOYMENTS, "chat-engine"),),
        ((x.SCALED_OBJECTS, "scaledobject-chat-engine"),),
    ),
    "groups": Case(
        *_engine(NEW_GROUP, runtime=GROUPS),
        ((x.LEADER_WORKER_SETS, "lws-chat-engine"),),
        ((r.SERVICES, "chat-engine"),),
        runtime=gpu_runtime(2),
    ),
    "disaggregated": Case(
        *_engine(NEW_GROUP, runtime={"name": "parts"}, decoder={"minReplicas": 2}, router={}),
        ((x.LEADER_WORKER_SETS, "lws-chat-engine"),),
        (
            (r.DEPLOYMENTS, "chat-decoder"),
            (r.DEPLOYMENTS, "chat-router"),
            (r.SERVICE_ACCOUNTS, "chat-router"),
            (r.ROLES, "chat-router"),
            (r.ROLE_BINDINGS, "chat-router"),
            (r.SERVICES, "chat-decoder"),
            (r.SERVICES, "chat-router"),
        ),
        runtime=parts(),
        conditions=("EngineReady", "DecoderReady", "RouterReady"),
    ),
    "serverless": Case(
        *_engine(
            NEW,
            model="on-claim",
            runtime=RT,
            engine={"minReplicas": 0, "maxReplicas": 2, "timeoutSeconds": 30},
        ),
        ((x.KNATIVE_SERVICES, "chat-engine"),),
        ((x.VIRTUAL_SERVICES, "chat"), (r.SERVICES, "chat")),
        {**GATEWAYS, **EXAMPLE},
        url="http://chat.{namespace}.example.com",
        conditions=("RoutesReady", "LatestDeploymentReady"),
    ),
    "ray": Case(
        *_engine(NEW_GROUP, runtime=GROUPS, engine={**RAY, "minReplicas": 2}),
        ((x.RAY_CLUSTERS, "chat-engine-0"), (x.RAY_CLUSTERS, "chat-engine-1")),
        ((r.DEPLOYMENTS, "chat-engine-0-mnp"), (r.DEPLOYMENTS, "chat-engine-1-mnp")),
        runtime=gpu_runtime(2),
    ),
    "virtual": Case(
        annotated(service(), VIRTUAL),
        annotated(service(engine=NEW), VIRTUAL),
        (),
        url="http://chat.{namespace}.svc.cluster.local",
        reason="VirtualDeployment",
    ),
    "ingress": Case(
        *_engine(NEW, runtime=RT),
        ((r.DEPLOYMENTS, "chat-engine"),),
        ((r.INGRESSES, "chat"),),
        EXAMPLE,
        url="http://chat.example.com",
    ),
    "gateway": Case(
        *_engine(NEW, runtime=RT, engine={"timeoutSeconds": 30}),
        ((r.DEPLOYMENTS, "chat-engine"),),
        ((x.HTTP_ROUTES, "chat"), (x.HTTP_ROUTES, "chat-engine"), (x.HTTP_ROUTES, "chat-path")),
        {
            **EXAMPLE,
            "enableGatewayAPI": True,
            "omeIngressGateway": "infra/gw",
            "pathTemplate": "/s/{{ .Name }}",
        },
        url="http://example.com/s/chat",
    ),
}
