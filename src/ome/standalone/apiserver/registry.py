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
        self.generation = 0
        for kind in BUILTIN:
            self._add(kind)

    def _add(self, kind: Kind) -> None:
        resource = kind.resource
        self._kinds[resource.group, resource.version, resource.plural] = kind

    def find(self, group: str, version: str, plural: str) -> Kind | None:
        return self._kinds.get((group, version, plural))

    def storage_kind(self, bucket: str) -> Kind | None:
        """The kind whose objects a bucket holds, in its storage version."""
        group, _, plural = bucket.rpartition("/")
        found = [k for k in self._kinds.values() if k.bucket == f"{group}/{plural}"]
        return next((k for k in found if k.storage), found[0] if found else None)

    def set_crd(self, name: str, kinds: Iterable[Kind]) -> None:
        """Serve these versions for a CRD, instead of what it stood for before."""
        self._drop(name)
        added = list(kinds)
        for kind in added:
            self._add(kind)
        self._by_crd[name] = added
        self.generation += 1

    def remove_crd(self, name: str) -> None:
        self._drop(name)
        self.generation += 1

    def _drop(self, name: str) -> None:
        for kind in self._by_crd.pop(name, ()):
            resource = kind.resource
            del self._kinds[resource.group, resource.version, resource.plural]

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
