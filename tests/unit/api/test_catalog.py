"""The catalog's linter: what ships is valid, pinned, unambiguous, and goes together."""

from __future__ import annotations

import itertools
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from ome.admission import OmeAdmission
from ome.api import constants as c
from ome.api import resources as o
from ome.api.crds import crd
from ome.api.storage_uri import parse
from ome.apimachinery import quantity
from ome.apimachinery.objects import Resource, annotations_of, labels_of, metadata
from ome.apimachinery.schema import Schema
from ome.selection import SelectionInput, select_runtime

Object = dict[str, Any]

ROOT = Path(__file__).parents[3]
CATALOG = ROOT / "catalog"
FILES = sorted(CATALOG.rglob("*.yaml"))
QUICKSTART = ROOT / "examples" / "quickstart.yaml"
IDS = [str(path.relative_to(CATALOG)) for path in FILES]


def load(path: Path) -> list[Object]:
    return [document for document in yaml.safe_load_all(path.read_text()) if document]


def of_kind(kind: str, folder: str = "") -> list[Object]:
    paths = [path for path in FILES if str(path.relative_to(CATALOG)).startswith(folder)]
    return [obj for path in paths for obj in load(path) if obj["kind"] == kind]


HOST = of_kind("ClusterServingRuntime", "runtimes/host")
CLUSTER = of_kind("ClusterServingRuntime", "runtimes/cluster")
MODELS = of_kind("ClusterBaseModel")
CLASSES = of_kind("AcceleratorClass")


class View:
    """A cluster that holds the catalog and nothing else."""

    def get(self, resource: Resource, namespace: str, name: str) -> Object | None:
        return next((x for x in self.list(resource) if metadata(x)["name"] == name), None)

    def list(self, resource: Resource, namespace: str = "") -> list[Object]:
        return of_kind(resource.kind)


def problems(obj: Object) -> list[str]:
    resource = o.by_kind(obj["kind"])
    assert resource is not None, obj["kind"]
    schema = Schema.from_crd(crd(resource)["spec"]["versions"][0]["schema"]["openAPIV3Schema"])
    kept, unknown = schema.prune(obj)
    review = OmeAdmission().review("CREATE", resource, obj, None, View())
    return [
        *(f"{path}: unknown" for path in unknown),
        *map(str, schema.validate(schema.default(kept))),
        *map(str, review.errors),
    ]


def containers(runtime: Object) -> list[Object]:
    parts = [runtime["spec"].get(key) or {} for key in ("engineConfig", "decoderConfig")]
    parts.append(runtime["spec"].get("routerConfig") or {})
    parts += [part.get(key) or {} for part in parts for key in ("leader", "worker")]
    found = [part["runner"] for part in parts if "runner" in part]
    return found + [entry for part in parts for entry in part.get("containers") or ()]


def test_there_is_something_of_each_kind() -> None:
    assert HOST and len(CLUSTER) >= 3 and len(MODELS) >= 5 and len(CLASSES) >= 6


@pytest.mark.parametrize("path", FILES, ids=IDS)
def test_a_file_is_valid_explained_and_ours(path: Path) -> None:
    assert path.read_text().startswith("# "), "say what it is and when to use it"
    for obj in load(path):
        assert problems(obj) == []
        assert labels_of(obj)[c.L_PART_OF] == "ome"
        assert "namespace" not in metadata(obj)


def test_names_are_unique() -> None:
    names = [(obj["kind"], metadata(obj)["name"]) for path in FILES for obj in load(path)]
    assert len(names) == len(set(names))


@pytest.mark.parametrize("runtime", HOST + CLUSTER, ids=lambda r: metadata(r)["name"])
def test_a_runtime_can_be_run(runtime: Object) -> None:
    host = runtime in HOST
    engine = runtime["spec"]["engineConfig"]
    assert (engine["annotations"].get(c.A_HOST_PROCESS) == "true") is host
    assert runtime["spec"]["protocolVersions"] == ["openAI"]
    for container in containers(runtime):
        image = container["image"]
        if host:
            assert image.startswith("ome.io/host-process/"), "says that there is no image"
        else:
            assert re.fullmatch(r"[a-z0-9.-]+\.[a-z]+/[\w./-]+:[\w.-]+", image), "pin the image"
            assert not image.endswith(":latest")
        assert "$(MODEL_PATH)" in " ".join([*container["command"], *container.get("args", ())])
        assert {"startupProbe", "readinessProbe", "livenessProbe"} <= container.keys()
        requests = container["resources"]["requests"]
        assert all(quantity.parse(amount) > 0 for amount in requests.values())


def ranges_meet(one: Object, other: Object) -> bool:
    def bounds(runtime: Object) -> tuple[float, float]:
        size = runtime["spec"].get("modelSizeRange") or {}
        unit = {"M": 1e6, "B": 1e9, "T": 1e12}

        def number(text: str) -> float:
            return float(text[:-1]) * unit[text[-1]]

        return number(size.get("min", "0M")), number(size.get("max", "999999T"))

    (low, high), (other_low, other_high) = bounds(one), bounds(other)
    return low <= other_high and other_low <= high


@pytest.mark.parametrize("home", [HOST, CLUSTER], ids=["host", "cluster"])
def test_automatic_selection_is_never_a_tie(home: list[Object]) -> None:
    entries = [
        (runtime, entry)
        for runtime in home
        for entry in runtime["spec"]["supportedModelFormats"]
        if entry.get("autoSelect")
    ]
    for (one, a), (other, b) in itertools.combinations(entries, 2):
        what = ("modelFormat", "modelFramework", "modelArchitecture", "quantization")
        if all(a.get(key) == b.get(key) for key in what) and ranges_meet(one, other):
            assert a["priority"] != b["priority"], (metadata(one)["name"], metadata(other)["name"])


def test_accelerator_classes_that_runtimes_name_exist() -> None:
    known = {metadata(entry)["name"] for entry in CLASSES}
    for runtime in HOST + CLUSTER:
        spec = runtime["spec"]
        named = set((spec.get("acceleratorRequirements") or {}).get("acceleratorClasses") or ())
        for entry in spec["supportedModelFormats"]:
            named |= (entry.get("acceleratorConfig") or {}).keys()
        assert named <= known


@pytest.mark.parametrize("model", MODELS, ids=lambda m: metadata(m)["name"])
def test_a_model_comes_from_somewhere_and_a_runtime_takes_it(model: Object) -> None:
    parse(model["spec"]["storage"]["storageUri"])
    spec = dict(model["spec"])
    home = CLUSTER
    if "modelFormat" not in spec:
        # What a node reads in the file of a GGUF model (see ome.artifacts).
        assert spec["storage"]["storageUri"].endswith(".gguf")
        spec |= {
            "modelFormat": {"name": "gguf", "version": "3"},
            "modelFramework": {"name": "llama.cpp"},
            "modelArchitecture": "LlamaForCausalLM",
            "quantization": "Q4_1",
            "modelParameterSize": "134.5M",
        }
        home = HOST
    service = {
        "metadata": {"name": "s", "namespace": "default"},
        "spec": {"model": {"name": metadata(model)["name"]}, "engine": {}},
    }
    selection = select_runtime(SelectionInput(service, {**model, "spec": spec}, home))
    assert selection.winner is not None, selection.problem
    assert selection.warnings == ()


@pytest.mark.parametrize("entry", CLASSES, ids=lambda e: metadata(e)["name"])
def test_an_accelerator_can_be_recognised(entry: Object) -> None:
    spec = entry["spec"]
    assert spec["discovery"]["nodeSelector"], "an empty selector would match every node"
    if "memoryGB" in spec["capabilities"]:
        assert str(spec["capabilities"]["memoryGB"]).endswith("Gi")
        assert spec["resources"], "pods have to request something to get it"


def test_no_two_accelerators_are_recognised_by_the_same_label() -> None:
    selectors = [tuple(e["spec"]["discovery"]["nodeSelector"].items()) for e in CLASSES]
    assert len(selectors) == len(set(selectors))


def test_the_quickstart_is_valid_names_no_runtime_and_uses_the_shipped_model() -> None:
    objects = load(QUICKSTART)
    assert [obj["kind"] for obj in objects] == ["ClusterBaseModel", "InferenceService"]
    for obj in objects:
        assert problems(obj) == []
    model, service = objects
    assert "runtime" not in service["spec"]
    assert service["spec"]["model"]["name"] == metadata(model)["name"]
    shipped = next(m for m in MODELS if metadata(m)["name"] == metadata(model)["name"])
    assert shipped["spec"]["storage"] == model["spec"]["storage"]
    assert annotations_of(service) == {}
