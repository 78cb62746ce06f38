"""The address of a service: what the configuration says, with the service's own overrides.

With ``disableIngressCreation`` a service is reached through its external Service inside the
cluster. Where a ``pathTemplate`` is given as well, something that already listens on
``ingressDomain`` (the gateway of the one-machine home) routes by that path, and the url is
``<scheme>://<ingressDomain><path>``.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from ome.api import constants as c
from ome.api import names
from ome.apimachinery.objects import Object, annotations_of, labels_of, metadata
from ome.rendering import gotemplate
from ome.rendering.errors import RenderError
from ome.rendering.facts import IngressSettings

_LABEL = r"[a-z0-9](?:[-a-z0-9]{0,61}[a-z0-9])?"
_HOST = re.compile(rf"(?=.{{1,253}}$)(?:{_LABEL}\.)*{_LABEL}")
DEFAULT_DOMAIN_TEMPLATE = "{{ .Name }}.{{ .Namespace }}.{{ .IngressDomain }}"


@dataclass(frozen=True)
class Ingress:
    """The resolved configuration for one service."""

    domain: str
    domain_template: str
    path_template: str
    scheme: str
    additional_domains: tuple[str, ...]
    disable_creation: bool
    disable_istio: bool
    gateway_api: bool
    class_name: str
    gateway: str = ""
    """The Gateway for routes, as ``namespace/name``."""


def resolve(config: IngressSettings, service: Object) -> Ingress:
    """``config`` is the ``ingress`` section; annotations of the service go before it."""
    annotations = annotations_of(service)

    def text(key: str, value: str | None) -> str:
        return annotations.get(key) or value or ""

    def flag(key: str, value: bool) -> bool:
        return annotations[key] == "true" if key in annotations else value

    additional = annotations.get(c.A_INGRESS_ADDITIONAL_DOMAINS)
    path = annotations.get(c.A_INGRESS_PATH_TEMPLATE)
    return Ingress(
        domain=text(c.A_INGRESS_DOMAIN, config.ingress_domain),
        domain_template=text(c.A_INGRESS_DOMAIN_TEMPLATE, config.domain_template)
        or DEFAULT_DOMAIN_TEMPLATE,
        path_template=config.path_template or "" if path is None else path,
        scheme=text(c.A_INGRESS_URL_SCHEME, config.url_scheme) or "http",
        additional_domains=tuple(part.strip() for part in additional.split(",") if part.strip())
        if additional
        else tuple(config.additional_ingress_domains or ()),
        disable_creation=flag(c.A_INGRESS_DISABLE_CREATION, config.disable_ingress_creation),
        disable_istio=flag(c.A_INGRESS_DISABLE_VIRTUAL_HOST, config.disable_istio_virtual_host),
        gateway_api=config.enable_gateway_api,
        class_name=config.ingress_class_name or "",
        gateway=config.ome_ingress_gateway,
    )


def host(ingress: Ingress, service: Object, name: str) -> str:
    """The DNS name of the service or of one component (``name``)."""
    data: dict[str, str | Mapping[str, str]] = {
        "Name": names.truncate_dns(name),
        "Namespace": metadata(service).get("namespace") or "default",
        "IngressDomain": ingress.domain,
        "Labels": labels_of(service),
        "Annotations": annotations_of(service),
    }
    found = _filled(ingress.domain_template, data, "domainTemplate", c.A_INGRESS_DOMAIN_TEMPLATE)
    if not ingress.disable_creation and not _HOST.fullmatch(found):
        raise RenderError(
            "InvalidTemplate",
            f"domainTemplate gives {found!r}, which is no host name",
            field=f"metadata.annotations[{c.A_INGRESS_DOMAIN_TEMPLATE}]",
            fix="use lower-case letters, digits, dashes and dots, as in "
            "{{ .Name }}.{{ .Namespace }}.example.com",
        )
    return found


def additional_hosts(ingress: Ingress, host: str) -> list[str]:
    """``host`` under each of the additional domains, without what would be no host name."""
    known = [ingress.domain, *ingress.additional_domains]
    suffix = next((d for d in known if d and host.endswith(f".{d}")), "")
    prefix = host.removesuffix(f".{suffix}") if suffix else host
    made = [f"{prefix}.{domain}" for domain in ingress.additional_domains]
    return [name for name in dict.fromkeys(made) if name != host and _HOST.fullmatch(name)]


def path(ingress: Ingress, service: Object) -> str:
    data: dict[str, str | Mapping[str, str]] = {
        "Name": metadata(service)["name"],
        "Namespace": metadata(service).get("namespace") or "default",
    }
    found = _filled(ingress.path_template, data, "pathTemplate", c.A_INGRESS_PATH_TEMPLATE)
    return found if found.startswith("/") else f"/{found}"


def _filled(template: str, data: gotemplate.Data, what: str, annotation: str) -> str:
    try:
        return gotemplate.render(template, data)
    except gotemplate.TemplateError as error:
        raise RenderError(
            "InvalidTemplate",
            f"{what} {template!r}: {error}",
            field=f"metadata.annotations[{annotation}]",
            fix=f"correct {what} in {c.INFERENCE_SERVICE_CONFIG} or the annotation",
        ) from error


def service_url(service: Object, port: int, cluster_domain: str) -> str:
    """Where the external Service answers inside the cluster."""
    name = names.truncate_dns(metadata(service)["name"])
    namespace = metadata(service).get("namespace") or "default"
    return f"http://{name}.{namespace}.svc.{cluster_domain}:{port}"
