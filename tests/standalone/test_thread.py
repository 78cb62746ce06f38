"""The whole thread with the real engine and the real model: from a YAML file to tokens and back."""

from __future__ import annotations

import json
import re
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.request import Request, urlopen

import psutil
import pytest
from tests.standalone.omehome import (
    QUESTION,
    QUICKSTART,
    URI,
    OmeHome,
    free_port,
    model_yaml,
    ome_home,
    question,
    service_yaml,
    until,
)
from tests.tools import kubectl as kubectl_program

from ome.api import resources as o
from ome.apimachinery import resources as r

kubectl = kubectl_program
pytestmark = pytest.mark.engine
SERVICE = "smollm2"


@pytest.fixture(scope="module")
def serving() -> Iterator[OmeHome]:
    """``ome up`` with the example applied and ready."""
    with ome_home() as home:
        home.up()
        applied = home.ok("apply", "-f", str(QUICKSTART), "--wait", "--timeout", "90")
        home.applied = applied
        yield home


# -- from YAML to tokens --------------------------------------------------------------------------


def test_apply_says_what_it_made_what_is_awaited_and_when_it_is_ready(serving: OmeHome) -> None:
    applied = serving.applied
    assert applied.out.splitlines() == [
        "ClusterBaseModel smollm2-135m-instruct created",
        "InferenceService default/smollm2 created",
    ]
    assert "smollm2 is ready" in applied.err
    assert "no runtime fits" not in applied.err and "error" not in applied.err, applied.err
    assert "a runtime is selected as soon as a node has fetched and read it" in applied.err
    again = serving.ok("apply", "-f", str(QUICKSTART), "--wait")
    assert again.out.splitlines() == [
        "ClusterBaseModel smollm2-135m-instruct unchanged",
        "InferenceService default/smollm2 unchanged",
    ]


def test_get_shows_models_runtimes_and_services_and_no_why_for_what_is_ready(
    serving: OmeHome,
) -> None:
    lines = serving.ok("get").out.splitlines()
    rows = {title: lines[lines.index(title) + 2] for title in ("MODELS", "RUNTIMES", "SERVICES")}
    assert re.fullmatch(r"smollm2-135m-instruct +gguf +134.52M +True +\d+s", rows["MODELS"])
    assert re.fullmatch(r"llama-cpp +gguf +True +\d+s", rows["RUNTIMES"])
    assert re.fullmatch(r"smollm2 +smollm2-135m-instruct +llama-cpp +True +\d+s", rows["SERVICES"])


def test_describe_shows_runtime_conditions_pods_and_only_normal_events(serving: OmeHome) -> None:
    text = serving.ok("describe", "isvc", SERVICE).out
    assert re.search(r"Runtime: +llama-cpp", text)
    assert re.search(r"Answers +True", text)
    assert re.search(r"smollm2-engine-\S+ +Running +1/1 +0", text)
    ready = "InferenceServiceReady"
    until(lambda: ready in [e["reason"] for e in serving.events(SERVICE)], "its event is written")
    happened = serving.events()
    alarming = [(e["reason"], e["message"]) for e in happened if e["type"] != "Normal"]
    assert alarming == []
    said = [(e["involvedObject"]["uid"], e["message"]) for e in serving.events(SERVICE)]
    assert len(said) == len(set(said)), said


def test_logs_are_the_engines(serving: OmeHome) -> None:
    text = serving.ok("logs", SERVICE).out
    assert "smollm2" in text.lower() or "llama" in text.lower(), text


def test_chat_answers_a_question(serving: OmeHome) -> None:
    asked = (QUESTION, "--max-tokens", "24", "--temperature", "0")
    said = serving.ok("chat", SERVICE, *asked).out
    assert "Paris" in said, said
    alone = serving.ok("chat", "--max-tokens", "4", SERVICE, "Hello").out
    assert alone.strip()


def test_the_answer_comes_word_by_word(serving: OmeHome) -> None:
    body = json.dumps(question(SERVICE, stream=True, tokens=24)).encode()
    headers = {"Content-Type": "application/json"}
    request = Request(f"{serving.gateway}/v1/chat/completions", body, headers)
    moments, words = [], []
    with urlopen(request, timeout=60) as answer:
        assert answer.headers["Content-Type"].startswith("text/event-stream")
        for line in answer:
            if line.startswith(b"data: {"):
                moments.append(time.monotonic())
                event = json.loads(line[6:])
                words += [c["delta"].get("content") or "" for c in event["choices"]]
        assert line.strip() in (b"", b"data: [DONE]")
    assert "Paris" in "".join(words)
    assert len(moments) > 5 and moments[-1] - moments[0] > 0.01, moments


def test_the_gateway_routes_by_model_name_and_by_path(serving: OmeHome) -> None:
    status, models = serving.http("/v1/models")
    assert status == 200
    ready = {m["id"]: m["ready"] for m in models["data"]}
    assert ready[SERVICE] is True
    assert "Paris" in serving.answer(SERVICE)
    assert "Paris" in serving.answer("default/smollm2")
    assert "Paris" in serving.answer("smollm2-135m-instruct")
    path = "/services/default/smollm2/v1/chat/completions"
    status, said = serving.http(path, question("whatever"))
    assert status == 200 and "Paris" in said["choices"][0]["message"]["content"]


def test_an_unknown_model_gets_one_clear_answer(serving: OmeHome) -> None:
    status, said = serving.http("/v1/chat/completions", question("gpt-17"))
    assert status == 404
    assert said["error"]["code"] == "model_not_found"
    assert "'gpt-17'" in said["error"]["message"] and SERVICE in said["error"]["message"]


def test_a_model_that_is_not_ready_says_why(serving: OmeHome) -> None:
    text = service_yaml("early", "not-there-yet")
    serving.ok("apply", "-f", serving.file(text))
    try:
        serving.why(o.INFERENCE_SERVICES, "early", "waits for model not-there-yet")

        def refused() -> str:
            status, said = serving.http("/v1/chat/completions", question("early"))
            assert status == 503, said
            message = str(said["error"]["message"])
            return message if "not-there-yet" in message else ""

        until(refused, "the gateway says what it waits for")
    finally:
        serving.ok("delete", "isvc", "early")


def test_kubectl_sees_the_runtime_that_was_selected(serving: OmeHome, kubectl: Path) -> None:
    argv = [str(kubectl), "--kubeconfig", serving.ok("kubeconfig").out.strip(), "get", "isvc"]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=30, check=True)
    header, row = done.stdout.splitlines()
    assert row[header.index("RUNTIME") :].startswith("llama-cpp"), done.stdout


def test_status_names_addresses_and_processes(serving: OmeHome) -> None:
    text = serving.ok("status").out
    assert serving.gateway in text and "services     1, ready 1" in text
    assert re.search(r"engine +\d+", text) and re.search(r"gateway +\d+", text)
    found = json.loads(serving.ok("status", "-o", "json").out)
    assert found["running"] is True and found["ready"] == 1


def test_a_second_up_is_refused_and_changes_nothing(serving: OmeHome) -> None:
    before = serving.state, serving.serving()
    said = serving.fails("up")
    assert str(serving.data) in said and f"pid {serving.state['pid']}" in said, said
    assert "ome down" in said and "--data" in said
    detached = serving.fails("up", "--detach")
    assert f"pid {serving.state['pid']}" in detached
    assert (serving.state, serving.serving()) == before
    assert serving.answer()


# -- what it costs --------------------------------------------------------------------------------


@pytest.mark.timeout(90)
def test_idle_with_one_service_takes_little(serving: OmeHome, capsys: object) -> None:
    """Resident memory of control, gateway and shims; CPU time of the same over 12 seconds."""
    serves = serving.serving()
    engine = serves.pop("engine")
    mine = {"control": int(serving.state["pid"]), **serves}
    processes = {name: psutil.Process(pid) for name, pid in mine.items()}
    assert set(serving.processes()) == {engine, *mine.values()}
    began, before = time.monotonic(), _cpu(processes)
    until(lambda: time.monotonic() - began >= 12, "12 seconds have gone by", 20)
    used = _cpu(processes)
    share = {k: (used[k] - before[k]) / (time.monotonic() - began) * 100 for k in used}
    memory = {k: p.memory_info().rss / 1e6 for k, p in processes.items()}
    once = sum(p.memory_full_info().pss for p in processes.values()) / 1e6
    figures = ", ".join(f"{k} {memory[k]:.1f} MB {share[k]:.2f} %" for k in processes)
    figures += f"; {once:.1f} MB with shared pages counted once"
    total, busy = sum(memory.values()), sum(share.values())
    with capsys.disabled():  # type: ignore[attr-defined]
        print(f"\nidle with one service: {total:.1f} MB, {busy:.2f} % of a core ({figures})")
    assert total < 120, figures
    assert busy < 1, figures


def _cpu(processes: dict[str, psutil.Process]) -> dict[str, float]:
    found = {}
    for name, process in processes.items():
        times = process.cpu_times()
        found[name] = times.user + times.system
    return found


# -- going away and coming back -------------------------------------------------------------------


def test_down_ends_everything_and_the_next_up_serves_again_without_a_download() -> None:
    with ome_home() as home:
        home.up()
        home.ok("apply", "-f", str(QUICKSTART), "--wait", "--timeout", "90")
        assert "OME is stopped" in home.ok("down").text
        assert home.processes() == {}
        assert home.ome("status").code == 1
        assert "is not running" in home.ok("down").text
        # There is no index at all now: what is on disk has to do.
        home.environment["PIP_FIND_LINKS"] = str(home.root)
        home.up()
        home.ok("wait", SERVICE, "--timeout", "60")
        assert "Paris" in home.answer()


def test_deleting_leaves_nothing() -> None:
    with ome_home() as home:
        home.up()
        home.ok("apply", "-f", str(QUICKSTART), "--wait", "--timeout", "90")
        assert home.processes("engines.llamacpp")
        home.ok("delete", "isvc", SERVICE)
        children = (r.DEPLOYMENTS, r.REPLICA_SETS, r.PODS, r.SERVICES, r.ENDPOINT_SLICES)
        more = (r.ENDPOINTS, r.CONFIG_MAPS, r.HORIZONTAL_POD_AUTOSCALERS, r.POD_DISRUPTION_BUDGETS)

        def left() -> list[str]:
            found = [i for kind in (*children, *more) for i in home.api.list(kind, "default")]
            return [f"{i['kind']}/{i['metadata']['name']}" for i in found]

        until(lambda: not left(), f"nothing is left: {left()}")
        until(lambda: not home.processes("engines.llamacpp"), "the engine has ended")
        until(lambda: home.http("/v1/models")[1]["data"] == [], "no route is left")
        home.ok("delete", "clusterbasemodel", "smollm2-135m-instruct")
        until(lambda: not _files(home), f"no file of the model is left: {_files(home)}")
        home.ok("down")
        assert home.processes() == {}


def _files(home: OmeHome) -> list[str]:
    everything = home.home.models.rglob("*")
    return [str(p) for p in everything if p.is_file() and p.stat().st_size > 1_000_000]


def test_the_configured_index_gives_the_model_too() -> None:
    """No settings for pip but the user's own: the wheel comes from wherever those say."""
    with ome_home() as home:
        for name in ("PIP_NO_INDEX", "PIP_FIND_LINKS"):
            home.environment.pop(name, None)
        home.up("--port", str(free_port()), "--gateway-port", str(free_port()))
        home.ok("apply", "-f", home.file(model_yaml("m", URI)))
        model = until(
            lambda: (
                (found := home.find(o.CLUSTER_BASE_MODELS, "m"))
                and (found.get("status") or {}).get("state") in ("Ready", "Failed")
                and found
            ),
            "the model is there",
            100,
        )
        assert model["status"]["state"] == "Ready", model["status"]
        assert model["spec"]["modelFormat"]["name"] == "gguf"
