"""Models and fine-tuned weights: where their files come from, and what is said about them."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from tests.contract.cases import Case, case
from tests.contract.effects_pods import TERM
from tests.contract.world import Seen, World

from ome.api import resources as o
from ome.api.crds import COLUMNS
from ome.cli.cards import card
from ome.cli.commands.model.describe import facts
from ome.controllers.readiness import probe_for
from ome.standalone.apiserver import jsonpath

MODELS = "BaseModel ClusterBaseModel"
ALL = f"{MODELS} FineTunedWeight"
STORAGE = "spec.storage"


def cases() -> Iterator[Case]:
    yield from _storage()
    yield from _described()
    yield from _card()
    yield from _columns()
    yield from _told()
    yield from _weights()


# --- storage --------------------------------------------------------------------------------------


def served(key: str, where: str = "modelSpec") -> Callable[[Seen], Any]:
    """What the ConfigMap beside the service says of the model that it serves."""

    def look(seen: Seen) -> Any:
        data = seen.child("ConfigMap", "modelconfig-chat")["data"]
        return json.loads(data["models.json"])[0][where][key]

    return look


def _storage() -> Iterator[Case]:
    yield from case(
        MODELS, f"{STORAGE}.storageUri", "hf://other/model",
        lambda s: s.target.spec.uri,
    )  # fmt: skip
    yield from case(
        MODELS, f"{STORAGE}.path", "/raid/models/elsewhere",
        lambda s: (s.target.path, s.env()["MODEL_PATH"]),
        expected=(Path("/srv/models/elsewhere"), "/raid/models/elsewhere"),
    )  # fmt: skip
    yield from case(MODELS, f"{STORAGE}.schemaPath", "schema.json", served("schemaPath"))
    yield from case(
        MODELS, f"{STORAGE}.parameters", {"region": "eu", "include": "*.json"},
        lambda s: (s.target.spec.parameters.get("region"), s.target.include),
        expected=("eu", ("*.json",)),
    )  # fmt: skip
    yield from case(MODELS, f"{STORAGE}.key", "hub-token", lambda s: s.target.secret)
    yield from case(
        ALL, f"{STORAGE}.nodeSelector", {"pool": "gpu"}, lambda s: s.wanted_here,
        expected=False,
    )  # fmt: skip
    yield from case(
        ALL, f"{STORAGE}.nodeAffinity",
        {"requiredDuringSchedulingIgnoredDuringExecution": TERM},
        lambda s: s.wanted_here, expected=False,
    )  # fmt: skip
    yield from case(
        ALL, f"{STORAGE}.downloadPolicy", "ReuseIfExists", lambda s: s.target.reuse,
        expected=True,
    )  # fmt: skip


# --- what is said of the model --------------------------------------------------------------------

READ: dict[str, Any] = {
    "modelType": "read",
    "maxTokens": 4096,
    "decodedModelConfiguration": {"read": True},
}


def read_by_a_node() -> World:
    return World(node_says=dict(READ))


def _described() -> Iterator[Case]:
    """What the user says is not replaced by what a node reads in the files."""
    for name, value in (
        ("modelType", "llama"),
        ("maxTokens", 512),
        ("modelConfiguration", {"hidden_size": 7}),
    ):
        yield from case(
            MODELS, f"spec.{name}", value, lambda s, name=name: name in s.filled,
            base=read_by_a_node, expected=False,
        )  # fmt: skip
    yield from case(
        MODELS, "spec.modelCapabilities", ["EMBEDDING"],
        lambda s: probe_for(s.world.model, "x").path, expected="/v1/embeddings",
    )  # fmt: skip
    yield from case(
        MODELS, "spec.vendor", "meta",
        lambda s: s.template()["metadata"]["labels"].get("base-model-vendor"),
    )  # fmt: skip


def shown(name: str) -> Callable[[Seen], Any]:
    """A line of ``ome model describe``."""
    return lambda seen: dict(facts(seen.world.model))[name]


def _card() -> Iterator[Case]:
    """What people want to know of a model before they use it."""
    yield from case(MODELS, "spec.displayName", "Tiny 1", shown("Called"))
    yield from case(
        MODELS, "spec.servingMode", ["Dedicated"], shown("Offered"), expected="Dedicated"
    )
    yield from case(
        MODELS,
        "spec.additionalMetadata",
        {"license": "apache-2.0"},
        shown("license"),
        expected="apache-2.0",
    )
    yield from case(
        MODELS,
        "spec.apiCapabilities",
        ["OPENAI_V1_EMBEDDINGS"],
        lambda s: probe_for(s.world.model, "x").path,
        expected="/v1/embeddings",
    )


def described(name: str) -> Callable[[Seen], Any]:
    """A line at the top of ``ome describe``."""

    def look(seen: Seen) -> Any:
        resource = o.by_kind(seen.world.kind)
        assert resource is not None
        return dict(card(resource, seen.subject))[name]

    return look


def column(name: str) -> Callable[[Seen], Any]:
    """What ``kubectl get`` shows of the object in that column."""

    def look(seen: Seen) -> Any:
        resource = o.by_kind(seen.world.kind)
        assert resource is not None
        path = next(path for title, _, path in COLUMNS[resource] if title == name)
        return jsonpath.find(seen.subject, path)[0]

    return look


def _columns() -> Iterator[Case]:
    """Facts that are there to be shown: they have their column in every list."""
    yield from case(ALL, "spec.version", "1.2.0", column("Version"))
    yield from case(ALL, "spec.compartmentID", "ocid1.example", column("CompartmentID"))
    yield from case("FineTunedWeight", "spec.vendor", "meta", column("Vendor"))


def _told() -> Iterator[Case]:
    """Facts about weights that people ask for when they look at them."""
    yield from case(WEIGHT, "spec.displayName", "Support 7", described("Called"))
    job = "spec.trainingJobRef"
    yield from case(
        WEIGHT, f"{job}.name", "lora-42", described("Trained by"), expected="lora-42"
    )  # fmt: skip
    yield from case(
        WEIGHT, f"{job}.namespace", "training", described("Trained by"),
        also={f"{job}.name": "lora-42"}, expected="training/lora-42",
    )  # fmt: skip


# --- fine-tuned weights ---------------------------------------------------------------------------

WEIGHT = "FineTunedWeight"


def tuned() -> World:
    """A service with weights on top of its model."""
    world = World()
    world.service["spec"]["model"]["fineTunedWeights"] = ["tuned"]
    return world


def _weights() -> Iterator[Case]:
    def problem(seen: Seen) -> str:
        return seen.problem

    def pod(what: str, key: str) -> Callable[[Seen], Any]:
        return lambda seen: seen.template()["metadata"][what].get(key)

    wrong = "WeightsOfAnotherModel"
    for path, value, look, expected in (
        ("spec.baseModelRef.name", "other", problem, wrong),
        ("spec.baseModelRef.namespace", "elsewhere", problem, wrong),
        ("spec.disabled", True, problem, "FineTunedWeightsDisabled"),
        ("spec.modelType", "Adapter", served("modelType", "fineTunedWeightSpec"), "Adapter"),
        (
            "spec.hyperParameters", {"strategy": "tfew"},
            pod("annotations", "ome.io/fine-tuned-weight-ft-strategy"), "tfew",
        ),
        (
            "spec.configuration", {"merged_weights": True},
            pod("labels", "fine-tuned-serving-with-merged-weights"), "true",
        ),
        (
            f"{STORAGE}.storageUri", "pvc://claim/tuned",
            lambda s: [v["persistentVolumeClaim"]["claimName"] for v in s.pod()["volumes"]
                       if "persistentVolumeClaim" in v], ["claim"],
        ),
    ):  # fmt: skip
        yield from case(WEIGHT, path, value, look, base=tuned, expected=expected)
    for name, value, key in (
        ("path", "/raid/models/tuned", "path"),
        ("schemaPath", "schema.json", "schemaPath"),
        ("parameters", {"region": "eu"}, "parameters"),
        ("key", "hub-token", "storageKey"),
    ):
        yield from case(
            WEIGHT, f"{STORAGE}.{name}", value, served(key, "fineTunedWeightSpec"), base=tuned
        )
