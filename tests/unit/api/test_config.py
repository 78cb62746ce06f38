"""Configuration: any input gives a usable one, and every problem is told with a remedy."""

from __future__ import annotations

import json

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ome.api.config import BenchmarkJobConfig, InferenceServiceConfig

read = InferenceServiceConfig.from_config_map

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=9),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=9), inner),
    max_leaves=4,
)
SECTIONS = ["ingress", "deploy", "readiness", "models", "rollout", "kedaConfig", "modelInit"]


def test_nothing_configured_is_fine() -> None:
    for data in (None, {}):
        config, problems = read(data)
        assert problems == []
        assert config == InferenceServiceConfig()
    assert config.ingress.ingress_domain == "example.com"
    assert config.models.root == "/raid/models"
    assert config.readiness.probe == "none"


def test_the_shipped_values_are_understood() -> None:
    config, problems = read(
        {
            "deploy": '{"defaultDeploymentMode": "RawDeployment"}',
            "ingress": json.dumps(
                {
                    "ingressGateway": "knative-serving/knative-ingress-gateway",
                    "ingressService": "istio-ingressgateway.istio-system.svc.cluster.local",
                    "ingressDomain": "svc.cluster.local",
                    "ingressClassName": "istio",
                    "additionalIngressDomains": None,
                    "urlScheme": "http",
                    "omeIngressGateway": "",
                    "pathTemplate": "",
                    "disableIngressCreation": True,
                    "enableGatewayAPI": False,
                }
            ),
            "metricsAggregator": '{"enableMetricAggregation": "false"}',
            "multinodeProber": '{"image": "p:1", "cpuRequest": "100m", "memoryLimit": "100Mi"}',
        }
    )
    assert problems == []
    assert config.deploy.default_deployment_mode == "RawDeployment"
    assert config.ingress.disable_ingress_creation
    assert config.multinode_prober.requirements() == {
        "requests": {"cpu": "100m"},
        "limits": {"memory": "100Mi"},
    }


def test_the_home_of_one_machine() -> None:
    ingress = {"ingressDomain": "127.0.0.1:1", "pathTemplate": "/s/{{ .Name }}"}
    config, problems = read(
        {"ingress": json.dumps(ingress), "readiness": '{"probe": "completion"}'}
    )
    assert problems == []
    assert config.readiness.probe == "completion"


@pytest.mark.parametrize(
    ("section", "text", "field", "hint"),
    [
        ("deploy", "{", "data[deploy]", "JSON object"),
        ("deploy", "[]", "data[deploy]", "JSON object"),
        ("deploy", '{"defaultDeploymentMode": "Raw"}', "defaultDeploymentMode", "RawDeployment"),
        ("ingress", '{"disableIngressCreation": "yes"}', "disableIngressCreation", "true"),
        ("ingress", '{"urlScheme": "ftp"}', "urlScheme", "https"),
        ("ingress", '{"domainTemplate": "{{ .Name"}', "domainTemplate", "not closed"),
        ("ingress", '{"pathTemplate": "/x"}', "ingressDomain", "pathTemplate"),
        ("ingress", '{"omeIngressGateway": "a/b/c"}', "omeIngressGateway", "namespace/name"),
        ("ingress", '{"ingresDomain": "x"}', "ingresDomain", "did you mean ingressDomain?"),
        ("readiness", '{"probe": "maybe"}', "probe", "completion"),
        ("readiness", '{"timeoutSeconds": 0}', "timeoutSeconds", "at least 1"),
        ("models", '{"root": "models"}', "root", "absolute"),
        ("models", '{"root": "/a/../b"}', "root", "absolute"),
        ("modelInit", '{"memoryLimit": "lots"}', "memoryLimit", "quantity"),
        ("kedaConfig", '{"scalingThreshold": "NaN"}', "scalingThreshold", "finite"),
        ("kedaConfig", '{"scalingOperator": "Equal"}', "scalingOperator", "LessThan"),
    ],
)
def test_a_broken_value_is_told_and_keeps_the_last_good_one(
    section: str, text: str, field: str, hint: str
) -> None:
    good, none = read(
        {
            "deploy": '{"defaultDeploymentMode": "Serverless"}',
            "ingress": '{"ingressDomain": "good.example", "urlScheme": "https"}',
            "readiness": '{"probe": "completion", "timeoutSeconds": 9}',
            "models": '{"root": "/good"}',
            "modelInit": '{"memoryLimit": "1Gi"}',
            "kedaConfig": '{"scalingThreshold": "5", "scalingOperator": "LessThan"}',
        }
    )
    assert none == []
    config, problems = read({section: text}, good)
    assert len(problems) == 1
    assert problems[0].path.startswith(f"inferenceservice-config.data[{section}]")
    assert problems[0].path.endswith(field)
    assert hint in problems[0].message
    if "did you mean" not in hint:
        member = {"modelInit": "model_init", "kedaConfig": "keda_config"}.get(section, section)
        name = {
            "defaultDeploymentMode": "default_deployment_mode", "probe": "probe", "root": "root",
            "urlScheme": "url_scheme", "memoryLimit": "memory_limit",
            "scalingThreshold": "scaling_threshold", "scalingOperator": "scaling_operator",
            "timeoutSeconds": "timeout_seconds",
        }.get(field)  # fmt: skip
        if name:
            assert getattr(getattr(config, member), name) == getattr(getattr(good, member), name)


def test_one_broken_section_leaves_the_others_alone() -> None:
    config, problems = read({"modelInit": "{", "deploy": '{"defaultDeploymentMode":"Serverless"}'})
    assert len(problems) == 1
    assert config.deploy.default_deployment_mode == "Serverless"


@settings(suppress_health_check=[HealthCheck.too_slow], deadline=None)
@given(st.dictionaries(st.sampled_from(SECTIONS), json_values.map(json.dumps) | st.text()))
def test_reading_never_fails(data: dict[str, str]) -> None:
    config, problems = read(data)
    assert isinstance(config, InferenceServiceConfig)
    assert all(str(problem) for problem in problems)


def test_what_injection_still_needs_is_named() -> None:
    assert read({})[0].model_init.missing() == ["image", "authType", "compartmentId", "vaultId"]
    given_ = '{"image": "i:1", "authType": "x", "compartmentId": "c"}'
    assert read({"fineTunedAdapter": given_})[0].fine_tuned_adapter.missing() == []


def test_benchmarks() -> None:
    text = '{"podConfig": {"image": "genai-bench:1", "cpuLimit": 4}}'
    config, problems = BenchmarkJobConfig.from_config_map({"benchmarkjob": text})
    assert problems == []
    pod = config.benchmarkjob.pod_config
    assert (pod.image, pod.cpu_limit, pod.memory_limit) == ("genai-bench:1", "4", "2Gi")
