"""Which kinds a server has, and finding one by any of its names."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ome.apimachinery.errors import NotFound, StatusError
from ome.apimachinery.objects import Resource
from ome.kube import wire

if TYPE_CHECKING:
    from ome.kube.client import Client

_AGGREGATED = (
    "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList,application/json"
)


class UnknownResource(LookupError):  # noqa: N818 - states what happened
    """No kind goes by that name."""


@dataclass(frozen=True, slots=True)
class Served:
    """One kind in one version, as the server describes it."""

    resource: Resource
    singular: str = ""
    short_names: tuple[str, ...] = ()
    categories: tuple[str, ...] = ()
    verbs: tuple[str, ...] = ()
    subresources: tuple[str, ...] = ()

    def answers_to(self, name: str) -> bool:
        resource = self.resource
        return name in (resource.plural, self.singular, resource.kind.lower(), *self.short_names)


class Discovery:
    """The served kinds, in the server's order of preference."""

    def __init__(self, served: Iterable[Served]) -> None:
        self.served = tuple(served)

    def find(self, name: str, group: str = "") -> Served:
        """By plural, singular, kind or short name; ``name.group`` and ``name.version.group`` too.

        Without a group the first match counts: the core group, then the server's order. Raises
        UnknownResource with names that come near.
        """
        wanted = name.lower()
        for candidate in self.served:
            if group and candidate.resource.group != group:
                continue
            if candidate.answers_to(wanted):
                return candidate
        if not group and "." in wanted:
            short, _, rest = wanted.partition(".")
            for candidate in self.served:
                if candidate.answers_to(short) and _in_group(candidate.resource, rest):
                    return candidate
        raise UnknownResource(self._unknown(name, group))

    def resource_for(self, name: str, group: str = "") -> Resource:
        return self.find(name, group).resource

    def for_object(self, api_version: str, kind: str) -> Resource:
        """The resource of an object with this ``apiVersion`` and ``kind``."""
        for candidate in self.served:
            if candidate.resource.kind == kind and candidate.resource.api_version == api_version:
                return candidate.resource
        raise UnknownResource(f"the server has no kind {kind} in {api_version}")

    def has(self, resource: Resource) -> bool:
        """Whether this kind is served in exactly this version."""
        return any(
            (s.resource.group, s.resource.version, s.resource.plural)
            == (resource.group, resource.version, resource.plural)
            for s in self.served
        )

    def in_category(self, category: str) -> list[Resource]:
        """Kinds in a category such as ``all``, each once."""
        found: dict[tuple[str, str], Resource] = {}
        for entry in self.served:
            if category in entry.categories:
                found.setdefault((entry.resource.group, entry.resource.plural), entry.resource)
        return list(found.values())

    def _unknown(self, name: str, group: str) -> str:
        import difflib

        names = {s.resource.plural for s in self.served if not group or s.resource.group == group}
        near = difflib.get_close_matches(name.lower(), sorted(names), 3)
        what = f"{name!r} in {group}" if group else repr(name)
        return f"the server has no kind {what}" + (
            f": did you mean {' or '.join(near)}?" if near else ""
        )


def _in_group(resource: Resource, rest: str) -> bool:
    return rest in (resource.group, f"{resource.version}.{resource.group}".rstrip("."))


async def read_discovery(client: Client) -> Discovery:
    """Two requests where the server aggregates, else one for each group and version."""
    served: list[Served] = []
    for root in ("/api", "/apis"):
        try:
            answer = wire.decode(await client.request("GET", root, accept=_AGGREGATED))
        except NotFound:
            continue
        if answer.get("kind") == "APIGroupDiscoveryList":
            served += _aggregated(answer)
        else:
            served += await _legacy(client, root, answer)
    return Discovery(served)


def _aggregated(answer: dict[str, Any]) -> Iterable[Served]:
    for group in answer.get("items") or ():
        for version in group.get("versions") or ():
            for entry in version.get("resources") or ():
                kind = (entry.get("responseKind") or {}).get("kind") or ""
                yield Served(
                    Resource(
                        (group.get("metadata") or {}).get("name") or "",
                        version["version"],
                        entry["resource"],
                        kind,
                        entry.get("scope") != "Cluster",
                    ),
                    entry.get("singularResource") or kind.lower(),
                    tuple(entry.get("shortNames") or ()),
                    tuple(entry.get("categories") or ()),
                    tuple(entry.get("verbs") or ()),
                    tuple(sub["subresource"] for sub in entry.get("subresources") or ()),
                )


async def _legacy(client: Client, root: str, answer: dict[str, Any]) -> list[Served]:
    if root == "/api":
        versions = [("", version) for version in answer.get("versions") or ()]
    else:
        versions = [
            (group["name"], version["version"])
            for group in answer.get("groups") or ()
            for version in _preferred_first(group)
        ]
    served: list[Served] = []
    for group, version in versions:
        path = f"{root}/{group}/{version}" if group else f"{root}/{version}"
        try:
            listed = wire.decode(await client.request("GET", path))
        except StatusError as error:
            if error.code not in (404, 503):
                raise
            continue  # an aggregated API that is down must not hide the others
        served += _legacy_list(group, version, listed.get("resources") or [])
    return served


def _preferred_first(group: dict[str, Any]) -> list[dict[str, Any]]:
    preferred = (group.get("preferredVersion") or {}).get("version")
    return sorted(group.get("versions") or [], key=lambda v: v["version"] != preferred)


def _legacy_list(group: str, version: str, entries: list[dict[str, Any]]) -> Iterable[Served]:
    subresources: dict[str, list[str]] = {}
    for entry in entries:
        plural, _, sub = entry["name"].partition("/")
        if sub:
            subresources.setdefault(plural, []).append(sub)
    for entry in entries:
        if "/" in entry["name"]:
            continue
        yield Served(
            Resource(
                entry.get("group") or group,
                entry.get("version") or version,
                entry["name"],
                entry["kind"],
                bool(entry.get("namespaced")),
            ),
            entry.get("singularName") or entry["kind"].lower(),
            tuple(entry.get("shortNames") or ()),
            tuple(entry.get("categories") or ()),
            tuple(entry.get("verbs") or ()),
            tuple(subresources.get(entry["name"], ())),
        )
