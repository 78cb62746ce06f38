"""Which kinds are served now: the built-in ones and those of installed CRDs."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from ome.standalone.apiserver.kinds import BUILTIN, Kind


class Registry:
    """Kinds by group, version and plural. ``generation`` grows with every change, so that
    documents derived from the registry can be cached."""

    def __init__(self) -> None:
        self._kinds: dict[tuple[str, str, str], Kind] = {}
        self._by_crd: dict[str, list[Kind]] = {}
        self._stored_as: dict[str, Kind] = {}
        self.generation = 0
        for kind in BUILTIN:
            self._add(kind)

    def _add(self, kind: Kind) -> None:
        resource = kind.resource
        self._kinds[resource.group, resource.version, resource.plural] = kind

    def find(self, group: str, version: str, plural: str) -> Kind | None:
        return self._kinds.get((group, version, plural))

    def stored_as(self, kind: Kind) -> Kind:
        """The version in which objects of a kind are stored."""
        return self._stored_as.get(kind.bucket, kind)

    def set_crd(self, name: str, kinds: Iterable[Kind]) -> None:
        """Follow a CRD: serve those of its versions that are to be served, and know in which one
        objects are stored."""
        self._drop(name)
        all_versions = list(kinds)
        for kind in all_versions:
            if kind.served:
                self._add(kind)
            if kind.storage:
                self._stored_as[kind.bucket] = kind
        self._by_crd[name] = all_versions
        self.generation += 1

    def remove_crd(self, name: str) -> None:
        self._drop(name)
        self.generation += 1

    def _drop(self, name: str) -> None:
        for kind in self._by_crd.pop(name, ()):
            resource = kind.resource
            self._kinds.pop((resource.group, resource.version, resource.plural), None)
            self._stored_as.pop(kind.bucket, None)

    def of_crd(self, name: str) -> list[Kind]:
        return self._by_crd.get(name, [])

    def __iter__(self) -> Iterator[Kind]:
        return iter(self._kinds.values())

    def group_versions(self) -> dict[str, dict[str, list[Kind]]]:
        """Kinds by group and version; the core group is ``""``. Versions of a group are in
        order of preference, kinds in order of their plural."""
        tree: dict[str, dict[str, list[Kind]]] = {}
        for kind in self:
            versions = tree.setdefault(kind.resource.group, {})
            versions.setdefault(kind.resource.version, []).append(kind)
        return {
            group: {
                version: sorted(tree[group][version], key=lambda k: k.resource.plural)
                for version in sorted(tree[group], key=version_rank, reverse=True)
            }
            for group in sorted(tree)
        }


def version_rank(version: str) -> tuple[int, int, int, str]:
    """Kubernetes' order of versions: v2 > v1 > v1beta2 > v1beta1 > v1alpha1 > anything else."""
    rest = version.removeprefix("v")
    for rank, word in ((2, "beta"), (1, "alpha")):
        major, found, minor = rest.partition(word)
        if found and major.isdigit() and (minor.isdigit() or not minor):
            return rank, int(major), int(minor or 0), version
    if version.startswith("v") and rest.isdigit():
        return 3, int(rest), 0, version
    return 0, 0, 0, version
