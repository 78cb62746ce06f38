"""The operator's configuration as it is now, from a cached ConfigMap.

A section that can't be read keeps its last good value; ``problems`` says what is wrong, so that a
typo is reported instead of stopping every service.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field, replace
from typing import Any

from ome.apimachinery.objects import Object


@dataclass(frozen=True)
class IngressSection:
    ingress_domain: str = "example.com"
    domain_template: str = "{{ .Name }}.{{ .Namespace }}.{{ .IngressDomain }}"
    path_template: str | None = None
    url_scheme: str = "http"
    additional_ingress_domains: tuple[str, ...] | None = None
    disable_ingress_creation: bool = False
    disable_istio_virtual_host: bool = False
    enable_gateway_api: bool = False
    ingress_class_name: str | None = None
    ome_ingress_gateway: str = ""
    ingress_gateway: str = ""
    local_gateway: str = ""
    local_gateway_service: str = ""
    knative_local_gateway_service: str = ""


@dataclass(frozen=True)
class KedaSection:
    """What services that scale with KEDA leave out."""

    enabled: bool = True
    server_address: str = "http://prometheus-operated.monitoring.svc.cluster.local:9090"
    query: str = ""
    threshold: str = "10"
    operator: str = "GreaterThanOrEqual"


@dataclass(frozen=True)
class ProberSection:
    """The pod that watches the engine of a Ray cluster."""

    image: str = ""
    resources: dict[str, dict[str, str]] = field(
        default_factory=lambda: {
            "requests": {"cpu": "100m", "memory": "100Mi"},
            "limits": {"cpu": "100m", "memory": "100Mi"},
        }
    )
    startup: dict[str, int] = field(
        default_factory=lambda: {
            "failureThreshold": 150,
            "periodSeconds": 30,
            "initialDelaySeconds": 200,
            "timeoutSeconds": 60,
        }
    )
    unavailable_threshold_seconds: int = 1800
    """After so long without an answer a Ray cluster is made anew."""


@dataclass(frozen=True)
class OperatorSettings:
    ingress: IngressSection = field(default_factory=IngressSection)
    keda: KedaSection = field(default_factory=KedaSection)
    prober: ProberSection = field(default_factory=ProberSection)
    default_deployment_mode: str = ""
    completion_probe: bool = False
    """Ready needs a real answer through the service's address."""
    rollouts_at_once: int = 10
    """How many services follow a change of something shared at the same time."""
    problems: tuple[str, ...] = ()


def read(config_map: Object | None, last: OperatorSettings | None = None) -> OperatorSettings:
    """The settings of that ConfigMap; sections that are broken stay as they were in ``last``."""
    settings = last or OperatorSettings()
    problems: list[str] = []
    data = (config_map or {}).get("data") or {}

    def section(name: str) -> dict[str, Any] | None:
        text = data.get(name)
        if text is None:
            return {}
        try:
            value = json.loads(text)
        except ValueError as error:
            problems.append(f"{name}: not JSON: {error}")
            return None
        if not isinstance(value, dict):
            problems.append(f"{name}: must be a JSON object")
            return None
        return value

    ingress, deploy = section("ingress"), section("deploy")
    readiness, rollout = section("readiness"), section("rollout")
    keda, prober = section("kedaConfig"), section("multinodeProber")
    if keda is not None:
        settings = replace(settings, keda=_keda(keda))
    if prober is not None:
        settings = replace(settings, prober=_prober(prober))
    if ingress is not None:
        settings = replace(settings, ingress=_ingress(ingress))
    if deploy is not None:
        mode = deploy.get("defaultDeploymentMode") or ""
        settings = replace(settings, default_deployment_mode=mode)
    if readiness is not None:
        settings = replace(settings, completion_probe=readiness.get("probe") == "completion")
    if rollout is not None:
        count = rollout.get("servicesAtOnce", OperatorSettings.rollouts_at_once)
        if isinstance(count, int) and count > 0:
            settings = replace(settings, rollouts_at_once=count)
        else:
            problems.append("rollout.servicesAtOnce: must be a whole number of at least 1")
    return replace(settings, problems=tuple(problems))


def _ingress(raw: dict[str, Any]) -> IngressSection:
    default = IngressSection()
    additional = raw.get("additionalIngressDomains")
    return IngressSection(
        ingress_domain=raw.get("ingressDomain") or default.ingress_domain,
        domain_template=raw.get("domainTemplate") or default.domain_template,
        path_template=raw.get("pathTemplate") or None,
        url_scheme=raw.get("urlScheme") or default.url_scheme,
        additional_ingress_domains=tuple(additional) if additional else None,
        disable_ingress_creation=bool(raw.get("disableIngressCreation")),
        disable_istio_virtual_host=bool(raw.get("disableIstioVirtualHost")),
        enable_gateway_api=bool(raw.get("enableGatewayAPI")),
        ingress_class_name=raw.get("ingressClassName"),
        ome_ingress_gateway=raw.get("omeIngressGateway") or "",
        ingress_gateway=raw.get("ingressGateway") or "",
        local_gateway=raw.get("localGateway") or "",
        local_gateway_service=raw.get("localGatewayService") or "",
        knative_local_gateway_service=raw.get("knativeLocalGatewayService") or "",
    )


def _keda(raw: dict[str, Any]) -> KedaSection:
    default = KedaSection()
    return KedaSection(
        enabled=raw.get("enableKeda") is not False,
        server_address=raw.get("promServerAddress") or default.server_address,
        query=raw.get("customPromQuery") or default.query,
        threshold=str(raw.get("scalingThreshold") or default.threshold),
        operator=raw.get("scalingOperator") or default.operator,
    )


def _prober(raw: dict[str, Any]) -> ProberSection:
    default = ProberSection()

    def amounts(side: str, suffix: str) -> dict[str, str]:
        names = {"cpu": f"cpu{suffix}", "memory": f"memory{suffix}"}
        return {key: raw.get(name) or default.resources[side][key] for key, name in names.items()}

    startup = {
        key: int(raw.get(f"startup{key[0].upper()}{key[1:]}") or value)
        for key, value in default.startup.items()
    }
    return ProberSection(
        image=raw.get("image") or default.image,
        resources={
            "requests": amounts("requests", "Request"),
            "limits": amounts("limits", "Limit"),
        },
        startup=startup,
        unavailable_threshold_seconds=int(
            raw.get("unavailableThresholdSeconds") or default.unavailable_threshold_seconds
        ),
    )
