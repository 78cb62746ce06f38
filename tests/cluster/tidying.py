"""What one module leaves on the bed must not be found by the next.

The bed is started once for all modules. When one of them ends, its operators are gone, and what
only they could let go of (finalizers, webhooks that nobody answers) would stay for ever: the next
module would find objects that it did not make, or could write none. So all of OME's own is taken
away between modules, by the administrator and without OME's help. Definitions and namespaces stay.
"""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Callable
from typing import Any

from ome.admission.registration import configuration_names
from ome.api import constants as c
from ome.api import resources as o
from ome.apimachinery.objects import Object, Resource

Run = Callable[..., subprocess.CompletedProcess[str]]
"""``kubectl ARGUMENTS``, whatever comes of it."""
PATIENCE_SECONDS = 60.0
MODEL_LABEL = "models.ome.io/"
LEASE = "ome-controller-manager-leader-lock"


def tidy(kubectl: Run) -> None:
    """Takes away all of OME's own, and returns when it is gone."""
    for resource, names in configuration_names().items():
        kubectl("delete", resource.plural, *names, "--ignore-not-found")
    served = {crd["metadata"]["name"] for crd in _items(kubectl, "customresourcedefinitions")}
    kinds = [resource for resource in o.ALL if f"{resource.plural}.{resource.group}" in served]
    end = time.monotonic() + PATIENCE_SECONDS
    while left := [(kind, obj) for kind in kinds for obj in _items(kubectl, _name(kind))]:
        if time.monotonic() > end:
            raise AssertionError(f"still on the bed: {[_title(*one) for one in left]}")
        for kind in {kind.plural: kind for kind, _ in left}.values():
            kubectl("delete", _name(kind), "--all", "--wait=false", *_everywhere(kind))
        for kind, obj in left:
            _release(kubectl, kind, obj)
    for report in _items(kubectl, "configmaps", "-l", f"{c.L_MODEL_STATUS}=true"):
        meta = report["metadata"]
        kubectl("delete", "configmap", meta["name"], "-n", meta["namespace"], "--ignore-not-found")
    for node in _items(kubectl, "nodes"):
        labels = [key for key in node["metadata"].get("labels") or {} if MODEL_LABEL in key]
        if labels:
            kubectl("label", "node", node["metadata"]["name"], *(f"{key}-" for key in labels))
    for lease in _items(kubectl, "leases", f"--field-selector=metadata.name={LEASE}"):
        kubectl("delete", "lease", LEASE, "-n", lease["metadata"]["namespace"])


def _release(kubectl: Run, kind: Resource, obj: Object) -> None:
    """Finalizers that nobody is left to take off."""
    meta = obj["metadata"]
    if meta.get("finalizers"):
        patch = json.dumps({"metadata": {"finalizers": None}})
        there = ("-n", meta["namespace"]) if kind.namespaced else ()
        kubectl("patch", _name(kind), meta["name"], *there, "--type=merge", "-p", patch)


def _items(kubectl: Run, *what: str) -> list[Any]:
    done = kubectl("get", *what, "-A", "-o", "json")
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)["items"]  # type: ignore[no-any-return]


def _name(kind: Resource) -> str:
    return f"{kind.plural}.{kind.group}"


def _everywhere(kind: Resource) -> tuple[str, ...]:
    return ("-A",) if kind.namespaced else ()


def _title(kind: Resource, obj: Object) -> str:
    meta = obj["metadata"]
    return f"{kind.kind} {meta.get('namespace', '')}/{meta['name']}"
