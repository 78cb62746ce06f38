"""The rights of operator and agent. Every rule says what it is for; a test on a real API server
counts that each is used and that none is missing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from ome.admission.certificates import SECRET_NAME
from ome.admission.registration import configuration_names
from ome.api import constants as c
from ome.api.external import ALL as EXTERNAL_KINDS
from ome.api.external import PROJECTS
from ome.apimachinery.objects import Object
from ome.apimachinery.resources import MUTATING_WEBHOOKS, VALIDATING_WEBHOOKS

READ: Final = ("list", "watch")
CHILD: Final = (*READ, "create", "patch", "delete")
"""Children are watched, made, changed and deleted. Who has a name that is taken is found by a list,
so that nothing needs the right to get."""


@dataclass(frozen=True, slots=True)
class Rule:
    why: str
    group: str
    resources: tuple[str, ...]
    verbs: Sequence[str]
    names: tuple[str, ...] = ()

    def to_object(self) -> Object:
        rule: Object = {
            "apiGroups": [self.group],
            "resources": list(self.resources),
            "verbs": list(self.verbs),
        }
        if self.names:
            rule["resourceNames"] = list(self.names)
        return rule


_OME: Final = "ome.io"
_RBAC: Final = "rbac.authorization.k8s.io"
_ADMISSION: Final = "admissionregistration.k8s.io"
_MODELS: Final = ("basemodels", "clusterbasemodels", "finetunedweights")
_CONFIGURATIONS: Final = configuration_names()

OPERATOR_CLUSTER: Final = (
    Rule(
        "what people ask for; patch lets go of a finalizer of the earlier manager",
        _OME,
        ("inferenceservices",),
        ("list", "watch", "patch"),
    ),
    Rule("what became of it", _OME, ("inferenceservices/status",), ("update",)),
    Rule(
        "children name the service as an owner that can't go before them",
        _OME,
        ("inferenceservices/finalizers",),
        ("update",),
    ),
    Rule(
        "models: finalizers, and facts read from their files",
        _OME,
        _MODELS,
        ("list", "watch", "patch"),
    ),
    Rule("where models are", _OME, tuple(f"{m}/status" for m in _MODELS), ("update",)),
    Rule(
        "what services are chosen from and checked against",
        _OME,
        ("servingruntimes", "clusterservingruntimes", "acceleratorclasses"),
        READ,
    ),
    Rule("children: the workload", "apps", ("deployments",), CHILD),
    Rule(
        "children: addresses, the served model's description, the router's account; in our own "
        "namespace also the configuration and what nodes report",
        "",
        ("services", "configmaps", "serviceaccounts"),
        CHILD,
    ),
    Rule("children: scaling", "autoscaling", ("horizontalpodautoscalers",), CHILD),
    Rule("children: disruption budgets", "policy", ("poddisruptionbudgets",), CHILD),
    Rule("children: what the router may do", _RBAC, ("roles", "rolebindings"), CHILD),
    *(
        Rule(
            f"children: {resource.kind} of {PROJECTS[resource].partition(' (')[0]}",
            resource.group,
            (resource.plural,),
            CHILD,
        )
        for resource in EXTERNAL_KINDS
    ),
    Rule("children: addresses from outside", "networking.k8s.io", ("ingresses",), CHILD),
    Rule("which accelerators there are", _OME, ("acceleratorclasses/status",), ("update",)),
    Rule(
        "accelerator classes: the finalizer of the earlier manager is let go of",
        _OME,
        ("acceleratorclasses",),
        ("patch",),
    ),
    Rule(
        "why engines are not ready; get because routers are given it, and nobody can give what "
        "they don't have",
        "",
        ("pods",),
        ("get", *READ),
    ),
    Rule("the last words of a crashed engine", "", ("pods/log",), ("get",)),
    Rule(
        "benchmarks; patch lets go of a finalizer of the earlier manager",
        _OME,
        ("benchmarkjobs",),
        ("list", "watch", "patch"),
    ),
    Rule("how far benchmarks are", _OME, ("benchmarkjobs/status",), ("update",)),
    Rule(
        "Jobs of benchmarks name them as owners that can't go before them",
        _OME,
        ("benchmarkjobs/finalizers",),
        ("update",),
    ),
    Rule(
        "children: the Jobs of benchmarks, and those that look at the files of models on claims; "
        "get, because one that a cache lacks may be there",
        "batch",
        ("jobs",),
        ("get", *CHILD),
    ),
    Rule("models on claims: whether the claim is there", "", ("persistentvolumeclaims",), ("get",)),
    Rule("which nodes live", "", ("nodes",), READ),
    Rule("telling people what happened", "", ("events",), ("create", "patch")),
    Rule(
        "which kinds there are, by name",
        "apiextensions.k8s.io",
        ("customresourcedefinitions",),
        READ,
    ),
    Rule(
        "noticing that the trust in our webhooks is gone (can't be limited to names)",
        _ADMISSION,
        ("mutatingwebhookconfigurations", "validatingwebhookconfigurations"),
        READ,
    ),
    Rule(
        "keeping the trust in our webhooks fresh",
        _ADMISSION,
        ("mutatingwebhookconfigurations",),
        ("get", "update"),
        _CONFIGURATIONS[MUTATING_WEBHOOKS],
    ),
    Rule(
        "keeping the trust in our webhooks fresh",
        _ADMISSION,
        ("validatingwebhookconfigurations",),
        ("get", "update"),
        _CONFIGURATIONS[VALIDATING_WEBHOOKS],
    ),
)
OPERATOR_CATALOG: Final = (
    Rule(
        "the shipped catalog, where an installation asks for it",
        _OME,
        ("clusterservingruntimes", "acceleratorclasses", "clusterbasemodels"),
        ("get", "create", "patch"),
    ),
)
OPERATOR_OWN: Final = (
    Rule(
        "electing a leader (create can't be limited to a name)",
        "coordination.k8s.io",
        ("leases",),
        ("create",),
    ),
    Rule(
        "electing a leader",
        "coordination.k8s.io",
        ("leases",),
        ("get", "update"),
        (c.LEADER_LEASE,),
    ),
    Rule(
        "the webhooks' certificate (create can't be limited to a name)",
        "",
        ("secrets",),
        ("create",),
    ),
    Rule("the webhooks' certificate", "", ("secrets",), ("get", "update"), (SECRET_NAME,)),
)
AGENT_CLUSTER: Final = (
    Rule("which models there are", _OME, _MODELS, READ),
    Rule("which models services wait for", _OME, ("inferenceservices",), ("list",)),
    Rule(
        "this node's labels, and saying on them which models it has",
        "",
        ("nodes",),
        (*READ, "patch"),
    ),
    Rule("which models on this node are in use", "", ("pods",), READ),
)
AGENT_SECRETS: Final = (
    Rule(
        "the credentials that a model names, read when they are needed", "", ("secrets",), ("get",)
    ),
)
AGENT_OWN: Final = (
    Rule("what this node reports", "", ("configmaps",), (*READ, "create", "patch")),
    Rule(
        "taking turns at the origin of a model",
        "coordination.k8s.io",
        ("leases",),
        ("get", "create", "update", "delete"),
    ),
    Rule(
        "making the key that agents share (create can't be limited to a name)",
        "",
        ("secrets",),
        ("create",),
    ),
)


def role(
    kind: str, name: str, labels: Object, rules: Sequence[Rule], namespace: str = ""
) -> Object:
    meta: Object = {"name": name, "labels": labels}
    if namespace:
        meta["namespace"] = namespace
    return {
        "apiVersion": f"{_RBAC}/v1",
        "kind": kind,
        "metadata": meta,
        "rules": [rule.to_object() for rule in rules],
    }


def binding(role_: Object, account: str, account_namespace: str) -> Object:
    """Gives the role to the account; named like the role, with ``binding`` after it."""
    meta = dict(role_["metadata"])
    meta["name"] = (
        f"{meta['name']}binding"
        if meta["name"].endswith("role")
        else (f"{meta['name']}-rolebinding")
    )
    return {
        "apiVersion": f"{_RBAC}/v1",
        "kind": f"{role_['kind']}Binding",
        "metadata": meta,
        "roleRef": {
            "apiGroup": _RBAC,
            "kind": role_["kind"],
            "name": role_["metadata"]["name"],
        },
        "subjects": [{"kind": "ServiceAccount", "name": account, "namespace": account_namespace}],
    }
