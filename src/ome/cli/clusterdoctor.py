"""What OME needs of a cluster, and what its configuration says, looked at one by one.

Only reads. A right that is missing for the looking is itself a finding, with the rule that would
give it: who may not look is told so, and is not told that all is well.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from ome import __version__
from ome.admission.registration import Address, configurations
from ome.api import constants as c
from ome.api import resources as ours
from ome.api.config import BenchmarkJobConfig, InferenceServiceConfig
from ome.api.external import PROJECTS
from ome.apimachinery.errors import FieldError, Forbidden, StatusError
from ome.apimachinery.objects import Object, condition, labels_of
from ome.apimachinery.resources import (
    CONFIG_MAPS,
    CUSTOM_RESOURCE_DEFINITIONS,
    LEASES,
    MUTATING_WEBHOOKS,
    VALIDATING_WEBHOOKS,
)
from ome.cli import views
from ome.cli.api import Api
from ome.cli.doctor import Finding, State, ok
from ome.cli.forbidden import explained
from ome.cli.install.parts import OPERATOR

_VERSION_LABEL = "app.kubernetes.io/version"
_HOOKS = {
    "MutatingWebhookConfiguration": MUTATING_WEBHOOKS,
    "ValidatingWebhookConfiguration": VALIDATING_WEBHOOKS,
}


def examine(api: Api, namespace: str) -> list[Finding]:
    """All findings. ``namespace`` is the operator's. Raises CliError where nobody answers."""
    checks: dict[str, Callable[[Api, str], Finding]] = {
        "API server": check_server,
        "CRDs": check_definitions,
        "operator": check_operator,
        "webhooks": check_webhooks,
        "configuration": check_configuration,
        "other projects": check_projects,
    }
    found = []
    for name, check in checks.items():
        try:
            found.append(check(api, namespace))
        except StatusError as error:
            remedy = explained(error.message) if isinstance(error, Forbidden) else ""
            found.append(Finding(name, State.NOTE, f"can't be looked at: {error}", remedy))
    return found


def check_server(api: Api, _namespace: str) -> Finding:
    return ok("API server", f"Kubernetes {api.read('/version').get('gitVersion')} at {api.where}")


def check_definitions(api: Api, _namespace: str) -> Finding:
    """Each kind is there, served, and of this version."""
    listed = api.list(CUSTOM_RESOURCE_DEFINITIONS)
    there = {crd["metadata"]["name"]: crd for crd in listed}
    wanted = [f"{kind.plural}.{kind.group}" for kind in ours.ALL]
    missing = [name for name in wanted if name not in there]
    apply = "ome crds | kubectl apply --server-side -f -"
    if missing:
        return Finding("CRDs", State.PROBLEM, f"missing: {', '.join(missing)}", apply)
    broken = [
        n for n in wanted if (condition(there[n], "Established") or {}).get("status") != "True"
    ]
    if broken:
        remedy = f"Look at: kubectl describe crd {broken[0]}"
        return Finding("CRDs", State.PROBLEM, f"not served: {', '.join(broken)}", remedy)
    versions = {labels_of(there[name]).get(_VERSION_LABEL) or "unknown" for name in wanted}
    if versions != {__version__}:
        said = ", ".join(sorted(versions))
        return Finding("CRDs", State.NOTE, f"of OME {said}; this is {__version__}", apply)
    return ok("CRDs", f"{len(wanted)} kinds of OME {__version__}")


def _established(crd: Object) -> bool:
    return (condition(crd, "Established") or {}).get("status") == "True"


def check_operator(api: Api, namespace: str) -> Finding:
    """Somebody holds the Lease and renews it."""
    lease = api.find(LEASES, c.LEADER_LEASE, namespace)
    remedy = f"Look at: kubectl -n {namespace} get pods; kubectl -n {namespace} logs deployment/"
    remedy += OPERATOR
    if lease is None:
        found = f"no operator has ever led in namespace {namespace}"
        return Finding("operator", State.PROBLEM, found, "ome install, or name its namespace: -n")
    spec = lease.get("spec") or {}
    holder = spec.get("holderIdentity")
    if not holder:
        return Finding("operator", State.PROBLEM, "nobody leads", remedy)
    silence = time.time() - views.epoch(str(spec.get("renewTime") or "1970-01-01T00:00:00Z"))
    if silence > (spec.get("leaseDurationSeconds") or 15):
        said = f"{holder} led and was last heard of {views.seconds_short(silence)} ago"
        return Finding("operator", State.PROBLEM, said, remedy)
    return ok("operator", f"{holder} leads")


def check_webhooks(api: Api, namespace: str) -> Finding:
    """Each configuration is there, leads to this installation, and trusts somebody."""
    problems = []
    for wanted in configurations(Address(namespace)):
        kind, name = wanted["kind"], wanted["metadata"]["name"]
        live = api.find(_HOOKS[kind], name)
        if live is None:
            problems.append(f"{kind} {name} is missing")
            continue
        for hook in live.get("webhooks") or ():
            client = hook.get("clientConfig") or {}
            service = client.get("service") or {}
            if service and service.get("namespace") != namespace:
                problems.append(f"{hook['name']} leads to namespace {service.get('namespace')}")
            elif not client.get("caBundle"):
                problems.append(f"{hook['name']} trusts nobody yet")
    if problems:
        return Finding(
            "webhooks",
            State.PROBLEM,
            "; ".join(problems),
            "What is missing comes with 'ome install'; trust is kept by a running operator",
        )
    return ok("webhooks", "registered and trusted")


def check_configuration(api: Api, namespace: str) -> Finding:
    """What of the ConfigMaps has no effect."""
    problems: list[FieldError] = []
    data = _data(api, c.INFERENCE_SERVICE_CONFIG, namespace)
    problems += InferenceServiceConfig.from_config_map(data)[1]
    problems += BenchmarkJobConfig.from_config_map(_data(api, c.BENCHMARK_JOB_CONFIG, namespace))[1]
    if problems:
        said = "; ".join(map(str, problems))
        return Finding(
            "configuration",
            State.PROBLEM,
            said,
            f"kubectl -n {namespace} edit configmap {problems[0].path.partition('.data[')[0]}",
        )
    if data is None:
        found = f"there is no ConfigMap {c.INFERENCE_SERVICE_CONFIG} in {namespace}: defaults count"
        return Finding("configuration", State.NOTE, found, "It comes with 'ome install'")
    return ok("configuration", f"ConfigMap {c.INFERENCE_SERVICE_CONFIG}: everything counts")


def check_projects(api: Api, _namespace: str) -> Finding:
    """Kinds that only some services need."""
    groups = {group["name"] for group in api.read("/apis").get("groups") or ()}
    missing = sorted({PROJECTS[kind] for kind in PROJECTS if kind.group not in groups})
    if missing:
        found = f"not installed: {', '.join(missing)}"
        return Finding(
            "other projects", State.NOTE, found, "Only services that ask for one need it"
        )
    return ok("other projects", "all that OME can work with are installed")


def _data(api: Api, name: str, namespace: str) -> dict[str, str] | None:
    found: Object | None = api.find(CONFIG_MAPS, name, namespace)
    return None if found is None else dict(found.get("data") or {})
