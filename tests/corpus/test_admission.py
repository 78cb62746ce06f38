"""Every manifest of the corpus is accepted as it is."""

from __future__ import annotations

import pytest
import yaml
from tests.corpus import corpus

from ome.admission import OmeAdmission
from ome.api import resources as o
from ome.apimachinery.objects import Object, Resource


class _View:
    def __init__(self) -> None:
        self._objects = [*corpus.models().values(), *corpus.runtimes().values()]

    def get(self, resource: Resource, namespace: str, name: str) -> Object | None:
        found = (i for i in self.list(resource, namespace) if i["metadata"]["name"] == name)
        return next(found, None)

    def list(self, resource: Resource, namespace: str = "") -> list[Object]:
        return [item for item in self._objects if item["kind"] == resource.kind]


def test_every_manifest_is_accepted() -> None:
    if not corpus.ROOT.is_dir():
        pytest.fail(f"the corpus is not at {corpus.ROOT}; set OME_CORPUS to where it is")
    admission, view = OmeAdmission(), _View()
    reviewed, refused, warned = 0, [], 0
    for folder in ("models", "runtimes", "samples"):
        for path in sorted((corpus.ROOT / folder).glob("**/*.yaml")):
            for obj in yaml.safe_load_all(path.read_text()):
                resource = o.by_kind((obj or {}).get("kind") or "")
                if resource is None:
                    continue
                reviewed += 1
                result = admission.review("CREATE", resource, obj, None, view)
                refused += [f"{path.name}: {error}" for error in result.errors]
                warned += bool(result.warnings)
    print(f"\n{reviewed} objects accepted, {warned} of them with warnings")
    assert reviewed > 200
    assert not refused, "\n".join(refused)
