"""Services written the old way become what they would be if written the new way.

The corpus has its predictors only in comments, so each sample with one engine is brought into the
form that it had before ``spec.predictor`` was deprecated; the predictor in the comments is there,
too.
"""

from __future__ import annotations

import copy
import re
from typing import Any

import pytest
import yaml
from tests.corpus import corpus

from ome.admission import OmeAdmission
from ome.admission.migration import rewrite
from ome.api import resources as o
from ome.apimachinery.objects import Object, Resource
from ome.cli import checks
from ome.cli.offline import Offline


@pytest.fixture(scope="module", autouse=True)
def _corpus_is_there() -> None:
    if not corpus.ROOT.is_dir():
        pytest.fail(f"the corpus is not at {corpus.ROOT}; set OME_CORPUS to where it is")


class _View:
    def __init__(self) -> None:
        self.objects = [*corpus.models().values(), *corpus.runtimes().values()]

    def get(self, resource: Resource, namespace: str, name: str) -> Object | None:
        found = (i for i in self.list(resource, namespace) if i["metadata"]["name"] == name)
        return next(found, None)

    def list(self, resource: Resource, namespace: str = "") -> list[Object]:
        return [item for item in self.objects if item["kind"] == resource.kind]


VIEW = _View()
WORLD = Offline()
for _obj in VIEW.objects:
    _resource = o.by_kind(_obj["kind"])
    assert _resource is not None
    WORLD.add(_resource, [_obj])


def _samples() -> list[Object]:
    found = []
    for path in sorted((corpus.ROOT / "samples").glob("**/*.yaml")):
        found += [d for d in yaml.safe_load_all(path.read_text()) if d]
    return [obj for obj in found if obj["kind"] == "InferenceService"]


def _legacy(service: Object) -> Object | None:
    """The service as a predictor; None where it has what predictors never had."""
    spec = service["spec"]
    engine = dict(spec.get("engine") or {})
    if engine.get("leader") or "engine" not in spec or not spec.get("model"):
        return None
    model: dict[str, Any] = {"baseModel": spec["model"]["name"], "protocolVersion": "openAI"}
    if spec.get("runtime"):
        model["runtime"] = spec["runtime"]["name"]
    predictor = {"model": model, "minReplicas": engine.pop("minReplicas", 1), **engine}
    if "worker" in predictor:
        predictor["workerSpec"] = predictor.pop("worker")
    runner = predictor.pop("runner", None)
    if runner:
        predictor["containers"] = [runner]
    rest = {key: spec[key] for key in spec if key not in ("engine", "model", "runtime")}
    return copy.deepcopy({**service, "spec": {**rest, "predictor": predictor}})


def _commented() -> Object:
    """The one predictor of the published samples."""
    text = (corpus.ROOT / "samples/benchmark/e5-mistral-7b-instruct.yaml").read_text()
    block = re.search(r"#apiVersion: ome.io/v1beta1\n#kind: InferenceService\n(?:#.*\n)+", text)
    assert block is not None
    lines = [line[1:] for line in block[0].splitlines()]
    found: Object = yaml.safe_load("\n".join(lines))
    assert found["spec"]["predictor"]["model"]["baseModel"] == "e5-mistral-7b-instruct"
    return found


def _children(service: Object) -> list[Object] | str:
    """What is made of the service after admission, or why nothing is."""
    review = OmeAdmission().review("CREATE", o.INFERENCE_SERVICES, service, None, VIEW)
    assert not review.errors, review.errors
    assert review.patched is not None
    decision = WORLD.decide(review.patched)
    if decision.problem is not None:
        return decision.problem.sentence
    assert decision.rendered is not None
    return [_plain(child.object) for child in decision.rendered.children]


def _plain(child: Object) -> Object:
    """Without what speaks of the service's own manifest."""
    child = copy.deepcopy(child)
    metadata = [child["metadata"]]
    template = (child.get("spec") or {}).get("template") or {}
    metadata += [template["metadata"]] if template.get("metadata") else []
    for meta in metadata:
        for key in ("ome.io/deprecation-warning", "ome.io/template-input-hash"):
            (meta.get("annotations") or {}).pop(key, None)
        if not meta.get("annotations"):
            meta.pop("annotations", None)
    return child


def test_every_predictor_migrates_to_what_validates_and_renders_the_same() -> None:
    schema = checks.schema_of(o.INFERENCE_SERVICES)
    made = rendered = 0
    for legacy in [_commented(), *filter(None, map(_legacy, _samples()))]:
        name = legacy["metadata"]["name"]
        before = copy.deepcopy(legacy)
        migrated, said = rewrite(legacy, VIEW)
        assert legacy == before, "the input is only read"
        assert said, name
        assert "predictor" not in migrated["spec"]
        assert schema.prune(migrated)[1] == []
        assert schema.validate(migrated) == []
        review = OmeAdmission().review("CREATE", o.INFERENCE_SERVICES, migrated, None, VIEW)
        assert not any("deprecated" in text for text in review.warnings), name
        assert rewrite(migrated, VIEW) == (migrated, []), "once is enough"
        children = _children(migrated)
        assert children == _children(legacy), name
        made += 1
        rendered += isinstance(children, list)
    print(f"\n{made} predictors migrated, {rendered} of them are served with the corpus's runtimes")
    assert made > 40
    assert rendered > 20
