"""Fine-tuned weights: adapters and merged ones, one and several, and those that don't fit."""

from __future__ import annotations

import json
from typing import Any

import pytest
from tests.fakes.objects import API, model, runtime, service
from tests.unit.rendering.modes import EVERYTHING, check_golden, child, live, made, settings

from ome.apimachinery import resources as r
from ome.controllers.decide import Decision, World, decide
from ome.rendering import Rendered, RenderError
from ome.selection import Runtime

Object = dict[str, Any]


def weight(
    name: str = "support", *, base: str = "tiny", strategy: str = "lora", **spec: Any
) -> Object:
    return {
        "apiVersion": API,
        "kind": "FineTunedWeight",
        "metadata": {"name": name},
        "spec": {
            "baseModelRef": {"name": base},
            "modelType": "LoRA",
            "hyperParameters": {"strategy": strategy} if strategy else {},
            "storage": {"storageUri": "oci://n/ns/b/bucket/o/weights"},
            **spec,
        },
    }


MERGED = {"configuration": {"merged_weights": True}}


def tuned(*weights: Object, vendor: str = "", **more: Any) -> Rendered:
    names = [item["metadata"]["name"] for item in weights]
    subject = service()
    subject["spec"]["model"]["fineTunedWeights"] = names
    given = model(**({"vendor": vendor} if vendor else {}))
    return made(subject, model=given, weights=weights, **more)


def template(rendered: Rendered) -> Object:
    found: Object = child(rendered, r.DEPLOYMENTS, "chat-engine")["spec"]["template"]
    return found


def container(rendered: Rendered) -> Object:
    found: Object = template(rendered)["spec"]["containers"][0]
    return found


def env(rendered: Rendered) -> dict[str, str]:
    return {item["name"]: item["value"] for item in container(rendered)["env"]}


def mounts(rendered: Rendered) -> dict[str, Object]:
    return {item["mountPath"]: item for item in container(rendered)["volumeMounts"]}


@pytest.mark.parametrize(
    ("name", "weights", "vendor"),
    [
        ("lora", [weight()], "meta"),
        ("merged", [weight(**MERGED)], "meta"),
        ("tfew", [weight(strategy="tfew")], "cohere"),
        ("loras", [weight("one"), weight("two")], ""),
    ],
)
def test_weights_are_rendered_as_in_the_golden_files(
    name: str, weights: list[Object], vendor: str
) -> None:
    check_golden(f"weights-{name}", tuned(*weights, vendor=vendor))


def test_an_adapter_lies_beside_the_base_model() -> None:
    rendered = tuned(weight())
    meta = template(rendered)["metadata"]
    assert meta["labels"]["fine-tuned-serving"] == "true"
    assert meta["labels"]["fine-tuned-weight-ft-strategy"] == "lora"
    assert meta["annotations"]["ome.io/inject-fine-tuned-adapter"] == "support"
    assert meta["annotations"]["ome.io/fine-tuned-weight-ft-strategy"] == "lora"
    assert env(rendered)["MODEL_PATH"] == "/raid/models/tiny"
    assert mounts(rendered).keys() == {"/raid/models/tiny", "/opt/ml/model"}
    assert "nodeSelector" in template(rendered)["spec"]
    volumes = {volume["name"] for volume in template(rendered)["spec"]["volumes"]}
    assert volumes == {"tiny", "model-empty-dir"}


def test_merged_weights_need_nothing_of_the_base_model() -> None:
    rendered = tuned(weight(**MERGED))
    pod = template(rendered)["spec"]
    assert env(rendered)["MODEL_PATH"] == "/opt/ml/model"
    assert mounts(rendered).keys() == {"/opt/ml/model"}
    assert "nodeSelector" not in pod
    assert [volume["name"] for volume in pod["volumes"]] == ["model-empty-dir"]
    annotations = template(rendered)["metadata"]["annotations"]
    assert annotations["ome.io/inject-model-init"] == "false"
    assert annotations["ome.io/fine-tuned-serving-with-merged-weights"] == "true"


def test_the_served_name_of_metas_models_is_that_of_the_weight() -> None:
    found = env(tuned(weight(), vendor="meta"))
    assert found["SERVED_MODEL_NAME"] == "/data/support"
    assert found["MODEL_PATH"] == "/opt/ml/model"


def test_tfew_has_its_two_parts_and_its_path() -> None:
    rendered = tuned(weight(strategy="tfew"), vendor="cohere")
    assert env(rendered)["TFEW_PATH"] == "/opt/ml/tfew/fastertransformer/1"
    found = mounts(rendered)
    assert found["/opt/ml/model/safetensors"]["subPath"] == "base"
    assert found["/opt/ml/tfew/safetensors"]["subPath"] == "finetuned"


def test_a_strategy_that_is_not_given_loses_no_annotations() -> None:
    annotations = template(tuned(weight(strategy="")))["metadata"]["annotations"]
    assert annotations["ome.io/serving-runtime"] == "rt"
    assert annotations["ome.io/inject-fine-tuned-adapter"] == "support"
    assert "ome.io/fine-tuned-weight-ft-strategy" not in annotations


def test_weights_on_a_claim_are_mounted_and_not_fetched() -> None:
    on_claim = weight(storage={"storageUri": "pvc://weights/support/v1"})
    rendered = tuned(on_claim)
    meta = template(rendered)["metadata"]
    assert "ome.io/inject-fine-tuned-adapter" not in meta["annotations"]
    mount = mounts(rendered)["/opt/ml/model"]
    assert (mount["subPath"], mount["readOnly"]) == ("support/v1", True)
    volumes = {volume["name"]: volume for volume in template(rendered)["spec"]["volumes"]}
    assert volumes[mount["name"]]["persistentVolumeClaim"]["claimName"] == "weights"
    assert "model-empty-dir" not in volumes
    both = tuned(on_claim, weight("other"))
    annotations = template(both)["metadata"]["annotations"]
    assert annotations["ome.io/inject-fine-tuned-adapter"] == "other"
    assert {"/opt/ml/model", "/opt/ml/model/support"} <= mounts(both).keys()


def test_a_claim_of_another_namespace_says_why_not() -> None:
    with pytest.raises(RenderError) as caught:
        tuned(weight(storage={"storageUri": "pvc://else:weights/x"}))
    assert caught.value.code == "ModelNotReachable"
    assert caught.value.field == "spec.model.fineTunedWeights"


def test_the_router_is_not_touched_by_weights() -> None:
    subject = service(router={"runner": {"image": "r:1"}})
    rendered = made(subject, weights=[weight()])
    router = child(rendered, r.DEPLOYMENTS, "chat-router")["spec"]["template"]
    assert router["metadata"]["labels"]["fine-tuned-serving"] == "false"


def test_the_models_description_names_the_weight() -> None:
    config = child(tuned(weight()), r.CONFIG_MAPS, "modelconfig-chat")
    entry = json.loads(config["data"]["models.json"])[0]
    assert entry["fineTunedWeightSpec"]["storageUri"] == "oci://n/ns/b/bucket/o/weights"


def test_another_weight_is_the_services_own_change() -> None:
    observed = live(tuned(weight()))
    other = tuned(weight("other"), observed=observed, may_roll=False)
    annotations = template(other)["metadata"]["annotations"]
    assert annotations["ome.io/inject-fine-tuned-adapter"] == "other"


@pytest.mark.parametrize(
    "weights",
    [
        [weight("a", **MERGED), weight("b")],
        [weight("a"), weight("b", strategy="adapter")],
        [weight("a", strategy="tfew"), weight("b", strategy="tfew")],
    ],
)
def test_weights_that_do_not_go_together_say_so(weights: list[Object]) -> None:
    with pytest.raises(RenderError) as caught:
        tuned(*weights)
    assert caught.value.code == "WeightsNotCombinable"
    assert caught.value.fix


# --- finding them ---------------------------------------------------------------------------------


def decided(reference: Object, *weights: Object) -> Decision:
    subject = service()
    subject["metadata"]["uid"] = "u-1"
    subject["spec"]["model"] = reference
    models = {("ClusterBaseModel", "tiny"): model(), ("ClusterBaseModel", "big"): model("big")}
    by_name = {item["metadata"]["name"]: item for item in weights}
    return decide(
        World(
            subject,
            settings(),
            [Runtime.of(runtime())],
            lambda kind, name: models.get((kind, name)),
            weight=by_name.get,
            capabilities=EVERYTHING,
        )
    )


@pytest.mark.parametrize(
    ("reference", "weights", "code", "words"),
    [
        ({"name": "tiny", "fineTunedWeights": ["w"]}, [], "FineTunedWeightsNotFound", "w"),
        (
            {"name": "tiny", "fineTunedWeights": ["w"]},
            [weight("w", base="big")],
            "WeightsOfAnotherModel",
            "made for model big, not for tiny",
        ),
        (
            {"name": "tiny", "fineTunedWeights": ["w"]},
            [weight("w", disabled=True)],
            "FineTunedWeightsDisabled",
            "disabled",
        ),
        (
            {"name": "w", "kind": "FineTunedWeight"},
            [weight("w", baseModelRef={})],
            "BaseModelNotFound",
            "does not say which model",
        ),
        ({"name": "tiny", "kind": "Dataset"}, [], "InvalidSpec", "Dataset"),
    ],
)
def test_weights_that_cannot_be_served_say_why(
    reference: Object, weights: list[Object], code: str, words: str
) -> None:
    problem = decided(reference, *weights).problem
    assert problem is not None
    assert problem.code == code
    assert words in problem.sentence
    assert problem.fix


def test_a_service_may_name_a_weight_as_its_model() -> None:
    decision = decided({"name": "w", "kind": "FineTunedWeight"}, weight("w"))
    assert decision.problem is None
    assert decision.model is not None
    assert decision.model["metadata"]["name"] == "tiny"
    assert decision.rendered is not None
    annotations = template(decision.rendered)["metadata"]["annotations"]
    assert annotations["ome.io/inject-fine-tuned-adapter"] == "w"
