"""Pod mutation: what is added, what is left alone, and what is refused with which words."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.unit.admission.pods import AGENT, MODEL, Object, config, pod, weight

from ome.admission.pods import PodReview, mutate_pod
from ome.apimachinery.jsonvalues import copy_json
from ome.apimachinery.patches import json_patch, json_patch_diff

GOLDEN = Path(__file__).parent / "golden"
INIT = {**MODEL, "ome.io/inject-model-init": "true"}
ADAPTER = {**MODEL, "ome.io/inject-fine-tuned-adapter": "tuned"}
SIDECAR = {"ome.io/inject-serving-sidecar": "true", "ome.io/fine-tuned-weight-ft-strategy": "lora"}
RDMA = {"rdma.ome.io/auto-inject": "true"}
COHERE = {
    "ome.io/base-model-vendor": "cohere",
    "ome.io/fine-tuned-weight-ft-strategy": "tfew",
}
SCRAPED = {"ome.io/enable-prometheus-scraping": "true"}
PROXY = {"name": "queue-proxy", "image": "queue:1"}
GPUS = {"resources": {"limits": {"nvidia.com/gpu": "4"}}}


def mutate(subject: Object, data: dict[str, str] | None = None, **weights: Object) -> PodReview:
    known = weights or {"tuned": weight()}
    return mutate_pod(subject, config() if data is None else data, known.get)


def with_proxy(annotations: dict[str, str]) -> Object:
    subject = pod(annotations)
    subject["spec"]["containers"].append(dict(PROXY))
    return subject


def env_of(container: Object) -> dict[str, str]:
    return {item["name"]: item["value"] for item in container["env"]}


def told(review: PodReview) -> str:
    return "\n".join(str(error) for error in review.errors)


# --- golden pods ----------------------------------------------------------------------------------

CASES: dict[str, Object] = {
    "model-init": pod(INIT),
    "model-init-tensorrt-llm": pod(
        {
            **INIT,
            "ome.io/base-model-format": "TensorRT-LLM",
            "ome.io/base-model-format-version": "v1.0.0",
            "ome.io/base-model-decryption-key-name": "key",
            "ome.io/base-model-decryption-secret-name": "secret",
            "ome.io/disable-model-decryption": "true",
        },
        **GPUS,
    ),
    "adapter": pod(ADAPTER),
    "adapter-merged": pod({**ADAPTER, "ome.io/fine-tuned-serving-with-merged-weights": "true"}),
    "cohere-tfew": pod({**INIT, **ADAPTER, **SIDECAR, **COHERE}),
    "serving-sidecar": pod(SIDECAR),
    "rdma": pod(RDMA),
    "metrics": with_proxy({**SCRAPED, "ome.io/enable-metric-aggregation": "true"}),
}


@pytest.mark.parametrize("name", CASES)
def test_a_pod_is_as_in_the_golden_file(name: str) -> None:
    review = mutate(CASES[name])
    assert not review.errors
    text = json.dumps(review.pod, indent=2, sort_keys=True) + "\n"
    path = GOLDEN / f"pod-{name}.json"
    if os.environ.get("OME_WRITE_GOLDEN"):
        path.write_text(text)
    assert text == path.read_text(), "run with OME_WRITE_GOLDEN=1 and look at the difference"


def test_several_weights_are_fetched_into_folders_of_their_names() -> None:
    subject = pod({**ADAPTER, "ome.io/inject-fine-tuned-adapter": "tuned, other"})
    review = mutate(subject, None, tuned=weight(), other=weight())
    assert not review.errors
    made = {c["name"]: env_of(c) for c in review.pod["spec"]["initContainers"]}
    assert list(made) == ["fine-tuned-adapter", "fine-tuned-adapter-2"]
    directories = [
        found["OME_AGENT_UNZIPPED_FINE_TUNED_WEIGHT_DIRECTORY"] for found in made.values()
    ]
    assert directories == ["/opt/ml/model/tuned", "/opt/ml/model/other"]


# --- what is left alone ---------------------------------------------------------------------------


@pytest.mark.parametrize("labels", [None, {}, {"app": "else"}])
def test_a_pod_of_nobody_of_ours_stays_as_it_is(labels: Object | None) -> None:
    subject = pod({**INIT, **RDMA})
    subject["metadata"]["labels"] = labels
    assert mutate(subject).pod is subject


def test_a_pod_of_a_training_job_is_looked_at() -> None:
    subject = pod(RDMA)
    subject["metadata"]["labels"] = {"ome.io/trainingjob": "t"}
    assert mutate(subject).pod != subject


@pytest.mark.parametrize("data", [None, {}, {"metricsAggregator": "{}"}])
def test_without_configuration_nothing_is_stamped(data: dict[str, str] | None) -> None:
    subject = pod()
    assert mutate_pod(subject, data, {}.get) == (subject, [], [])


def test_configured_switches_are_stamped_unless_the_pod_says_otherwise() -> None:
    on = config(metricsAggregator={"enableMetricAggregation": True})
    stamped = mutate(pod(), on).pod["metadata"]["annotations"]
    assert stamped == {"ome.io/enable-metric-aggregation": "true"}
    own = mutate(pod({"ome.io/enable-metric-aggregation": "no"}), on).pod["metadata"]["annotations"]
    assert own == {"ome.io/enable-metric-aggregation": "no"}


def test_a_typo_in_a_section_stops_only_pods_that_need_it() -> None:
    broken = config(modelInit="{", servingSidecar='{"image": ', rdma="[]", metricsAggregator="no")
    review = mutate(pod(ADAPTER), broken)
    assert not review.errors
    assert [c["name"] for c in review.pod["spec"]["initContainers"]] == ["fine-tuned-adapter"]
    assert "inferenceservice-config.data[metricsAggregator]" in review.warnings[0]
    refused = mutate(pod({**INIT, **SIDECAR}), broken)
    assert "inferenceservice-config.data[modelInit]: is not JSON" in told(refused)
    assert "inferenceservice-config.data[servingSidecar]: is not JSON" in told(refused)


def test_the_argument_is_never_changed() -> None:
    for subject in CASES.values():
        before = copy_json(subject)
        mutate(subject)
        assert subject == before


# --- metrics --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("aggregate", "port"),
    [("true", "9088"), ("false", "9091")],
)
def test_scraping_points_prometheus_at_the_proxy(aggregate: str, port: str) -> None:
    review = mutate(with_proxy({**SCRAPED, "ome.io/enable-metric-aggregation": aggregate}))
    annotations = review.pod["metadata"]["annotations"]
    assert annotations["prometheus.io/port"] == port
    assert annotations["prometheus.io/path"] == "/metrics"
    assert annotations["prometheus.io/scrape"] == "true"
    assert not review.warnings


def test_where_the_author_sends_prometheus_stays() -> None:
    review = mutate(pod({**SCRAPED, "prometheus.io/port": "8080", "prometheus.io/path": "/m"}))
    annotations = review.pod["metadata"]["annotations"]
    assert (annotations["prometheus.io/port"], annotations["prometheus.io/path"]) == ("8080", "/m")
    assert not review.warnings


def test_a_port_where_nothing_answers_is_warned_about() -> None:
    assert "prometheus.io/port" in mutate(pod(SCRAPED)).warnings[0]


def test_aggregation_tells_the_proxy_where_the_engine_reports() -> None:
    subject = with_proxy(
        {
            "ome.io/enable-metric-aggregation": "true",
            "prometheus.ome.io/port": "9000",
            "prometheus.ome.io/path": "/m",
        }
    )
    subject["spec"]["containers"][1]["env"] = [
        {"name": "CONTAINER_PROMETHEUS_METRICS_PORT", "value": "1"}
    ]
    proxy = mutate(subject).pod["spec"]["containers"][1]
    assert env_of(proxy) == {
        "CONTAINER_PROMETHEUS_METRICS_PORT": "1",
        "CONTAINER_PROMETHEUS_METRICS_PATH": "/m",
        "AGGREGATE_PROMETHEUS_METRICS_PORT": "9088",
    }


# --- model-init, adapter, sidecar -----------------------------------------------------------------


def test_the_security_context_of_the_engine_is_taken_over() -> None:
    made = mutate(pod({**INIT, **ADAPTER, **SIDECAR})).pod["spec"]
    for container in (*made["initContainers"], made["containers"][-1]):
        assert container["securityContext"] == {"runAsUser": 1000}


def test_a_trainer_gets_its_model_too() -> None:
    subject = pod(INIT)
    subject["spec"]["containers"][0]["name"] = "trainer"
    assert not mutate(subject).errors


def test_missing_volumes_are_added_once() -> None:
    volumes = mutate(pod({**INIT, **ADAPTER, **SIDECAR})).pod["spec"]["volumes"]
    assert [item["name"] for item in volumes] == ["tiny", "model-empty-dir"]


def test_the_volume_of_a_model_whose_name_is_no_dns_label_is_found() -> None:
    from ome.api.names import volume_name

    subject = pod({**INIT, "ome.io/base-model-name": "tiny-3.1"})
    subject["spec"]["volumes"][0]["name"] = volume_name("tiny-3.1")
    mounts = mutate(subject).pod["spec"]["initContainers"][0]["volumeMounts"]
    assert mounts[1] == {"name": volume_name("tiny-3.1"), "mountPath": "/mnt/model"}


def test_extras_of_the_configuration_come_last() -> None:
    extra = {
        "extraEnvVars": [{"name": "PROXY", "value": "http://p"}],
        "extraVolumeMounts": [{"name": "certs", "mountPath": "/certs"}],
    }
    section = {**AGENT, "vaultId": "v", **extra}
    made = mutate(pod(INIT), config(modelInit=section)).pod["spec"]["initContainers"][0]
    assert made["env"][-1] == extra["extraEnvVars"][0]
    assert made["volumeMounts"][-1] == extra["extraVolumeMounts"][0]


def test_workload_identity_needs_a_service_account_and_its_token() -> None:
    data = config(modelInit={**AGENT, "vaultId": "v", "authType": "OkeWorkloadIdentity"})
    assert "spec.serviceAccountName" in told(mutate(pod(INIT), data))
    subject = pod(INIT)
    subject["spec"] |= {"serviceAccountName": "reader", "automountServiceAccountToken": False}
    assert mutate(subject, data).pod["spec"]["automountServiceAccountToken"] is True


def test_a_container_of_the_name_stays_as_it_is() -> None:
    subject = pod({**INIT, **ADAPTER, **SIDECAR})
    subject["spec"]["initContainers"] = [{"name": "model-init"}, {"name": "fine-tuned-adapter"}]
    subject["spec"]["containers"].append({"name": "serving-sidecar"})
    assert mutate(subject).pod["spec"] == subject["spec"]


def test_the_model_is_unpacked_before_the_weights() -> None:
    subject = pod()
    names = ["first", "fine-tuned-adapter", "model-init", "last"]
    subject["spec"]["initContainers"] = [{"name": name} for name in names]
    ordered = [item["name"] for item in mutate(subject).pod["spec"]["initContainers"]]
    assert ordered == ["first", "model-init", "fine-tuned-adapter", "last"]


def test_the_sidecar_is_told_a_file_and_not_the_name_of_a_variable() -> None:
    sidecar = mutate(pod(SIDECAR)).pod["spec"]["containers"][-1]
    name = "OME_AGENT_FINE_TUNED_WEIGHT_INFO_FILE_PATH"
    assert env_of(sidecar)[name] == "/mnt/finetuned/download/fine-tuned-weights.json"


def test_all_problems_of_all_parts_are_told_at_once() -> None:
    subject = pod(
        {
            "ome.io/inject-model-init": "true",
            "ome.io/inject-fine-tuned-adapter": "nowhere",
            "ome.io/inject-serving-sidecar": "true",
            "ome.io/base-model-format": "tensorrtllm",
            **RDMA,
            "rdma.ome.io/profile": "roce-9",
        }
    )
    review = mutate(subject, config(servingSidecar=None, fineTunedAdapter={"image": "a"}))
    text = told(review)
    assert review.pod is subject
    for piece in (
        "metadata.annotations[ome.io/base-model-name]: must say the model's name",
        "resources.limits[nvidia.com/gpu]",
        "there is no FineTunedWeight nowhere",
        "inferenceservice-config.data[servingSidecar]: lacks image, authType, compartmentId",
        "inferenceservice-config.data[fineTunedAdapter]: lacks authType, compartmentId",
        "metadata.annotations[ome.io/fine-tuned-weight-ft-strategy]",
        "there is no RDMA profile 'roce-9'; known are oci-roce",
    ):
        assert piece in text, text


@pytest.mark.parametrize(
    ("section", "said"),
    [
        ({**AGENT, "memoryLimit": "lots"}, "modelInit].memoryLimit: 'lots' is not a quantity"),
        ({**AGENT, "extraEnvVars": "x"}, "data[modelInit].extraEnvVars"),
        ({**AGENT, "image": ["a"]}, "data[modelInit].image"),
        (None, "data[modelInit]: lacks"),
        ("null", "data[modelInit]: must be a JSON object"),
        ("[" * 100_000, "data[modelInit]: is not JSON"),
    ],
)
def test_a_bad_configuration_is_named_by_place(section: Any, said: str) -> None:
    if isinstance(section, dict):
        section = {"vaultId": "v", **section}
    review = mutate(pod(INIT), config(modelInit=section))
    assert said in told(review)


@pytest.mark.parametrize(
    "uri",
    ["hf://org/model", "oci://bucket/prefix", "nonsense", "oci://n/a/b/c/o/../up", ""],
)
def test_weights_that_are_not_in_oracles_storage_are_refused(uri: str) -> None:
    text = told(mutate(pod(ADAPTER), tuned=weight(uri)))
    assert "FineTunedWeight tuned" in text
    assert "oci://n/NAMESPACE/b/BUCKET/o/PREFIX" in text


def test_without_the_volume_of_the_model_the_pod_is_refused() -> None:
    subject = pod(INIT)
    subject["spec"]["volumes"] = None
    assert "spec.volumes: there is no volume 'tiny'" in told(mutate(subject))


def test_without_the_engine_container_the_pod_is_refused() -> None:
    subject = pod({**INIT, **ADAPTER, **SIDECAR})
    subject["spec"]["containers"][0]["name"] = "else"
    text = told(mutate(subject))
    assert "model-init needs a container called ome-container or trainer" in text
    assert "serving-sidecar needs a container called ome-container" in text


# --- RDMA -----------------------------------------------------------------------------------------


def test_rdma_keeps_what_the_author_wrote() -> None:
    subject = pod(
        RDMA,
        securityContext={"privileged": False, "capabilities": {"add": ["IPC_LOCK", "NET_RAW"]}},
        volumeMounts=[{"name": "shm", "mountPath": "/dev/shm/"}],
    )
    review = mutate(subject)
    main = review.pod["spec"]["containers"][0]
    assert env_of(main)["NCCL_DEBUG"] == "WARN"
    assert len(main["env"]) == len(env_of(main)) == 21
    assert main["securityContext"] == {
        "privileged": False,
        "capabilities": {"add": ["IPC_LOCK", "NET_RAW", "CAP_SYS_ADMIN"]},
    }
    assert [mount["mountPath"] for mount in main["volumeMounts"]] == [
        "/dev/shm/",
        "/dev/infiniband",
    ]
    assert [item["name"] for item in review.pod["spec"]["volumes"]] == ["tiny", "devinf"]
    assert not review.warnings


def test_a_mount_of_the_same_volume_elsewhere_does_not_suppress_shared_memory() -> None:
    subject = pod(RDMA, volumeMounts=[{"name": "dshm", "mountPath": "/cache"}])
    main = mutate(subject).pod["spec"]["containers"][0]
    assert [mount["mountPath"] for mount in main["volumeMounts"]] == [
        "/cache",
        "/dev/shm",
        "/dev/infiniband",
    ]


def test_a_misspelt_container_is_warned_about_even_with_an_unknown_profile() -> None:
    subject = pod({**RDMA, "rdma.ome.io/container-name": "oem", "rdma.ome.io/profile": "x"})
    review = mutate(subject)
    assert (review.pod["spec"], review.errors) == (subject["spec"], [])
    assert "no container 'oem' (it has ome-container)" in review.warnings[0]


def test_a_profile_of_the_configuration() -> None:
    profile = {
        "env": {"NCCL_DEBUG": "TRACE", "B": "2", "A": "1"},
        "volumes": [{"name": "dev", "hostPath": {"path": "/dev/x"}}],
        "volumeMounts": [{"name": "dev", "mountPath": "/dev/x"}],
    }
    data = config(rdma={"profiles": {"own": profile}})
    review = mutate(pod({**RDMA, "rdma.ome.io/profile": "own"}), data)
    main = review.pod["spec"]["containers"][0]
    assert [item["name"] for item in main["env"]] == ["NCCL_DEBUG", "A", "B"]
    assert main["securityContext"] == {"runAsUser": 1000}
    assert review.pod["spec"]["volumes"][-1] == profile["volumes"][0]


@pytest.mark.parametrize(
    "profile", ["x", {"volumes": ["x"]}, {"volumes": [{}]}, {"env": {"A": 1}}, {"privileged": "y"}]
)
def test_a_broken_profile_is_an_error_for_those_who_name_it(profile: Any) -> None:
    data = config(rdma={"profiles": {"own": profile}})
    refused = mutate(pod({**RDMA, "rdma.ome.io/profile": "own"}), data)
    assert "inferenceservice-config.data[rdma].profiles" in told(refused)
    assert not mutate(pod(RDMA), data).errors


def test_a_container_that_forbids_escalation_is_refused_in_our_words() -> None:
    subject = pod(RDMA, securityContext={"allowPrivilegeEscalation": False})
    review = mutate(subject)
    assert review.pod is subject
    assert "allowPrivilegeEscalation: is false" in told(review)


# --- properties -----------------------------------------------------------------------------------

TRIGGERS = {**INIT, **ADAPTER, **SIDECAR, **COHERE, **RDMA, **SCRAPED}
MOUNTS = st.lists(
    st.fixed_dictionaries(
        {
            "name": st.sampled_from(["dshm", "devinf", "tiny", "model-empty-dir"]),
            "mountPath": st.sampled_from(["/dev/shm", "/dev/infiniband/", "/opt/ml/model", "/x"]),
        }
    ),
    max_size=3,
)
CONTAINERS = st.lists(
    st.fixed_dictionaries(
        {
            "name": st.sampled_from(["ome-container", "trainer", "queue-proxy", "else"]),
        },
        optional={
            "env": st.none() | st.just([{"name": "UCX_TLS", "value": "rc"}]),
            "volumeMounts": st.none() | MOUNTS,
            "securityContext": st.sampled_from(
                [None, {}, {"privileged": False}, {"capabilities": {"add": ["IPC_LOCK"]}}]
            ),
            "ports": st.none() | st.just([{"name": "aggr-metric", "containerPort": 1}]),
            "resources": st.just(GPUS["resources"]),
        },
    ),
    max_size=3,
    unique_by=lambda item: item["name"],
)


@given(
    kept=st.sets(st.sampled_from(sorted(TRIGGERS))),
    aggregate=st.sampled_from(["true", "false", ""]),
    containers=CONTAINERS,
    format_=st.sampled_from(["safetensors", "tensorrtllm"]),
    volumes=st.none() | st.just([{"name": "tiny"}]) | st.just([{"name": "dshm"}]),
)
def test_mutation_is_idempotent_and_its_patch_leads_there(
    kept: set[str], aggregate: str, containers: list[Object], format_: str, volumes: Any
) -> None:
    subject = pod({key: TRIGGERS[key] for key in kept})
    annotations = subject["metadata"].setdefault("annotations", {})
    annotations |= {"ome.io/base-model-format": format_}
    subject["spec"]["containers"] = containers
    subject["spec"]["volumes"] = volumes
    data = config(metricsAggregator={"enableMetricAggregation": aggregate or None})
    first = mutate(subject, data)
    assert json_patch(subject, json_patch_diff(subject, first.pod)) == first.pod
    second = mutate(first.pod, data)
    assert second.pod == first.pod
    assert second.errors == first.errors
    for container in first.pod["spec"]["containers"]:
        names = [item["name"] for item in container.get("env") or ()]
        assert len(names) == len(set(names))
    given_paths = [m for c in containers for m in c.get("volumeMounts") or ()]
    made_paths = [
        m for c in first.pod["spec"]["containers"][: len(containers)]
        for m in c.get("volumeMounts") or ()
    ]  # fmt: skip
    assert all(mount in made_paths for mount in given_paths)


@given(
    st.dictionaries(
        st.sampled_from(["modelInit", "fineTunedAdapter", "servingSidecar", "rdma"]),
        st.text(max_size=20)
        | st.recursive(
            st.none() | st.booleans() | st.integers() | st.text(max_size=5),
            lambda inner: (
                st.lists(inner, max_size=2)
                | st.dictionaries(
                    st.sampled_from(["image", "profiles", "x", "env"]), inner, max_size=3
                )
            ),
            max_leaves=6,
        ).map(json.dumps),
    )
)
def test_no_configuration_makes_it_raise(data: dict[str, str]) -> None:
    for trigger in (INIT, ADAPTER, SIDECAR, RDMA, {**RDMA, "rdma.ome.io/profile": "x"}):
        review = mutate_pod(pod(trigger), data, {"tuned": weight()}.get)
        assert review.errors or review.pod
