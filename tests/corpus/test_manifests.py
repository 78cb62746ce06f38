"""Every manifest of the corpus is accepted unchanged: by schema, lens and admission.

Not part of ``make test``: the corpus lies beside the checkout. Run it by name::

    PYTHONPATH=src pytest tests/corpus -q

It fails, and says so, where the corpus is missing.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml
from tests.corpus import corpus

from ome.admission import OmeAdmission
from ome.api import (
    accelerator,
    benchmark,
    inferenceservice,
    model,
    resources,
    runtime,
    weight,
)
from ome.api.crds import crd
from ome.api.lens import members
from ome.apimachinery.objects import Resource
from ome.apimachinery.schema import Schema

Object = dict[str, Any]

LENSES: dict[str, Any] = {
    "InferenceService": inferenceservice,
    "ServingRuntime": runtime,
    "ClusterServingRuntime": runtime,
    "BaseModel": model,
    "ClusterBaseModel": model,
    "FineTunedWeight": weight,
    "BenchmarkJob": benchmark,
    "AcceleratorClass": accelerator,
}


def manifests() -> list[tuple[str, Object]]:
    """(place, object) of everything of OME's group, sorted by file."""
    found: list[tuple[str, Object]] = []
    for folder in ("models", "runtimes", "samples"):
        for path in sorted((corpus.ROOT / folder).rglob("*.yaml")):
            documents = [d for d in yaml.safe_load_all(path.read_text()) if d]
            found += [
                (f"{path.relative_to(corpus.ROOT)}#{index}", document)
                for index, document in enumerate(documents)
                if str(document.get("apiVersion", "")).startswith(f"{resources.GROUP}/")
            ]
    return found


@cache
def schema(resource: Resource) -> Schema:
    version = crd(resource)["spec"]["versions"][0]
    return Schema.from_crd(version["schema"]["openAPIV3Schema"])


MISSING = f"THE CORPUS TIER DID NOT RUN: there is no corpus in {corpus.ROOT}; set OME_CORPUS"
CASES = [pytest.param(*case, id=case[0]) for case in manifests()] or [
    pytest.param("", {}, id="corpus-missing")
]
"""Without the corpus one case is left, which fails: nothing here is skipped in silence."""


def test_the_corpus_is_there() -> None:
    assert Path(corpus.ROOT).is_dir(), MISSING
    assert len(manifests()) >= 240


@pytest.mark.parametrize(("where", "obj"), CASES)
def test_a_manifest_is_accepted_unchanged(where: str, obj: Object) -> None:
    assert obj, MISSING
    resource = resources.by_kind(obj["kind"])
    assert resource is not None, where
    kept, unknown = schema(resource).prune(obj)
    assert unknown == [], f"{where}: fields that the CRD doesn't know"
    assert kept == obj
    assert schema(resource).validate(schema(resource).default(obj)) == []


@pytest.mark.parametrize(("where", "obj"), CASES)
def test_a_lens_reads_it_and_loses_nothing(where: str, obj: Object) -> None:
    assert obj, MISSING
    lens = LENSES[obj["kind"]].decode(obj)
    assert lens.raw == obj
    own = {member.name for member in members(type(lens.spec))}
    assert lens.spec.rest.keys() == obj["spec"].keys() - own


class Everything:
    """A view of a cluster that holds the corpus."""

    def get(self, resource: Resource, namespace: str, name: str) -> Object | None:
        return next((o for o in self.list(resource) if o["metadata"]["name"] == name), None)

    def list(self, resource: Resource, namespace: str = "") -> list[Object]:
        return [obj for _, obj in manifests_once() if obj["kind"] == resource.kind]


@cache
def manifests_once() -> tuple[tuple[str, Object], ...]:
    return tuple(manifests())


@pytest.mark.parametrize(("where", "obj"), CASES)
def test_admission_has_nothing_against_it(where: str, obj: Object) -> None:
    assert obj, MISSING
    resource = resources.by_kind(obj["kind"])
    assert resource is not None
    review = OmeAdmission().review("CREATE", resource, obj, None, Everything())
    assert review.errors == [], where
