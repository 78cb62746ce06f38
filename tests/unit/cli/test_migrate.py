"""``ome migrate``: legacy predictors in their new form, everything else as it is."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml
from tests.unit.cli.conftest import Ome

from ome.cli.output import to_yaml

LEGACY = """\
# comments are not kept
apiVersion: ome.io/v1beta1
kind: InferenceService
metadata:
  name: e5
  annotations: {team: a, ome.io/deprecation-warning: "old words"}
spec:
  predictor:
    model:
      baseModel: e5-mistral
      runtime: srt-e5
      protocolVersion: openAI
      storageUri: hf://intfloat/e5
      runtimeVersion: v1
      args: ["--x", "1e3"]
    workerSpec: {size: 1}
    minReplicas: 1
    maxReplicas: 2
    containers:
      - {name: sidecar, image: s}
      - {name: ome-container, image: e}
"""
OTHER = """\
apiVersion: v1
kind: ConfigMap
metadata:
  name: other
data:
  empty: ''
  number: '5'
"""
MIGRATED = """\
apiVersion: ome.io/v1beta1
kind: InferenceService
metadata:
  name: e5
  annotations:
    team: a
spec:
  engine:
    minReplicas: 1
    maxReplicas: 2
    worker:
      size: 1
    runner:
      name: ome-container
      image: e
      args:
      - --x
      - '1e3'
      env:
      - name: STORAGE_URI
        value: hf://intfloat/e5
      - name: PROTOCOL_VERSION
        value: openAI
    containers:
    - name: sidecar
      image: s
  model:
    name: e5-mistral
    kind: ClusterBaseModel
  runtime:
    name: srt-e5
    kind: ClusterServingRuntime
"""
SAID = """\
spec.predictor has become spec.engine
spec.predictor.workerSpec has become spec.engine.worker
spec.predictor.model.baseModel has become spec.model: ClusterBaseModel e5-mistral
spec.predictor.model.runtime has become spec.runtime: ClusterServingRuntime srt-e5
spec.predictor.model.storageUri has become STORAGE_URI in spec.engine.runner.env
spec.predictor.model.protocolVersion has become PROTOCOL_VERSION in spec.engine.runner.env
spec.predictor.model.runtimeVersion has no effect: runtimes name whole images. Set \
spec.engine.runner.image for another version
model e5-mistral does not exist yet; it is taken to be a ClusterBaseModel
annotation ome.io/deprecation-warning is gone with what it warned of
"""


def test_a_predictor_becomes_engine_model_and_runtime(ome: Ome, tmp_path: Path) -> None:
    path = tmp_path / "x.yaml"
    path.write_text(f"{LEGACY}---\n{OTHER}")
    answer = ome("migrate", "-f", path)
    assert answer.status == 0
    assert answer.out == f"{MIGRATED}---\n{OTHER}"
    prefix = f"{path}:8: InferenceService e5: "
    assert answer.err == "".join(f"{prefix}{line}\n" for line in SAID.splitlines())


def test_the_new_form_needs_nothing_and_validates(ome: Ome, tmp_path: Path) -> None:
    path = tmp_path / "x.yaml"
    path.write_text(LEGACY)
    warned = ome("validate", "-f", path)
    assert "spec.predictor is deprecated" in warned.err
    assert (
        "('ome migrate -f FILE' writes that for you). The new form of this one: spec: {"
        in warned.err
    )
    path.write_text(ome("migrate", "-f", path).out)
    again = ome("migrate", "-f", path)
    assert (again.out, again.err) == (MIGRATED, "")
    answer = ome("validate", "-f", path)
    assert answer.status == 0
    assert "deprecated" not in answer.err


def test_json_is_one_object_or_a_list(ome: Ome, tmp_path: Path) -> None:
    path = tmp_path / "x.yaml"
    path.write_text(LEGACY)
    assert json.loads(ome("migrate", "-f", path, "-o", "json").out) == yaml.safe_load(MIGRATED)
    path.write_text(f"{OTHER}---\n{LEGACY}")
    listed = json.loads(ome("migrate", "-f", path, "-o", "json").out)
    assert listed == {
        "apiVersion": "v1",
        "kind": "List",
        "items": [yaml.safe_load(OTHER), yaml.safe_load(MIGRATED)],
    }


def test_namespaced_runtimes_and_models_of_the_files_are_meant(ome: Ome, tmp_path: Path) -> None:
    path = tmp_path / "x.yaml"
    path.write_text(
        LEGACY
        + """\
---
apiVersion: ome.io/v1beta1
kind: BaseModel
metadata: {name: e5-mistral}
spec: {storage: {storageUri: "hf://a/b"}}
---
apiVersion: ome.io/v1beta1
kind: ServingRuntime
metadata: {name: srt-e5}
spec: {containers: [{name: ome-container, image: x}]}
"""
    )
    first = next(yaml.safe_load_all(ome("migrate", "-f", path).out))
    assert first["spec"]["model"] == {"name": "e5-mistral", "kind": "BaseModel"}
    assert first["spec"]["runtime"] == {"name": "srt-e5", "kind": "ServingRuntime"}


def test_a_predictor_beside_an_engine_is_taken_out(ome: Ome, tmp_path: Path) -> None:
    path = tmp_path / "x.yaml"
    path.write_text(
        "apiVersion: ome.io/v1beta1\nkind: InferenceService\nmetadata: {name: s}\n"
        "spec:\n  predictor: {minReplicas: 3}\n  engine: {}\n  model: {name: m}\n"
    )
    answer = ome("migrate", "-f", path)
    assert yaml.safe_load(answer.out)["spec"] == {"engine": {}, "model": {"name": "m"}}
    assert answer.err == (
        f"{path}:5: InferenceService s: spec.predictor is gone; "
        "beside spec.engine it had no effect\n"
    )


def test_a_predictor_that_means_nothing_stays_as_it_is(ome: Ome, tmp_path: Path) -> None:
    path = tmp_path / "x.yaml"
    text = "apiVersion: ome.io/v1beta1\nkind: InferenceService\nmetadata: {name: s}\nspec: {predictor: {}, engine: {}}\n"  # noqa: E501
    path.write_text(text)
    answer = ome("migrate", "-f", path)
    assert yaml.safe_load(answer.out) == yaml.safe_load(text)
    assert answer.err == ""


@pytest.mark.parametrize(
    ("text", "status", "said"),
    [
        (LEGACY.replace("minReplicas: 1", "minReplicas: x"), 1, ":17: InferenceService e5: spec."),
        (LEGACY.replace("minReplicas", "minReplica"), 1, "there is no such field; did you mean"),
        (f"{LEGACY}\n\tx", 1, "not valid YAML"),
        ("# nothing", 2, "there is no object in it"),
    ],
)
def test_what_cant_be_rewritten_without_loss_is_not_printed(
    ome: Ome, tmp_path: Path, text: str, status: int, said: str
) -> None:
    path = tmp_path / "x.yaml"
    path.write_text(text)
    answer = ome("migrate", "-f", path)
    assert (answer.status, answer.out) == (status, "")
    assert said in answer.err


@pytest.mark.parametrize(
    "text",
    ["1e3", "y", "N", "off", "0o17", "0x1F", "1_000", ".5", "5.", "+1", "~", "null", "=", "22:30",
     "", "2024-01-01", " a", "a: b", "#x", "1.5e+3", ".inf", "-.INF", ".NaN",
     "é\u200b\x07", "a\nb\n"],
)  # fmt: skip
def test_texts_stay_texts_for_every_reader_of_yaml(text: str) -> None:
    written = to_yaml({"a": text, text: 1})
    assert yaml.safe_load(written) == {"a": text, text: 1}
    bare = written.splitlines()[0].removeprefix("a: ")
    assert bare.startswith(("'", '"', "|"))
