"""What turns workload objects into pods, on one machine, as Kubernetes' own controllers would.

Deployments make ReplicaSets, ReplicaSets and Jobs make pods, the scheduler binds pods to nodes,
Services get Endpoints and EndpointSlices, owner references and namespaces are cleaned up. The
modules come in pairs: rules that are pure (``deployment``, ``job``, ``scheduling``, ``endpoints``,
``pods``) and controllers that look, ask them and act (``deployments``, ``replicasets``, ``jobs``,
``scheduler``, ``services``, ``garbage``, ``namespaces``). HorizontalPodAutoscalers and
PodDisruptionBudgets are accepted by the API and not acted upon here.
"""

from ome.standalone.workloads.running import run

__all__ = ["run"]
