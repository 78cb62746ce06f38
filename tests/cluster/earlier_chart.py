"""The earlier installation's charts, imitated: objects with the names that those are known to make.

Selectors, webhooks' service, and what cert-manager did for it are as they were; images are not run.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import yaml

from ome.api.crds import all_crds

Object = dict[str, Any]
CONFIG = {
    # As such ConfigMaps are written: JSON over several lines, a null, a section of its own.
    "ingress": '{\n  "ingressGateway": "knative-serving/knative-ingress-gateway",\n'
    '  "ingressService": "istio-ingressgateway.istio-system.svc.cluster.local",\n'
    '  "ingressDomain": "models.example",\n  "additionalIngressDomains": null,\n'
    '  "disableIngressCreation": true\n}',
    "deploy": json.dumps({"defaultDeploymentMode": "RawDeployment"}),
    "multinodeProber": json.dumps({"image": "prober:0", "startupInitialDelaySeconds": 200}),
    "kedaConfig": json.dumps({"enableKeda": False}),
    "ownSection": json.dumps({"of": "somebody"}),
}
_INJECT = {"cert-manager.io/inject-ca-from": "ome/serving-cert"}


def crd_chart(folder: Path) -> Path:
    """CRDs as templates, as charts have them whose uninstallation deletes everything."""
    crds: list[Object] = []
    for crd in json.loads(json.dumps(all_crds(), default=str)):
        crd["metadata"]["annotations"] = {"controller-gen.kubebuilder.io/version": "v0.16.2"}
        if crd["metadata"]["name"] == "inferenceservices.ome.io":
            service = {"namespace": "ome", "name": "ome-webhook-server-service", "path": "/convert"}
            webhook = {"clientConfig": {"service": service}, "conversionReviewVersions": ["v1"]}
            crd["spec"]["conversion"] = {"strategy": "Webhook", "webhook": webhook}
        crds.append(crd)
    return _write(folder / "ome-crd", crds)


def resources_chart(folder: Path) -> Path:
    return _write(folder / "ome-resources", resources())


def resources() -> list[Object]:
    rbac = "rbac.authorization.k8s.io/v1"
    manager, agent = "ome-controller-manager", "ome-model-agent"
    found = [
        _object("v1", "ServiceAccount", manager),
        _object("v1", "ServiceAccount", agent),
        _object("v1", "ConfigMap", "model-agent-config-map", data={"instance-type-map": "{}"}),
        _object("v1", "ConfigMap", "inferenceservice-config", data=CONFIG),
        _object(
            "v1",
            "ConfigMap",
            "benchmarkjob-config",
            data={"benchmarkjob": json.dumps({"podConfig": {"image": "bench:0"}})},
        ),
    ]
    for role, account in (("ome-manager-role", manager), ("ome-model-agent", agent)):
        everything = {"apiGroups": ["*"], "resources": ["*"], "verbs": ["*"]}
        reference = {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": role}
        binding = "ome-manager-rolebinding" if account == manager else "ome-model-agent"
        found += [
            _object(rbac, "ClusterRole", role, "", rules=[everything]),
            _object(
                rbac,
                "ClusterRoleBinding",
                binding,
                "",
                roleRef=reference,
                subjects=[{"kind": "ServiceAccount", "name": account, "namespace": "ome"}],
            ),
        ]
    found.append(_object(rbac, "ClusterRole", "ome-proxy-role", "", rules=[]))
    found.append(
        _object(
            "v1",
            "Service",
            "ome-webhook-server-service",
            spec={
                "selector": {"control-plane": manager, "app": "ome"},
                "ports": [{"port": 443, "targetPort": "webhook-server"}],
            },
        )
    )
    found.append(_workload("Deployment", manager, replicas=1))
    found.append(_workload("DaemonSet", "ome-model-agent-daemonset"))
    found += _webhooks()
    api = "cert-manager.io/v1"
    found.append(_object(api, "Issuer", "selfsigned-issuer", spec={"selfSigned": {}}))
    found.append(
        _object(
            api,
            "Certificate",
            "serving-cert",
            spec={"secretName": "ome-webhook-server-cert", "dnsNames": ["ome"]},
        )
    )
    return found


def _workload(kind: str, name: str, **spec: Any) -> Object:
    labels = {"control-plane": name, "app": "ome", "app.kubernetes.io/managed-by": "earlier"}
    container = {"name": "manager", "image": "earlier:0", "command": ["/manager"]}
    template = {"metadata": {"labels": labels}, "spec": {"containers": [container]}}
    selector = {"matchLabels": labels}
    return _object("apps/v1", kind, name, spec={**spec, "selector": selector, "template": template})


def _webhooks() -> list[Object]:
    """Nobody answers here, so they are told to let everything pass."""
    api, found = "admissionregistration.k8s.io/v1", []
    for kind, name, path, resource in (
        ("Mutating", "inferenceservice", "mutate-pods", "pods"),
        ("Validating", "inferenceservice", "validate-isvc", "inferenceservices"),
        ("Validating", "servingruntime", "validate-sr", "servingruntimes"),
        ("Validating", "clusterservingruntime", "validate-csr", "clusterservingruntimes"),
        ("Validating", "benchmarkjob", "validate-bj", "benchmarkjobs"),
    ):
        role = "pod-mutator" if kind == "Mutating" else "validator"
        group = "" if resource == "pods" else "ome.io"
        version = "v1" if resource == "pods" else "v1beta1"
        service = {"namespace": "ome", "name": "ome-webhook-server-service", "path": f"/{path}"}
        hook = {
            "name": f"{name}.ome-webhook-server.{role}",
            "clientConfig": {"service": service},
            "failurePolicy": "Ignore",
            "sideEffects": "None",
            "timeoutSeconds": 1,
            "admissionReviewVersions": ["v1beta1"],
            "rules": [
                {
                    "apiGroups": [group],
                    "apiVersions": [version],
                    "operations": ["CREATE"],
                    "resources": [resource],
                }
            ],
            "objectSelector": {"matchLabels": {"never": "there"}},
        }
        made = _object(api, f"{kind}WebhookConfiguration", f"{name}.ome.io", "", webhooks=[hook])
        made["metadata"]["annotations"] = dict(_INJECT)
        found.append(made)
    return found


def cert_manager() -> list[Object]:
    """CRDs of cert-manager, as far as they matter here."""
    found = []
    for kind in ("Certificate", "Issuer"):
        plural = f"{kind.lower()}s"
        schema = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
        version = {
            "name": "v1",
            "served": True,
            "storage": True,
            "schema": {"openAPIV3Schema": schema},
        }
        found.append(
            {
                "apiVersion": "apiextensions.k8s.io/v1",
                "kind": "CustomResourceDefinition",
                "metadata": {"name": f"{plural}.cert-manager.io"},
                "spec": {
                    "group": "cert-manager.io",
                    "names": {"kind": kind, "plural": plural},
                    "scope": "Namespaced",
                    "versions": [version],
                },
            }
        )
    return found


def _object(api: str, kind: str, name: str, namespace: str = "ome", **rest: Any) -> Object:
    meta = {"name": name, **({"namespace": namespace} if namespace else {})}
    return {"apiVersion": api, "kind": kind, "metadata": meta, **rest}


def _write(folder: Path, objects: list[Object]) -> Path:
    (folder / "templates").mkdir(parents=True)
    chart = {"apiVersion": "v2", "name": folder.name, "version": "0.1.5"}
    (folder / "Chart.yaml").write_text(yaml.safe_dump(chart))
    for number, obj in enumerate(objects):
        text = json.dumps(obj).replace("{{", '{{ "{{" }}')
        (folder / "templates" / f"{number:02}.yaml").write_text(text)
    return folder
