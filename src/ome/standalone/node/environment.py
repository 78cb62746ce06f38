"""The environment of a container: ``env``, ``envFrom``, ``valueFrom`` and ``$(VAR)``.

Pure: what ConfigMaps and Secrets hold is passed in. Something required that is missing raises
:class:`Missing` with the words that ``kubectl describe`` shows.
"""

from __future__ import annotations

import base64
import binascii
import os
import re
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from decimal import ROUND_UP, Decimal
from pathlib import Path
from typing import Any, Literal

from ome.apimachinery import quantity
from ome.apimachinery.objects import Object, annotations_of, labels_of, metadata, uid_of

Kind = Literal["configmap", "secret"]
_FIELD = re.compile(r"^metadata\.(labels|annotations)\['(.+)'\]$")
_REFERENCE = re.compile(r"\$\$|\$\(([^()$]*)\)")


class Missing(Exception):  # noqa: N818 - states what happened
    """A ConfigMap, Secret or key that the pod needs does not exist."""


@dataclass(frozen=True, slots=True)
class Lookup:
    """The objects that were found. Absent ones are simply not in here."""

    config_maps: Mapping[str, Object] = field(default_factory=dict)
    secrets: Mapping[str, Object] = field(default_factory=dict)

    def data(self, kind: Kind, name: str) -> dict[str, bytes] | None:
        found = (self.config_maps if kind == "configmap" else self.secrets).get(name)
        if found is None:
            return None
        if kind == "configmap":
            data = {k: str(v).encode() for k, v in (found.get("data") or {}).items()}
            return data | {k: _decoded(v) for k, v in (found.get("binaryData") or {}).items()}
        return {k: _decoded(v) for k, v in (found.get("data") or {}).items()}


def _decoded(value: str) -> bytes:
    try:
        return base64.b64decode(value)
    except (binascii.Error, ValueError):
        return b""


@dataclass(frozen=True, slots=True)
class PodFacts:
    """What only the node knows about a pod."""

    pod_ip: str
    host_ip: str
    node_name: str
    allocatable: Mapping[str, str] = field(default_factory=dict)


def references(pod: Mapping[str, Any]) -> set[tuple[Kind, str]]:
    """The ConfigMaps and Secrets that a pod's environment and volumes name."""
    found: set[tuple[Kind, str]] = set()
    spec = pod.get("spec") or {}
    for container in all_containers(spec):
        for source in container.get("envFrom") or ():
            _add(found, "configmap", source.get("configMapRef"))
            _add(found, "secret", source.get("secretRef"))
        for variable in container.get("env") or ():
            value_from = variable.get("valueFrom") or {}
            _add(found, "configmap", value_from.get("configMapKeyRef"))
            _add(found, "secret", value_from.get("secretKeyRef"))
    for volume in spec.get("volumes") or ():
        _add(found, "configmap", volume.get("configMap"))
        _add(found, "secret", volume.get("secret"), "secretName")
        for source in (volume.get("projected") or {}).get("sources") or ():
            _add(found, "configmap", source.get("configMap"))
            _add(found, "secret", source.get("secret"))
    return found


def _add(
    found: set[tuple[Kind, str]], kind: Kind, ref: Mapping[str, Any] | None, key: str = "name"
) -> None:
    if ref and ref.get(key):
        found.add((kind, ref[key]))


def all_containers(spec: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    yield from spec.get("initContainers") or ()
    yield from spec.get("containers") or ()


def expand(text: str, variables: Mapping[str, str]) -> str:
    """``$(NAME)`` becomes the value, ``$$`` becomes ``$``, an unknown name stays as written."""

    def replace(match: re.Match[str]) -> str:
        if match.group(0) == "$$":
            return "$"
        name = match.group(1)
        return variables[name] if name in variables else match.group(0)

    return _REFERENCE.sub(replace, text)


def base_environment(
    pod: Mapping[str, Any], facts: PodFacts, home: Path, temporary: Path
) -> dict[str, str]:
    """What every host process gets. Nothing of OME's own environment leaks in but the language."""
    return {
        "PATH": f"{Path(sys.executable).parent}:{os.defpath}:/usr/local/bin:/usr/sbin:/sbin",
        "HOME": str(home),
        "TMPDIR": str(temporary),
        "LANG": os.environ.get("LANG") or "C.UTF-8",
        "HOSTNAME": metadata(pod).get("name") or "",
        "POD_IP": facts.pod_ip,
    }


def resolve(
    pod: Mapping[str, Any],
    container: Mapping[str, Any],
    facts: PodFacts,
    lookup: Lookup,
    base: Mapping[str, str],
) -> dict[str, str]:
    """The container's whole environment, on top of ``base``. Raises Missing."""
    result = dict(base)
    for source in container.get("envFrom") or ():
        prefix = source.get("prefix") or ""
        kinds: tuple[tuple[Kind, str], ...] = (
            ("configmap", "configMapRef"),
            ("secret", "secretRef"),
        )
        for kind, key in kinds:
            ref = source.get(key)
            if not ref:
                continue
            data = lookup.data(kind, ref.get("name") or "")
            if data is None:
                if ref.get("optional"):
                    continue
                raise Missing(f'{kind} "{ref.get("name")}" not found')
            result |= {prefix + k: v.decode("utf-8", "replace") for k, v in data.items()}
    for variable in container.get("env") or ():
        name = variable["name"]
        if value_from := variable.get("valueFrom"):
            value = _value_from(pod, container, value_from, facts, lookup)
            if value is not None:
                result[name] = value
        else:
            result[name] = expand(str(variable.get("value") or ""), result)
    return result


def _value_from(
    pod: Mapping[str, Any],
    container: Mapping[str, Any],
    source: Mapping[str, Any],
    facts: PodFacts,
    lookup: Lookup,
) -> str | None:
    if ref := source.get("fieldRef"):
        return field_value(pod, ref.get("fieldPath") or "", facts)
    if ref := source.get("resourceFieldRef"):
        return resource_value(pod, container, ref, facts)
    kinds: tuple[tuple[Kind, str], ...] = (
        ("configmap", "configMapKeyRef"),
        ("secret", "secretKeyRef"),
    )
    for kind, key in kinds:
        ref = source.get(key)
        if not ref:
            continue
        data = lookup.data(kind, ref.get("name") or "")
        wanted = ref.get("key") or ""
        if data is not None and wanted in data:
            return data[wanted].decode("utf-8", "replace")
        if ref.get("optional"):
            return None
        if data is None:
            raise Missing(f'{kind} "{ref.get("name")}" not found')
        title = "ConfigMap" if kind == "configmap" else "Secret"
        namespace = metadata(pod).get("namespace")
        raise Missing(f"couldn't find key {wanted} in {title} {namespace}/{ref.get('name')}")
    raise Missing(f"valueFrom has no known source: {', '.join(sorted(source)) or 'it is empty'}")


def field_value(pod: Mapping[str, Any], path: str, facts: PodFacts) -> str:
    """A downward API field. Raises Missing for a field that there is no such thing as."""
    meta, spec = metadata(pod), pod.get("spec") or {}
    if match := _FIELD.match(path):
        entries = labels_of(pod) if match.group(1) == "labels" else annotations_of(pod)
        return str(entries.get(match.group(2)) or "")
    if path in ("metadata.labels", "metadata.annotations"):
        entries = labels_of(pod) if path == "metadata.labels" else annotations_of(pod)
        return "\n".join(f"{k}={_quoted(v)}" for k, v in sorted(entries.items()))
    simple = {
        "metadata.name": meta.get("name") or "",
        "metadata.namespace": meta.get("namespace") or "",
        "metadata.uid": uid_of(pod),
        "spec.nodeName": facts.node_name,
        "spec.serviceAccountName": spec.get("serviceAccountName") or "default",
        "status.hostIP": facts.host_ip,
        "status.hostIPs": facts.host_ip,
        "status.podIP": facts.pod_ip,
        "status.podIPs": facts.pod_ip,
    }
    if path not in simple:
        raise Missing(f"fieldRef {path!r} is not a field of the downward API")
    return simple[path]


def _quoted(value: str) -> str:
    escaped = value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    return f'"{escaped}"'


def resource_value(
    pod: Mapping[str, Any],
    container: Mapping[str, Any],
    ref: Mapping[str, Any],
    facts: PodFacts,
) -> str:
    """A request or limit in units of the divisor, rounded up. A limit that isn't set is what the
    node has to give."""
    name = ref.get("containerName")
    if name:
        for each in all_containers(pod.get("spec") or {}):
            if each.get("name") == name:
                container = each
    kind, _, resource = (ref.get("resource") or "").partition(".")
    if kind not in ("limits", "requests") or not resource:
        raise Missing(f"resourceFieldRef {ref.get('resource')!r} is not limits.* or requests.*")
    resources = container.get("resources") or {}
    value = (resources.get(kind) or {}).get(resource)
    if value is None and kind == "requests":
        value = (resources.get("limits") or {}).get(resource, "0")
    if value is None:
        value = facts.allocatable.get(resource, "0")
    divisor = quantity.parse(ref.get("divisor") or "0") or Decimal(1)
    return str(int((quantity.parse(value) / divisor).to_integral_value(ROUND_UP)))
