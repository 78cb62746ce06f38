"""Commands against a real API server; nobody acts on what they write."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
from tests.unit.cli.conftest import Ome, Server

from ome.api import resources as ours
from ome.apimachinery.resources import CONFIG_MAPS
from ome.cli.errors import CliError
from ome.cli.home import Home
from ome.cli.main import COMMANDS

EXAMPLE = Path(__file__).parents[3] / "examples" / "quickstart.yaml"
GOLDEN = Path(__file__).parent / "golden"


def golden(name: str, text: str) -> None:
    """Compares with the file; ages, which depend on the moment, are taken out."""
    plain = re.sub(r" +$", "", re.sub(r"\b\d+s\b", "0s", text), flags=re.MULTILINE)
    path = GOLDEN / name
    if not path.exists():
        GOLDEN.mkdir(exist_ok=True)
        path.write_text(plain)
        pytest.fail(f"{path} was missing and has been written: look at it and commit it")
    assert plain == path.read_text()


def test_help_lists_every_command(ome: Ome) -> None:
    answer = ome("--help")
    assert answer.status == 0
    golden("help.txt", answer.out)


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_explains_itself(ome: Ome, name: str) -> None:
    answer = ome(name, "--help")
    assert answer.status == 0
    assert answer.out.startswith(f"Usage: ome {name}")


@pytest.mark.parametrize(
    ("line", "status", "said"),
    [
        ("gett", 2, "error: there is no command 'gett'. Did you mean 'get'?"),
        ("get --nope", 2, "error: No such option '--nope'"),
        ("apply", 2, "error: Missing option '-f'"),
        ("get", 1, "OME is not running. Start it with 'ome up'"),
        ("get nonsense", 1, "OME is not running"),
        ("up --port 5 --gateway-port 5", 2, "error: --port and --gateway-port are both 5."),
        ("delete isvc", 2, "error: what is to be deleted?"),
        ("validate -f /nowhere.yaml", 2, "error: /nowhere.yaml: there is no such file or folder"),
        ("kubeconfig", 1, "there is no kubeconfig yet. 'ome up' makes it"),
    ],
)
def test_mistakes_get_one_line_and_a_status(
    ome: Ome, home: Home, line: str, status: int, said: str
) -> None:
    answer = ome(*line.split())
    assert answer.status == status
    assert said in answer.err
    assert len(answer.err.splitlines()) == 1
    assert answer.out == ""


def test_without_a_command_there_is_help_and_no_error(ome: Ome) -> None:
    for words in ((), ("model",)):
        said = ome(*words)
        assert said.out.startswith(f"Usage: {' '.join(('ome', *words))}") and said.err == ""
        assert said.status == 2


def test_ctrl_c_before_the_command_line_is_there_says_one_word() -> None:
    program = (
        "import os, signal, sys\n"
        # Whoever runs the tests in the background has interrupts ignored, and hands that down.
        "signal.signal(signal.SIGINT, signal.default_int_handler)\n"
        "class Impatient:\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        "        if name == 'click':\n"
        "            os.kill(os.getpid(), signal.SIGINT)\n"
        "sys.meta_path.insert(0, Impatient())\n"
        "from ome.cli.entry import main\n"
        "main()\n"
    )
    argv = [sys.executable, "-c", program]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=60)
    assert (done.stdout, done.stderr, done.returncode) == ("", "stopped\n", 130)


def test_status_of_nothing_is_a_failure_with_words(ome: Ome, home: Home) -> None:
    answer = ome("status")
    assert (answer.status, answer.out) == (1, f"OME is not running on {home.root}\n")


def test_the_example_is_applied_shown_and_deleted(ome: Ome, server: Server) -> None:
    assert ome("get").out == "MODELS\nnone\n\nRUNTIMES\nnone\n\nSERVICES\nnone\n"
    answer = ome("apply", "-f", EXAMPLE)
    assert answer.status == 0, answer.err
    assert answer.out == (
        "ClusterBaseModel smollm2-135m-instruct created\nInferenceService default/smollm2 created\n"
    )
    assert "InferenceService default/smollm2 unchanged" in ome("apply", "-f", EXAMPLE).out
    golden("get-new.txt", ome("get").out)
    progress = {
        "phase": "downloading",
        "totalBytes": 98_362_432,
        "completedBytes": 41_234_432,
        "bytesPerSecond": 20_971_520,
        "remainingSeconds": 3,
    }
    server.set_status(
        ours.CLUSTER_BASE_MODELS,
        "smollm2-135m-instruct",
        {"state": "In_Transit", "progress": progress},
        "",
    )
    conditions = [
        {
            "type": "Ready",
            "status": "False",
            "reason": "ModelNotReady",
            "message": "waits for the model",
            "lastTransitionTime": "2026-01-01T00:00:00Z",
        }
    ]
    server.set_status(ours.INFERENCE_SERVICES, "smollm2", {"conditions": conditions}, "default")
    golden("get-downloading.txt", ome("get").out)
    answer = ome("wait", "smollm2", "--timeout", "0.2")
    assert answer.status == 1
    assert (
        "smollm2: model smollm2-135m-instruct: downloading 41.2 MB of 98.4 MB (41 %), "
        "21.0 MB/s, 3.0 s left" in answer.err
    )
    described = ome("describe", "isvc", "smollm2").out
    assert "Why:         waits for the model" in described
    assert "ModelNotReady" in described
    answer = ome("chat", "smollm2", "hello")
    assert answer.status == 1
    assert "no answer from the gateway: Connection refused" in answer.err
    answer = ome("delete", "-f", EXAMPLE)
    assert answer.out == (
        "InferenceService smollm2 deleted\nClusterBaseModel smollm2-135m-instruct deleted\n"
    )
    assert ome("get", "isvc").err == "no isvc found in namespace default\n"


def test_formats(ome: Ome, server: Server) -> None:
    ome("apply", "-f", EXAMPLE)
    one = json.loads(ome("get", "isvc", "smollm2", "-o", "json").out)
    assert one["metadata"]["name"] == "smollm2"
    assert "managedFields" not in one["metadata"]
    told = ome("get", "isvc", "smollm2", "-o", "json", "--show-managed-fields").out
    assert "managedFields" in json.loads(told)["metadata"]
    everything = json.loads(ome("get", "-o", "json").out)
    assert [o["kind"] for o in everything["items"]] == ["ClusterBaseModel", "InferenceService"]
    assert ome("get", "services", "-o", "name").out == "inferenceservice.ome.io/smollm2\n"
    assert ome("get", "isvc/smollm2", "-o", "yaml").out.startswith("apiVersion: ome.io/v1beta1\n")
    assert "URL" in ome("get", "isvc", "-o", "wide").out
    assert ome("get", "namespaces").out.startswith("NAME")


@pytest.mark.parametrize(
    ("old", "new", "line", "said"),
    [
        ("kind: InferenceService", "kind: InferenceServce", 15, "Did you mean InferenceService?"),
        ("ome.io/v1beta1\nkind: Inf", "ome.io/v1\nkind: Inf", 14, "Write apiVersion: ome.io/v1be"),
        ("minReplicas: 1", "minReplica: 1", 23, "did you mean minReplicas?"),
        ("minReplicas: 1", "minReplicas: one", 23, "spec.engine.minReplicas"),
        ("  storage:", "  storage: 3\n  x:", 10, "spec.storage"),
    ],
)
def test_bad_fields_are_named_with_file_line_object_and_field(
    ome: Ome, server: Server, tmp_path: Path, old: str, new: str, line: int, said: str
) -> None:
    text = EXAMPLE.read_text()
    assert old in text
    path = tmp_path / "bad.yaml"
    path.write_text(text.replace(old, new, 1) if "Inf" not in new else text.replace(old, new))
    for command in ("apply", "validate"):
        answer = ome(command, "-f", path)
        assert answer.status == 1
        assert said in answer.err, command
        assert f"{path}:{line}: " in answer.err, command
    assert ome("get", "-o", "name").out == "", "nothing of a bad file may be applied"


def test_names_that_do_not_exist_show_what_does(ome: Ome, server: Server) -> None:
    ome("apply", "-f", EXAMPLE)
    for line in (
        "get isvc nope",
        "describe isvc nope",
        "delete isvc nope",
        "logs nope",
        "wait nope",
    ):
        answer = ome(*line.split())
        assert answer.status == 1
        assert "there is no InferenceService 'nope' in namespace default" in answer.err
        assert "There is: smollm2" in answer.err
    assert "Did you mean InferenceService?" in ome("get", "inferenceservic").err or (
        "inferenceservices" in ome("get", "inferenceservic").err
    )
    assert ome("logs", "smollm2").err.startswith("error: InferenceService smollm2 has no pod yet")


def test_crds_are_printed(ome: Ome) -> None:
    answer = ome("crds", "--kind", "isvc", "-o", "json")
    assert json.loads(answer.out)["metadata"]["name"] == "inferenceservices.ome.io"
    assert ome("crds").out.count("kind: CustomResourceDefinition\n") == len(ours.ALL)


RUNTIME = Path(__file__).parents[3] / "catalog" / "runtimes" / "host" / "llamacpp.yaml"


def test_explain_and_plan_take_a_file_or_the_name_of_a_service(ome: Ome, server: Server) -> None:
    """A file that says less than the node has read doesn't take that knowledge away."""
    ome("apply", "-f", EXAMPLE, "-f", RUNTIME)
    unknown = ome("explain", "smollm2")
    assert unknown.status == 1, "nobody knows the model's format yet"
    assert unknown.out.count("no runtime fits") == 1
    read = {"spec": {"modelFormat": {"name": "gguf"}, "modelArchitecture": "LlamaForCausalLM"}}
    server.patch(ours.CLUSTER_BASE_MODELS, "smollm2-135m-instruct", read)
    for line in ("-f " + str(EXAMPLE), "smollm2", "isvc smollm2", "isvc/smollm2"):
        explained = ome("explain", *line.split())
        assert explained.status == 0, (line, explained)
        assert "ClusterServingRuntime llama-cpp" in explained.out, line
        planned = ome("plan", *line.split(), "-o", "yaml")
        assert planned.status == 0, (line, planned)
        assert "kind: Deployment\n" in planned.out, line
    assert "either a file (-f FILE) or the name" in ome("explain").err
    assert "either a file (-f FILE) or the name" in ome("plan", "smollm2", "-f", EXAMPLE).err
    assert "There is: smollm2" in ome("explain", "smolm2").err
    assert "'pods/x' is no service" in ome("plan", "pods/x").err


def test_tables_over_all_namespaces_say_which(ome: Ome, server: Server) -> None:
    server.create(CONFIG_MAPS, {"metadata": {"name": "here", "namespace": "default"}})
    assert ome("get", "namespaces", "-A").out.startswith("NAME ")
    lines = ome("get", "cm", "-A").out.splitlines()
    assert lines[0].split()[:2] == ["NAMESPACE", "NAME"]
    assert ["default", "here"] in [line.split()[:2] for line in lines]
    assert ome("get", "cm").out.startswith("NAME ")


def test_a_model_that_no_node_has_read_yet_is_awaited_and_not_blamed(ome: Ome) -> None:
    answer = ome("validate", "-f", EXAMPLE)
    assert (answer.status, answer.out) == (0, "2 object(s) are valid\n")
    assert "is not known yet" in answer.err
    assert "no runtime fits" not in answer.err


def test_a_question_at_the_end_of_a_message_gets_no_full_stop() -> None:
    assert str(CliError("did you mean x?", remedy="Look")) == "did you mean x? Look"
    assert str(CliError("it broke", remedy="Look")) == "it broke. Look"
