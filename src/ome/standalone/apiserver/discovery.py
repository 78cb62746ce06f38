"""What the server serves, in the three forms that clients ask for.

kubectl asks ``/api`` and ``/apis`` for the aggregated form and takes it only if the answer's media
type names it. Everything else gets the legacy form.
"""

from __future__ import annotations

import platform
from typing import Any

from aiohttp import web

from ome.apimachinery.objects import Object
from ome.standalone.apiserver.codec import encode
from ome.standalone.apiserver.http import respond
from ome.standalone.apiserver.kinds import Kind
from ome.standalone.apiserver.registry import Registry
from ome.standalone.apiserver.requests import negotiate
from ome.standalone.apiserver.reviews import REVIEWS

_AGGREGATED = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"

_SUBRESOURCES: dict[str, tuple[str, str, str, tuple[str, ...]]] = {
    # name: (group, version, kind, verbs); an empty kind means the parent's
    "status": ("", "", "", ("get", "patch", "update")),
    "scale": ("autoscaling", "v1", "Scale", ("get", "patch", "update")),
    "binding": ("", "v1", "Binding", ("create",)),
    "eviction": ("policy", "v1", "Eviction", ("create",)),
    "log": ("", "v1", "Pod", ("get",)),
    "finalize": ("", "v1", "Namespace", ("update",)),
    "token": ("authentication.k8s.io", "v1", "TokenRequest", ("create",)),
}


class Documents:
    """Discovery documents, made again when the registry has changed."""

    def __init__(self, registry: Registry, version: str) -> None:
        self._registry = registry
        self._version = version
        self._generation = -1
        self._cache: dict[tuple[str, str], bytes] = {}

    def find(self, request: web.BaseRequest, path: str) -> web.Response | None:
        """The document at a path, or None if there is none."""
        path = path.rstrip("/") or "/"
        form = ""
        if path in ("/api", "/apis"):
            form = negotiate(request.headers.get("Accept", ""), ("APIGroupDiscovery",)).form
        body = self._document(path, form)
        if body is None:
            return None
        if form:
            return web.Response(body=body, headers={"Content-Type": _AGGREGATED})
        return respond(body)

    def _document(self, path: str, form: str) -> bytes | None:
        if self._generation != self._registry.generation:
            self._cache.clear()
            self._generation = self._registry.generation
        key = (path, form)
        if key not in self._cache:
            document = self._make(path, form)
            if document is None:
                return None
            self._cache[key] = encode(document)
        return self._cache[key]

    def _make(self, path: str, form: str) -> Object | None:
        match path.split("/")[1:]:
            case ["version"]:
                return self._version_info()
            case ["api"]:
                return self._aggregated([""]) if form else {
                    "kind": "APIVersions", "versions": ["v1"],
                    "serverAddressByClientCIDRs": [],
                }  # fmt: skip
            case ["apis"]:
                groups = [g for g in self._tree() if g]
                if form:
                    return self._aggregated(groups)
                return {
                    "kind": "APIGroupList", "apiVersion": "v1",
                    "groups": [self._group(g) for g in groups],
                }  # fmt: skip
            case ["apis", group] if group in self._tree():
                return {"kind": "APIGroup", "apiVersion": "v1", **self._group(group)}
            case ["api", version] if version in self._tree().get("", {}):
                return self._resources("", version)
            case ["apis", group, version] if version in self._tree().get(group, {}):
                return self._resources(group, version)
        return None

    def _version_info(self) -> Object:
        return {
            "major": "1",
            "minor": "37",
            "gitVersion": f"v1.37.0-ome+{self._version}",
            "gitCommit": "",
            "gitTreeState": "clean",
            "buildDate": "1970-01-01T00:00:00Z",
            "goVersion": "",
            "compiler": f"python{platform.python_version()}",
            "platform": f"{platform.system().lower()}/{platform.machine()}",
        }

    def _tree(self) -> dict[str, dict[str, list[Kind]]]:
        tree = self._registry.group_versions()
        for group, version in REVIEWS:
            tree.setdefault(group, {}).setdefault(version, [])
        return tree

    # -- legacy ----------------------------------------------------------------------------

    def _group(self, group: str) -> Object:
        versions = [
            {"groupVersion": f"{group}/{version}", "version": version}
            for version in self._tree()[group]
        ]
        return {"name": group, "versions": versions, "preferredVersion": versions[0]}

    def _resources(self, group: str, version: str) -> Object:
        listed: list[Object] = []
        for kind in self._tree()[group][version]:
            listed.append(_legacy(kind))
            for name in subresources_of(kind):
                listed.append(_legacy_subresource(kind, name))
        for plural, review in REVIEWS.get((group, version), ()):
            listed.append(
                {"name": plural, "singularName": review.lower(), "namespaced": False,
                 "kind": review, "verbs": ["create"]}
            )  # fmt: skip
        return {
            "kind": "APIResourceList",
            "apiVersion": "v1",
            "groupVersion": f"{group}/{version}" if group else version,
            "resources": listed,
        }

    # -- aggregated ------------------------------------------------------------------------

    def _aggregated(self, groups: list[str]) -> Object:
        tree = self._tree()
        return {
            "kind": "APIGroupDiscoveryList",
            "apiVersion": "apidiscovery.k8s.io/v2",
            "metadata": {},
            "items": [
                {
                    "metadata": {"name": group},
                    "versions": [
                        {
                            "version": version,
                            "resources": [_aggregate(k) for k in kinds] + _reviews(group, version),
                            "freshness": "Current",
                        }
                        for version, kinds in tree[group].items()
                    ],
                }
                for group in groups
            ],
        }


def subresources_of(kind: Kind) -> list[str]:
    names = list(kind.subresources)
    if kind.has_status:
        names.append("status")
    if kind.scale:
        names.append("scale")
    return sorted(names)


def _legacy(kind: Kind) -> Object:
    entry: Object = {
        "name": kind.resource.plural,
        "singularName": kind.singular,
        "namespaced": kind.namespaced,
        "kind": kind.resource.kind,
        "verbs": list(kind.verbs),
    }
    if kind.short_names:
        entry["shortNames"] = list(kind.short_names)
    if kind.categories:
        entry["categories"] = list(kind.categories)
    return entry


def _legacy_subresource(kind: Kind, name: str) -> Object:
    group, version, sub_kind, verbs = _SUBRESOURCES[name]
    entry: Object = {
        "name": f"{kind.resource.plural}/{name}",
        "singularName": "",
        "namespaced": kind.namespaced,
        "kind": sub_kind or kind.resource.kind,
        "verbs": list(verbs),
    }
    if sub_kind:
        own = kind.resource
        if (group, version) != (own.group, own.version):
            entry["group"] = group
            entry["version"] = version
    return entry


def _aggregate(kind: Kind) -> Object:
    resource = kind.resource
    entry: dict[str, Any] = {
        "resource": resource.plural,
        "responseKind": _gvk(resource.group, resource.version, resource.kind),
        "scope": "Namespaced" if kind.namespaced else "Cluster",
        "singularResource": kind.singular,
        "verbs": list(kind.verbs),
    }
    if kind.short_names:
        entry["shortNames"] = list(kind.short_names)
    if kind.categories:
        entry["categories"] = list(kind.categories)
    subresources = []
    for name in subresources_of(kind):
        group, version, sub_kind, verbs = _SUBRESOURCES[name]
        response = (
            _gvk(group, version, sub_kind)
            if sub_kind
            else _gvk(resource.group, resource.version, resource.kind)
        )
        subresources.append({"subresource": name, "responseKind": response, "verbs": list(verbs)})
    if subresources:
        entry["subresources"] = subresources
    return entry


def _reviews(group: str, version: str) -> list[Object]:
    return [
        {
            "resource": plural,
            "responseKind": _gvk(group, version, review),
            "scope": "Cluster",
            "singularResource": review.lower(),
            "verbs": ["create"],
        }
        for plural, review in REVIEWS.get((group, version), ())
    ]


def _gvk(group: str, version: str, kind: str) -> Object:
    return {"group": group, "version": version, "kind": kind}
