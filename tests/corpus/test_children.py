"""Field by field against the children that the Go implementation made of the samples.

Not part of ``make test``: the corpus lies beside the checkout. Run it by name::

    PYTHONPATH=src pytest tests/corpus -q -s

It fails, and says so, where the corpus is missing. Every difference is either named in
``EXPECTED`` with its reason or a failure.
"""

from __future__ import annotations

import copy
import re
from collections import Counter
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest
from tests.corpus import corpus

from ome.api import external as x
from ome.apimachinery import core_defaults
from ome.apimachinery import resources as r
from ome.rendering import Capabilities, Observed, RenderInput, render
from ome.selection import SelectionInput, compile_runtimes, select_runtime

MISSING = "<absent>"

SETTINGS = SimpleNamespace(
    keda=SimpleNamespace(enabled=True),
    scales_from_zero=False,
    ingress=SimpleNamespace(
        ingress_domain="svc.cluster.local",
        domain_template="",
        path_template="",
        url_scheme="http",
        additional_ingress_domains=None,
        disable_ingress_creation=True,
        disable_istio_virtual_host=False,
        enable_gateway_api=False,
        ingress_class_name="istio",
        ome_ingress_gateway="",
    ),
)

# (kind, path pattern) -> why ours differs.
EXPECTED = {
    ("Service", r"\.spec\.(ipFamilies\[0\]|ipFamilyPolicy)"): "assigned by the API server",
    (
        "Deployment",
        r"\.metadata\.annotations\.ome\.io/template-input-hash",
    ): "ours: no surprise restarts",
    (
        "Deployment",
        r"\.spec\.template\.metadata\.(name|namespace)",
    ): "no effect on pods, which get generated names; a live template keeps it",
    (
        "Deployment",
        r"\.spec\.template\.spec\.volumes\[.*\]\.(name|hostPath\.path|hostPath\.type)",
    ): "the router had the model's volume without mounting it (routers only, checked below)",
    (
        "Deployment",
        r"\.spec\.template\.spec\.containers\[router\]\.image",
    ): "the recording was made with another version of the published runtimes",
    (
        "Deployment",
        r"\.spec\.template\.spec\.containers\[ome-container\]\.command\[16\]",
    ): "as above: one model name in llama-3-2-11b-vision-instruct",
    (
        "LeaderWorkerSet",
        r"\.metadata\.annotations\.ome\.io/template-input-hash",
    ): "ours: no surprise restarts",
    (
        "LeaderWorkerSet",
        r"\.spec\.leaderWorkerTemplate\.\w+Template\.metadata\.(name|namespace)",
    ): "no effect on pods, which get generated names; a live template keeps it",
    (
        "LeaderWorkerSet",
        r"\.spec\.leaderWorkerTemplate\.\w+Template\.spec\.volumes\[.*\]\.hostPath\.type",
    ): "the default, written out",
    (
        "LeaderWorkerSet",
        r"\.spec\.rolloutStrategy\.rollingUpdateConfiguration\.partition",
    ): "a default of the LeaderWorkerSet API",
    (
        "Service",
        r"\.spec\.selector\.(component|ome\.io/inferenceservice)",
    ): "02 §20.2: the recorded one selects the leaders of every service in the namespace",
}

# Samples that can't be compared, and why.
NOT_COMPARED = {
    "llama-3-3-70b-instruct--llama-3-3-70b-instruct": "the runtime has no decoderConfig: recorded "
    "half made, refused by us before anything is made",
    **{
        f"{name}--{name}": "its runtime srt-deepseek-r1-distill-qwen-14b is not in the corpus"
        for name in (
            "qwen2-5-14b-instruct",
            "qwen2-5-32b-instruct",
            "qwen2-5-3b-instruct",
            "qwen2-5-72b-instruct",
            "qwen2-5-coder-32b-instruct",
        )
    },
}

# Automatic choices that differ: these runtimes were recorded from manifests the corpus lacks.
OTHER_CHOICE = {
    "llama-3-2-11b-vision-instruct--llama-3-2-11b-vision-instruct": "the recorded runtime was "
    "for framework version 4.46.3 and automatic; the corpus has 4.45.0 and by hand",
}


@pytest.fixture(scope="module", autouse=True)
def _corpus_is_there() -> None:
    if not (corpus.ROOT / "children").is_dir():
        pytest.fail(f"the corpus is not at {corpus.ROOT}; set OME_CORPUS to where it is")


def _fields(value: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    if isinstance(value, dict) and value:
        for key, item in value.items():
            yield from _fields(item, f"{path}.{key}")
    elif isinstance(value, list) and value:
        for index, item in enumerate(value):
            named = isinstance(item, dict) and "name" in item
            yield from _fields(item, f"{path}[{item['name'] if named else index}]")
    else:
        yield path, value


def _defaulted(service: dict[str, Any]) -> dict[str, Any]:
    service = copy.deepcopy(service)
    for component, most in (("engine", 3), ("decoder", 3), ("router", 2)):
        if component in service["spec"]:
            service["spec"][component].setdefault("minReplicas", 1)
            service["spec"][component].setdefault("maxReplicas", most)
    return service


def _recorded_runtime(recording: corpus.Recording) -> str:
    return next(
        child["metadata"]["labels"]["serving-runtime"]
        for child in recording.children
        if child["kind"] in ("Deployment", "LeaderWorkerSet")
    )


def _explained(kind: str, path: str, child: str) -> str | None:
    if kind == "Deployment" and "volumes[" in path and not child.endswith("-router"):
        return None
    for (expected_kind, pattern), reason in EXPECTED.items():
        if kind == expected_kind and re.fullmatch(pattern, path):
            return reason
    return None


def test_children_equal_the_recorded_ones_field_by_field() -> None:
    counts: Counter[str] = Counter()
    unexplained: list[str] = []
    for name, recording in corpus.recordings().items():
        if name in NOT_COMPARED:
            counts["samples not compared"] += 1
            continue
        service = _defaulted(recording.service)
        model = corpus.model_of(recording)
        runtime = corpus.runtimes()[_recorded_runtime(recording)]
        # Children under a legacy name keep it, so the recorded ConfigMap is observed.
        maps = [child for child in recording.children if child["kind"] == "ConfigMap"]
        rendered = render(
            RenderInput(
                service,
                SETTINGS,
                model,
                runtime,
                observed=Observed({r.CONFIG_MAPS: maps}),
                capabilities=Capabilities(frozenset({x.LEADER_WORKER_SETS})),
            )
        )
        ours = {
            (c.object["kind"], c.key.name): core_defaults.apply(c.resource, c.object)
            for c in rendered.children
        }
        # An autoscaled replica count is not ours; the API server's default is what is recorded.
        theirs = {(c["kind"], c["metadata"]["name"]): c for c in recording.children}
        unexplained += [f"{name}: {key} only on one side" for key in ours.keys() ^ theirs.keys()]
        counts["samples"] += 1
        for key in ours.keys() & theirs.keys():
            counts["objects"] += 1
            mine, recorded = dict(_fields(ours[key])), dict(_fields(theirs[key]))
            for path in mine.keys() | recorded.keys():
                if path.endswith(".uid"):
                    continue
                counts["fields"] += 1
                pair = mine.get(path, MISSING), recorded.get(path, MISSING)
                if pair[0] == pair[1]:
                    counts["equal"] += 1
                elif _explained(*(key[0], path, key[1])):
                    counts["explained"] += 1
                else:
                    unexplained.append(f"{name}: {key} {path}: {pair[0]!r} recorded {pair[1]!r}")
    print("\n" + ", ".join(f"{value} {key}" for key, value in sorted(counts.items())))
    assert not unexplained, "\n".join(unexplained[:40])
    assert counts["samples"] == len(corpus.recordings()) - len(NOT_COMPARED)


def test_the_recorded_runtime_is_chosen() -> None:
    compiled = compile_runtimes(corpus.runtimes().values())
    wrong = []
    compared = 0
    for name, recording in corpus.recordings().items():
        model = corpus.models().get(recording.service["spec"]["model"]["name"])
        expected = _recorded_runtime(recording)
        if model is None or expected not in corpus.runtimes() or name in OTHER_CHOICE:
            continue
        compared += 1
        selection = select_runtime(SelectionInput(recording.service, model, compiled))
        chosen = selection.winner.name if selection.winner else selection.problem
        if chosen != expected:
            wrong.append(f"{name}: {chosen}, recorded {expected}")
    print(f"\n{compared} choices compared")
    assert not wrong, "\n".join(wrong)


def test_a_generic_runtime_changes_no_choice() -> None:
    """Adding a runtime without architecture must never take a service from an exact one."""
    entry = {
        "modelFormat": {"name": "safetensors"},
        "modelFramework": {"name": "transformers"},
        "autoSelect": True,
        "priority": 100,
    }
    generic = {
        "kind": "ClusterServingRuntime",
        "metadata": {"name": "a-generic-one"},
        "spec": {"supportedModelFormats": [entry]},
    }
    before = compile_runtimes(corpus.runtimes().values())
    after = compile_runtimes([*corpus.runtimes().values(), generic])
    newly_served = 0
    for model in corpus.models().values():
        if not model["spec"].get("modelFormat"):
            continue
        service = {"metadata": {"namespace": "d"}, "spec": {"engine": {}}}
        old = select_runtime(SelectionInput(service, model, before)).winner
        new = select_runtime(SelectionInput(service, model, after)).winner
        if old is not None:
            assert new is not None
            assert new.name == old.name
        elif new is not None:
            newly_served += 1
    print(f"\n{newly_served} models without an exact runtime are served by the generic one")
