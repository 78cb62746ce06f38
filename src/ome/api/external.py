"""Kinds of other projects of which OME makes objects, and what of their contract it relies on.

None of them has to be there: :class:`ome.rendering.Capabilities` says which the cluster serves.
"""

from __future__ import annotations

from typing import Final

from ome.apimachinery.objects import Resource

LEADER_WORKER_SETS: Final = Resource(
    "leaderworkerset.x-k8s.io", "v1", "leaderworkersets", "LeaderWorkerSet"
)
SCALED_OBJECTS: Final = Resource("keda.sh", "v1alpha1", "scaledobjects", "ScaledObject")
KNATIVE_SERVICES: Final = Resource("serving.knative.dev", "v1", "services", "Service")
RAY_CLUSTERS: Final = Resource("ray.io", "v1", "rayclusters", "RayCluster")
HTTP_ROUTES: Final = Resource("gateway.networking.k8s.io", "v1", "httproutes", "HTTPRoute")
VIRTUAL_SERVICES: Final = Resource(
    "networking.istio.io", "v1beta1", "virtualservices", "VirtualService"
)
SIDECARS: Final = Resource("networking.istio.io", "v1beta1", "sidecars", "Sidecar")

ALL: Final[tuple[Resource, ...]] = (
    LEADER_WORKER_SETS,
    SCALED_OBJECTS,
    KNATIVE_SERVICES,
    RAY_CLUSTERS,
    HTTP_ROUTES,
    VIRTUAL_SERVICES,
    SIDECARS,
)

PROJECTS: Final = {
    LEADER_WORKER_SETS: "LeaderWorkerSet (https://lws.sigs.k8s.io)",
    SCALED_OBJECTS: "KEDA (https://keda.sh)",
    KNATIVE_SERVICES: "Knative Serving (https://knative.dev)",
    RAY_CLUSTERS: "KubeRay (https://docs.ray.io/en/latest/cluster/kubernetes)",
    HTTP_ROUTES: "the Gateway API (https://gateway-api.sigs.k8s.io)",
    VIRTUAL_SERVICES: "Istio (https://istio.io)",
    SIDECARS: "Istio (https://istio.io)",
}
"""What has to be installed for a kind, for sentences about a missing one."""

L_LWS_WORKER_INDEX: Final = "leaderworkerset.sigs.k8s.io/worker-index"
"""The LeaderWorkerSet controller puts it on pods; ``0`` is the leader."""
RAY_HEAD: Final = "head"
"""Value of ``ray.io/node-type`` on the pod that takes requests (leaders carry it too)."""
E_LWS_GROUP_SIZE: Final = "LWS_GROUP_SIZE"
E_LWS_LEADER_ADDRESS: Final = "LWS_LEADER_ADDRESS"
E_LWS_WORKER_INDEX: Final = "LWS_WORKER_INDEX"

KPA_CLASS: Final = "kpa.autoscaling.knative.dev"
A_KNATIVE_CLASS: Final = "autoscaling.knative.dev/class"
A_KNATIVE_TARGET: Final = "autoscaling.knative.dev/target"
A_KNATIVE_METRIC: Final = "autoscaling.knative.dev/metric"
A_REVISION: Final = "deployment.kubernetes.io/revision"
