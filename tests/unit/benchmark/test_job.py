"""From a BenchmarkJob to its Job: samples as golden files, and each combination that matters."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import pytest
import yaml
from tests.unit.benchmark.jobs import (
    HOST,
    INSIDE,
    SERVICE_ENDPOINT,
    benchmark,
    check_golden,
    direct,
    given,
    model,
    service,
)

from ome.api.config import BenchmarkPod
from ome.benchmark import arguments, job
from ome.benchmark.job import render
from ome.benchmark.storage import Fetcher
from ome.rendering import RenderError

GOLDEN = Path(__file__).parent / "golden"
Object = dict[str, Any]


def pod(rendered: job.BenchmarkChildren) -> Object:
    found: Object = rendered.job["spec"]["template"]["spec"]
    return found


def words(obj: Object, **more: Any) -> list[str]:
    found: list[str] = pod(render(given(obj, **more)))["containers"][0]["args"]
    return found


def after(option: str, found: list[str]) -> list[str]:
    return [b for a, b in itertools.pairwise(found) if a == option]


def environment(obj: Object, **more: Any) -> dict[str, Any]:
    container = pod(render(given(obj, **more)))["containers"][0]
    return {e["name"]: e.get("value", e.get("valueFrom")) for e in container["env"]}


def same_as_golden(name: str, rendered: job.BenchmarkChildren) -> None:
    check_golden(GOLDEN / f"{name}.yaml", rendered)


def test_a_job_of_a_service_on_a_cluster() -> None:
    facts = {"engine": "vLLM", "version": "0.9", "gpuType": "A100", "gpuCount": 2}
    full = benchmark(
        serviceMetadata=facts,
        trafficScenarios=["N(480, 240)/(300,150)", "D(100,100)"],
        numConcurrency=[1, 4],
        resultFolderName="first",
        huggingFaceSecretReference={"name": "hf"},
        additionalRequestParams={"temperature": "0.5", "ignore_eos": "true", "user": "me"},
    )
    same_as_golden("service", render(given(full)))


def test_a_job_on_one_machine() -> None:
    local = benchmark(outputLocation={"storageUri": "local:///data/results/one"})
    same_as_golden("host", render(given(local, settings=HOST)))


def test_a_pod_override_adds_and_wins_and_takes_nothing_away() -> None:
    override = {
        "image": "mine:2",
        "env": [{"name": "ENABLE_UI", "value": "true"}, {"name": "MORE", "value": "1"}],
        "envFrom": [{"secretRef": {"name": "keys"}}],
        "volumes": [{"name": "extra", "emptyDir": {}}],
        "volumeMounts": [{"name": "extra", "mountPath": "/extra"}],
        "resources": {"limits": {"memory": "8Gi"}},
        "tolerations": [{"key": "mine", "operator": "Exists"}],
        "nodeSelector": {"pool": "cpu"},
        "affinity": {"podAntiAffinity": {}},
    }
    same_as_golden("override", render(given(benchmark(podOverride=override))))


# -- the combinations that once could not succeed -------------------------------------------------


def test_a_direct_endpoint_needs_neither_key_nor_model_nor_tokenizer() -> None:
    found = words(benchmark(endpoint=direct()))
    assert after("--api-base", found) == ["http://server:9000"]
    assert after("--model-tokenizer", found) == [arguments.WORDS]
    assert "--api-model-name" not in found
    assert "--api-key" not in found


def test_the_name_of_a_model_at_the_hub_is_its_tokenizer() -> None:
    found = words(benchmark(endpoint=direct(modelName="Qwen/Qwen3-0.6B")))
    assert after("--api-model-name", found) == ["Qwen/Qwen3-0.6B"]
    assert after("--model-tokenizer", found) == ["Qwen/Qwen3-0.6B"]


def test_a_tokenizer_that_is_named_counts() -> None:
    env = [{"name": "MODEL_TOKENIZER", "value": "org/tokens"}]
    for endpoint in (direct(modelName="Qwen/Qwen3-0.6B"), SERVICE_ENDPOINT):
        found = words(benchmark(endpoint=endpoint, podOverride={"env": env}))
        assert after("--model-tokenizer", found) == ["org/tokens"]


def test_images_are_measured_under_the_name_that_genai_bench_has_for_the_task() -> None:
    dataset = {
        "storageUri": "hf://datasets/lmms/pictures",
        "parameters": {"image_column": "image", "prompt_column": "question"},
    }
    found = words(benchmark(task="image-to-text", dataset=dataset))
    assert after("--task", found) == ["image-text-to-text"]
    assert after("--dataset-path", found) == ["lmms/pictures"]
    assert after("--dataset-image-column", found) == ["image"]
    assert after("--dataset-prompt-column", found) == ["question"]


@pytest.mark.parametrize(
    ("spec", "field"),
    [
        ({"task": "image-to-text"}, "spec.dataset"),
        ({"task": "image-to-embeddings"}, "spec.dataset"),
        (
            {
                "task": "image-to-embeddings",
                "dataset": {"storageUri": "hf://a/b"},
                "endpoint": direct(modelName="m"),
            },
            "spec.task",
        ),
        (
            {
                "task": "text-to-rerank",
                "endpoint": direct(modelName="m", apiFormat="cohere"),
            },
            "spec.task",
        ),
    ],
)
def test_what_genai_bench_lacks_is_refused_with_a_remedy(spec: Object, field: str) -> None:
    with pytest.raises(RenderError) as refused:
        render(given(benchmark(**spec)))
    assert (refused.value.code, refused.value.field) == ("NotSupportedYet", field)
    assert refused.value.fix


@pytest.mark.parametrize(("memory", "name"), [("40Gi", "A100-40G"), ("80Gi", "A100-80G")])
def test_the_accelerator_class_says_which_a100_it_is(memory: str, name: str) -> None:
    facts = {"engine": "vLLM", "version": "0.9", "gpuType": "A100", "gpuCount": 2}
    accelerator = {"spec": {"capabilities": {"memoryGB": memory}}}
    found = words(benchmark(serviceMetadata=facts), accelerator=accelerator)
    assert after("--server-gpu-type", found) == [name]


def test_embeddings_have_one_length_and_batches() -> None:
    spec = {"trafficScenarios": ["E(128,1)", "E(256)"], "numConcurrency": [1, 8]}
    found = words(benchmark(task="text-to-embeddings", **spec))
    assert after("--traffic-scenario", found) == ["E(128)", "E(256)"]
    assert after("--batch-size", found) == ["1", "8"]
    assert "--num-concurrency" not in found


def test_reranking_goes_through_the_backend_that_can_and_varies_documents() -> None:
    spec = {"task": "text-to-rerank", "trafficScenarios": ["R(256,100)"], "numConcurrency": [2, 8]}
    for endpoint in (SERVICE_ENDPOINT, direct()):
        found = words(benchmark(endpoint=endpoint, **spec))
        assert after("--api-backend", found) == ["vllm"]
        assert after("--task", found) == ["text-to-rerank"]
        assert after("--traffic-scenario", found) == ["R(256,100)"]
        assert after("--batch-size", found) == ["2", "8"]


def test_a_question_that_genai_bench_would_ask_a_person_is_not_asked() -> None:
    found = words(benchmark(additionalRequestParams={"ignore_eos": "false"}))
    assert "--additional-request-params" not in found


def test_the_hub_token_has_the_name_that_is_read_and_the_old_one() -> None:
    found = environment(benchmark(huggingFaceSecretReference={"name": "hf"}))
    source = {"secretKeyRef": {"name": "hf", "key": "HUGGINGFACE_API_KEY"}}
    assert found["HF_TOKEN"] == found["HUGGINGFACE_API_KEY"] == source


def test_a_backend_that_can_not_be_asked_needs_the_name_of_the_model() -> None:
    with pytest.raises(RenderError, match="name of its model"):
        render(given(benchmark(endpoint=direct(apiFormat="cohere"))))


def test_the_service_is_reached_inside_a_cluster_and_through_the_gateway_on_one_machine() -> None:
    local = {"storageUri": "local:///results"}
    assert after("--api-base", words(benchmark())) == [INSIDE]
    found = words(benchmark(outputLocation=local), settings=HOST)
    assert after("--api-base", found) == ["http://chat.example.com/path"]


@pytest.mark.parametrize(
    ("protocol", "backend"),
    [("openAI", "openai"), ("openInference-v2", "openai"), ("cohere", "cohere")],
)
def test_the_protocol_of_the_service_becomes_one_that_genai_bench_knows(
    protocol: str, backend: str
) -> None:
    spec = {"predictor": {"model": {"protocolVersion": protocol, "baseModel": "tiny"}}}
    if backend == "cohere":
        with pytest.raises(RenderError):
            words(benchmark(), service=service(spec=spec))
    else:
        assert after("--api-backend", words(benchmark(), service=service(spec=spec))) == [backend]


# -- storage -------------------------------------------------------------------------------------

STORES = [
    (
        "oci://n/tenancy/b/bucket/o/a/prefix",
        {"auth": "instance_principal", "region": "eu-frankfurt-1", "other": "x"},
        "--upload-results --namespace tenancy --storage-bucket bucket --storage-prefix a/prefix "
        "--auth instance_principal --region eu-frankfurt-1",
        {},
    ),
    (
        "s3://bucket@us-east-1/p",
        {"aws_access_key_id": "AK", "aws_secret_access_key": "SK", "aws_profile": "me"},
        "--upload-results --storage-provider aws --storage-bucket bucket --storage-prefix p "
        "--storage-aws-profile me --storage-aws-region us-east-1",
        {"AWS_ACCESS_KEY_ID": "AK", "AWS_SECRET_ACCESS_KEY": "SK"},
    ),
    (
        "s3://bucket@us-east-1",
        {"aws_region": "eu-west-1"},
        "--upload-results --storage-provider aws --storage-bucket bucket "
        "--storage-aws-region eu-west-1",
        {},
    ),
    (
        "az://account.blob.core.windows.net/container/blob",
        {"azure_sas_token": "SAS", "azure_connection_string": "C", "azure_account_key": "K"},
        "--upload-results --storage-provider azure --storage-bucket container "
        "--storage-prefix blob --storage-azure-account-name account",
        {
            "AZURE_STORAGE_SAS_TOKEN": "SAS",
            "AZURE_STORAGE_CONNECTION_STRING": "C",
            "AZURE_STORAGE_ACCOUNT_KEY": "K",
        },
    ),
    (
        "gs://bucket/object",
        {"gcp_project_id": "p", "gcp_credentials_path": "/c.json"},
        "--upload-results --storage-provider gcp --storage-bucket bucket --storage-prefix object "
        "--storage-gcp-project-id p --storage-gcp-credentials-path /c.json",
        {},
    ),
    (
        "github://owner/repo@v1",
        {"github_token": "T"},
        "--upload-results --storage-provider github --storage-bucket v1 --github-owner owner "
        "--github-repo repo",
        {"GITHUB_TOKEN": "T"},
    ),
]


@pytest.mark.parametrize(("uri", "parameters", "line", "secret"), STORES)
def test_results_go_to_a_store_and_secrets_never_into_the_command_line(
    uri: str, parameters: dict[str, str], line: str, secret: dict[str, str]
) -> None:
    obj = benchmark(outputLocation={"storageUri": uri, "parameters": parameters, "key": "keys"})
    found = words(obj)
    assert " ".join(found).endswith(line)
    assert not set(found) & set(secret.values())
    variables = environment(obj)
    assert {name: variables[name] for name in secret} == secret
    container = pod(render(given(obj)))["containers"][0]
    assert container["envFrom"] == [{"secretRef": {"name": "keys"}}]


def test_a_claim_is_mounted_where_it_hides_nothing_of_the_image() -> None:
    rendered = pod(render(given(benchmark(outputLocation={"storageUri": "pvc://claim/usr/lib"}))))
    mount = next(
        m
        for m in rendered["containers"][0]["volumeMounts"]
        if m["name"] == "benchmark-output-storage"
    )
    assert mount == {
        "name": "benchmark-output-storage",
        "mountPath": "/ome-benchmark/results",
        "subPath": "usr/lib",
    }


@pytest.mark.parametrize(
    ("location", "reason"),
    [
        ({"storageUri": "pvc://elsewhere:claim/x"}, "OutputUnwritable"),
        ({"storageUri": "local:///etc"}, "OutputUnwritable"),
        ({"storageUri": "hf://org/model"}, "NotSupportedYet"),
        ({"storageUri": "nonsense"}, "InvalidSpec"),
    ],
)
def test_a_place_that_can_not_be_written_is_found_before_the_run(
    location: Object, reason: str
) -> None:
    with pytest.raises(RenderError) as refused:
        render(given(benchmark(outputLocation=location)))
    assert refused.value.code == reason
    assert refused.value.fix


def test_a_dataset_on_a_claim_is_mounted_to_be_read() -> None:
    obj = benchmark(dataset={"storageUri": "pvc://data/sets/prompts.csv"})
    found = words(obj)
    assert after("--dataset-path", found) == ["/ome-benchmark/dataset/data/prompts.csv"]
    mounts = pod(render(given(obj)))["containers"][0]["volumeMounts"]
    mount = next(m for m in mounts if m["name"] == "benchmark-dataset")
    assert mount["readOnly"] is True
    assert mount["subPath"] == "sets"


def test_a_dataset_in_a_bucket_is_fetched_by_ome_with_credentials_of_its_own() -> None:
    location = {
        "storageUri": "s3://bucket/sets/data.csv",
        "key": "reader",
        "parameters": {
            "prompt_column": "question",
            "aws_region": "eu-west-1",
            "endpoint": "http://store:9000",
        },
    }
    obj = benchmark(dataset=location, outputLocation={"storageUri": "s3://results", "key": "w"})
    rendered = pod(render(given(obj, fetcher=Fetcher("ome:1"))))
    (fetch,), (main,) = rendered["initContainers"], rendered["containers"]
    place = "/ome-benchmark/dataset/data"
    uri = location["storageUri"]
    assert (fetch["image"], fetch["command"]) == ("ome:1", ["ome", "model", "download", uri, place])
    assert {e["name"]: e["value"] for e in fetch["env"]} == {
        "AWS_REGION": "eu-west-1",
        "AWS_ENDPOINT_URL": "http://store:9000",
    }
    assert fetch["envFrom"] == [{"secretRef": {"name": "reader"}}]
    assert fetch["securityContext"]["runAsNonRoot"] is True
    assert main["envFrom"] == [{"secretRef": {"name": "w"}}]
    assert after("--dataset-path", main["args"]) == [place]
    assert after("--dataset-prompt-column", main["args"]) == ["question"]
    shared = {"name": "benchmark-dataset", "mountPath": "/ome-benchmark/dataset"}
    assert fetch["volumeMounts"] == [shared]
    assert {**shared, "readOnly": True} in main["volumeMounts"]
    assert {"name": "benchmark-dataset", "emptyDir": {}} in rendered["volumes"]


def test_without_omes_own_image_a_dataset_in_a_bucket_is_refused_with_a_remedy() -> None:
    with pytest.raises(RenderError) as refused:
        render(given(benchmark(dataset={"storageUri": "gs://bucket/data.csv"})))
    assert (refused.value.code, refused.value.field) == (
        "DatasetUnusable",
        "spec.dataset.storageUri",
    )
    assert "OME_IMAGE" in refused.value.fix


def test_a_dataset_that_nothing_can_fetch_is_refused() -> None:
    with pytest.raises(RenderError, match="can't read"):
        render(given(benchmark(dataset={"storageUri": "vendor://pypi/data/x.csv"})))


def test_the_part_of_a_dataset_that_is_meant_reaches_the_pod() -> None:
    location = {"storageUri": "hf://org/set", "parameters": {"split": "test", "name": "en"}}
    found = environment(benchmark(dataset=location))
    assert found["OME_BENCHMARK_DATASET"] == '{"name": "en", "split": "test"}'


# -- the Job -------------------------------------------------------------------------------------


def test_one_pod_is_started_once_with_a_deadline_over_all_runs() -> None:
    obj = benchmark(trafficScenarios=["D(1,1)", "D(2,2)"], numConcurrency=[1, 2, 3])
    spec = render(given(obj)).job["spec"]
    assert spec["backoffLimit"] == 0
    assert spec["template"]["spec"]["restartPolicy"] == "Never"
    assert spec["activeDeadlineSeconds"] == job.START_SECONDS + 6 * (5 * 60 + job.RUN_SECONDS)


@pytest.mark.parametrize(
    ("task", "count"), [("text-to-text", 45), ("text-to-embeddings", 35), ("image-to-text", 27)]
)
def test_what_is_left_out_is_counted_as_genai_bench_fills_it_in(task: str, count: int) -> None:
    assert arguments.runs({"task": task}) == count


def test_the_tokenizer_comes_from_the_models_files_on_a_node_that_has_them() -> None:
    rendered = pod(render(given(benchmark())))
    assert rendered["nodeSelector"] == {"models.ome.io/clusterbasemodel.tiny": "Ready"}
    assert {"name": "tiny", "hostPath": {"path": "/raid/models/tiny", "type": ""}} in rendered[
        "volumes"
    ]
    found = rendered["containers"][0]["args"]
    assert after("--model-tokenizer", found) == ["/raid/models/tiny"]


def test_a_model_on_another_namespaces_claim_is_measured_in_words() -> None:
    elsewhere = model(storageUri="pvc://llms:claim/tiny", path="")
    rendered = pod(render(given(benchmark(), model=elsewhere)))
    assert "nodeSelector" not in rendered
    assert after("--model-tokenizer", rendered["containers"][0]["args"]) == [arguments.WORDS]


def test_suspended_by_an_annotation() -> None:
    obj = benchmark()
    obj["metadata"]["annotations"] = {job.A_SUSPEND: "true"}
    assert render(given(obj)).job["spec"]["suspend"] is True


def test_long_and_dotted_names_make_legal_children() -> None:
    name = "a.very.long.name." + "x" * 100
    rendered = render(given(benchmark(name)))
    assert len(rendered.job["metadata"]["name"]) <= 63
    assert len(rendered.job["metadata"]["labels"]["benchmark"]) <= 63
    assert pod(rendered)["containers"][0]["name"] == "genai-bench"


def test_without_any_image_the_remedy_names_both_places() -> None:
    with pytest.raises(RenderError) as refused:
        render(given(benchmark(), settings=BenchmarkPod()))
    assert refused.value.code == "NoImage"
    assert "benchmarkjob-config" in refused.value.fix


def test_the_same_input_gives_the_same_bytes() -> None:
    one, two = render(given(benchmark())), render(given(benchmark()))
    assert yaml.safe_dump(one.job) == yaml.safe_dump(two.job)
