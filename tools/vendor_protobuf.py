#!/usr/bin/env python3
"""Writes the field numbers that ``ome.standalone.apiserver.protobody`` ships.

Source: ``generated.proto`` (numbers and types) and the struct tags of the Go types beside it (JSON
names, inlined members, omitted zero values) of the modules below, taken with ``go mod download``.
Kept is everything reachable from the built-in kinds of the API server and a few request kinds.

Usage: ``PYTHONPATH=src python tools/vendor_protobuf.py``
"""

from __future__ import annotations

import gzip
import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

from ome.standalone.apiserver.kinds import BUILTIN

VERSION = "v0.37.1"
MODULES = ("k8s.io/api", "k8s.io/apimachinery", "k8s.io/apiextensions-apiserver")
TARGET = Path(__file__).parent.parent / "src/ome/standalone/apiserver/_protobuf.json.gz"
META = "k8s.io.apimachinery.pkg.apis.meta.v1."

# Go package of an API group, where it is not the group's first word.
PACKAGES = {
    "": "k8s.io.api.core",
    "apiextensions.k8s.io": "k8s.io.apiextensions_apiserver.pkg.apis.apiextensions",
}
REQUESTS = (
    ("v1/Binding", "k8s.io.api.core.v1.Binding"),
    ("autoscaling/v1/Scale", "k8s.io.api.autoscaling.v1.Scale"),
    ("policy/v1/Eviction", "k8s.io.api.policy.v1.Eviction"),
    ("authentication.k8s.io/v1/TokenRequest", "k8s.io.api.authentication.v1.TokenRequest"),
    (
        "authentication.k8s.io/v1/SelfSubjectReview",
        "k8s.io.api.authentication.v1.SelfSubjectReview",
    ),
    (
        "authorization.k8s.io/v1/SelfSubjectAccessReview",
        "k8s.io.api.authorization.v1.SelfSubjectAccessReview",
    ),
    (
        "authorization.k8s.io/v1/SelfSubjectRulesReview",
        "k8s.io.api.authorization.v1.SelfSubjectRulesReview",
    ),
    (
        "authorization.k8s.io/v1/SubjectAccessReview",
        "k8s.io.api.authorization.v1.SubjectAccessReview",
    ),
    ("DeleteOptions", META + "DeleteOptions"),
)

FIELD = re.compile(
    r"^\s*(?:(?P<label>optional|repeated|required)\s+)?"
    r"(?:map<\s*string\s*,\s*(?P<map>[\w.]+)\s*>|(?P<type>[\w.]+))\s+(?P<name>\w+)\s*=\s*(?P<n>\d+);"
)
GO_FIELD = re.compile(
    r"^\s*(?:(?P<name>\w+)\s+)?(?P<type>[\w.*\[\]]+)\s+`[^`]*json:\"(?P<json>[^\"]*)\"[^`]*?"
    r"protobuf:\"[^\"]*?,(?P<n>\d+),[^\"]*\""
)
SCALARS = {"string", "bytes", "bool", "int32", "int64", "uint32", "uint64", "double", "float"}


def module_dir(module: str) -> Path:
    out = subprocess.run(
        ["go", "mod", "download", "-json", f"{module}@{VERSION}"],
        check=True,
        capture_output=True,
        cwd="/",
    ).stdout
    return Path(json.loads(out)["Dir"])


def read_proto(path: Path) -> tuple[str, dict[str, list[re.Match[str]]]]:
    """The package, and the fields of each message."""
    package, message = "", ""
    messages: dict[str, list[re.Match[str]]] = {}
    for line in path.read_text().splitlines():
        if found := re.match(r"package ([\w.]+);", line):
            package = found[1]
        elif found := re.match(r"message (\w+) \{", line):
            message = found[1]
            messages[message] = []
        elif message and line.startswith("}"):
            message = ""
        elif message and (field := FIELD.match(line)):
            messages[message].append(field)
    return package, messages


def read_go(directory: Path) -> dict[str, dict[int, re.Match[str]]]:
    """The tags of each struct's fields, by protobuf number."""
    structs: dict[str, dict[int, re.Match[str]]] = {}
    for path in directory.glob("*.go"):
        struct = ""
        for line in path.read_text().splitlines():
            if found := re.match(r"type (\w+) struct \{", line):
                struct = found[1]
            elif line.startswith("}"):
                struct = ""
            elif struct and (field := GO_FIELD.match(line)):
                structs.setdefault(struct, {})[int(field["n"])] = field
    return structs


def qualified(name: str, package: str) -> str:
    if name in SCALARS:
        return name
    return name.lstrip(".") if "." in name else f"{package}.{name}"


def describe(field: re.Match[str], tag: re.Match[str] | None, package: str) -> list[Any]:
    """JSON name (empty: inlined), type, and flags: r repeated, m map, k zero values are kept."""
    type_ = qualified(field["map"] or field["type"], package)
    flags = "m" if field["map"] else "r" if field["label"] == "repeated" else ""
    name: str = field["name"]
    if tag is not None:
        name, *options = tag["json"].split(",")
        pointer = tag["type"].startswith("*")
        if pointer or "omitempty" not in options:
            flags += "k"
        if "inline" in options or not tag["json"]:
            name = ""
    return [name, type_, flags]


def main() -> None:
    messages: dict[str, dict[int, list[Any]]] = {}
    for module in MODULES:
        root = module_dir(module)
        for path in sorted(root.rglob("generated.proto")):
            package, found = read_proto(path)
            structs = read_go(path.parent)
            for message, fields in found.items():
                tags = structs.get(message, {})
                messages[f"{package}.{message}"] = {
                    int(f["n"]): describe(f, tags.get(int(f["n"])), package) for f in fields
                }
    kinds = dict(REQUESTS)
    for kind in BUILTIN:
        resource = kind.resource
        package = PACKAGES.get(resource.group) or f"k8s.io.api.{resource.group.split('.')[0]}"
        kinds[f"{resource.api_version}/{resource.kind}"] = (
            f"{package}.{resource.version}.{resource.kind}"
        )
    kept: dict[str, Any] = {}
    queue = list(kinds.values())
    while queue:
        name = queue.pop()
        if name in kept or name in SCALARS:
            continue
        kept[name] = messages[name]
        queue += [field[1] for field in messages[name].values()]
    document = {
        "origin": f"{', '.join(MODULES)} {VERSION}",
        "kinds": dict(sorted(kinds.items())),
        "messages": dict(sorted(kept.items())),
    }
    text = json.dumps(document, separators=(",", ":")).encode()
    TARGET.write_bytes(gzip.compress(text, mtime=0))
    packed = TARGET.stat().st_size
    sys.stdout.write(f"{len(kept)} messages, {len(text)} bytes, {packed} packed\n")


if __name__ == "__main__":
    main()
