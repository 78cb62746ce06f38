import base64

import pytest

from ome.apimachinery import core_defaults, pod_defaults
from ome.apimachinery import resources as r
from ome.apimachinery.definitions import schema_for
from ome.apimachinery.jsonvalues import copy_json
from ome.apimachinery.objects import Resource


def applied(resource, obj):
    before = copy_json(obj)
    out = core_defaults.apply(resource, obj)
    assert obj == before
    assert core_defaults.apply(resource, out) == out
    schema = schema_for(resource)
    assert schema.prune(out)[1] == []
    return out


@pytest.mark.parametrize(
    ("image", "policy"),
    [
        ("x", "Always"),
        ("x:latest", "Always"),
        ("x:1", "IfNotPresent"),
        ("host:5000/x", "Always"),
        ("host:5000/x:2", "IfNotPresent"),
        ("x@sha256:abc", "IfNotPresent"),
        ("", "Always"),
    ],
)
def test_image_pull_policy(image, policy):
    assert pod_defaults.image_pull_policy(image) == policy


def test_pod_defaults():
    pod = {
        "spec": {
            "serviceAccountName": "sa",
            "containers": [
                {
                    "name": "c",
                    "image": "x:1",
                    "ports": [{"containerPort": 80}],
                    "resources": {
                        "limits": {"cpu": "1", "memory": "1Gi"},
                        "requests": {"cpu": "0"},
                    },
                    "readinessProbe": {"httpGet": {"port": 80}},
                    "livenessProbe": {"grpc": {"port": 1}, "periodSeconds": 3},
                    "env": [
                        {"name": "A", "valueFrom": {"fieldRef": {"fieldPath": "status.podIP"}}}
                    ],
                    "lifecycle": {"preStop": {"httpGet": {"port": 1, "path": "/bye"}}},
                }
            ],
            "volumes": [
                {"name": "bare"},
                {"name": "cm", "configMap": {"name": "x"}},
                {"name": "s", "secret": {"secretName": "x", "defaultMode": 256}},
                {"name": "h", "hostPath": {"path": "/x"}},
                {"name": "p", "projected": {"sources": [{"serviceAccountToken": {"path": "t"}}]}},
            ],
        }
    }
    spec = applied(r.PODS, pod)["spec"]
    assert spec["restartPolicy"] == "Always"
    assert spec["dnsPolicy"] == "ClusterFirst"
    assert spec["terminationGracePeriodSeconds"] == 30
    assert spec["schedulerName"] == "default-scheduler"
    assert spec["serviceAccount"] == "sa"
    assert spec["enableServiceLinks"] is True
    (container,) = spec["containers"]
    assert container["imagePullPolicy"] == "IfNotPresent"
    assert container["terminationMessagePath"] == "/dev/termination-log"
    assert container["resources"]["requests"] == {"cpu": "0", "memory": "1Gi"}
    assert container["readinessProbe"] == {
        "httpGet": {"port": 80, "path": "/", "scheme": "HTTP"},
        "timeoutSeconds": 1,
        "periodSeconds": 10,
        "successThreshold": 1,
        "failureThreshold": 3,
    }
    assert container["livenessProbe"]["periodSeconds"] == 3
    assert container["livenessProbe"]["grpc"] == {"port": 1, "service": ""}
    assert container["env"][0]["valueFrom"]["fieldRef"]["apiVersion"] == "v1"
    assert container["lifecycle"]["preStop"]["httpGet"]["path"] == "/bye"
    volumes = {v["name"]: v for v in spec["volumes"]}
    assert volumes["bare"]["emptyDir"] == {}
    assert volumes["cm"]["configMap"]["defaultMode"] == 420
    assert volumes["s"]["secret"]["defaultMode"] == 256
    assert volumes["h"]["hostPath"]["type"] == ""
    assert volumes["p"]["projected"]["sources"][0]["serviceAccountToken"] == {
        "path": "t",
        "expirationSeconds": 3600,
    }


def test_templates_do_not_get_what_only_pods_get():
    template = {"spec": {"containers": [{"name": "c", "resources": {"limits": {"cpu": "1"}}}]}}
    out = applied(r.DEPLOYMENTS, {"spec": {"template": template}})
    assert "enableServiceLinks" not in out["spec"]["template"]["spec"]
    assert "requests" not in out["spec"]["template"]["spec"]["containers"][0]["resources"]


def test_host_network_pods_publish_their_ports():
    spec = {"hostNetwork": True, "containers": [{"name": "c", "ports": [{"containerPort": 9}]}]}
    out = applied(r.PODS, {"spec": spec})
    assert out["spec"]["containers"][0]["ports"][0]["hostPort"] == 9


def test_workload_defaults():
    spec = applied(r.DEPLOYMENTS, {"spec": {}})["spec"]
    assert spec == {
        "replicas": 1,
        "revisionHistoryLimit": 10,
        "progressDeadlineSeconds": 600,
        "strategy": {
            "type": "RollingUpdate",
            "rollingUpdate": {"maxUnavailable": "25%", "maxSurge": "25%"},
        },
    }
    recreate = applied(r.DEPLOYMENTS, {"spec": {"strategy": {"type": "Recreate"}, "replicas": 0}})
    assert recreate["spec"]["strategy"] == {"type": "Recreate"}
    assert recreate["spec"]["replicas"] == 0
    assert applied(r.REPLICA_SETS, {})["spec"]["replicas"] == 1
    assert applied(r.DAEMON_SETS, {})["spec"]["updateStrategy"]["rollingUpdate"] == {
        "maxUnavailable": 1,
        "maxSurge": 0,
    }
    stateful = applied(r.STATEFUL_SETS, {"spec": {"volumeClaimTemplates": [{}]}})["spec"]
    assert stateful["updateStrategy"] == {
        "type": "RollingUpdate",
        "rollingUpdate": {"partition": 0},
    }
    assert stateful["volumeClaimTemplates"][0]["spec"] == {"volumeMode": "Filesystem"}


def test_job_defaults():
    spec = applied(r.JOBS, {"spec": {}})["spec"]
    assert (spec["parallelism"], spec["completions"], spec["backoffLimit"]) == (1, 1, 6)
    assert "completions" not in applied(r.JOBS, {"spec": {"parallelism": 2}})["spec"]
    job = {"metadata": {"name": "j", "uid": "u"}, "spec": spec}
    new = core_defaults.prepare_create(r.JOBS, job)
    selector = new["spec"]["selector"]["matchLabels"]
    labels = new["spec"]["template"]["metadata"]["labels"]
    assert selector.items() <= labels.items()
    assert labels["job-name"] == "j"
    manual = core_defaults.prepare_create(r.JOBS, {**job, "spec": {"manualSelector": True}})
    assert manual["spec"] == {"manualSelector": True}


def test_service_defaults():
    spec = applied(r.SERVICES, {"spec": {"ports": [{"port": 80}]}})["spec"]
    assert spec["ports"] == [{"port": 80, "protocol": "TCP", "targetPort": 80}]
    assert (spec["type"], spec["sessionAffinity"]) == ("ClusterIP", "None")
    assert spec["internalTrafficPolicy"] == "Cluster"
    assert "externalTrafficPolicy" not in spec
    external = applied(r.SERVICES, {"spec": {"type": "ExternalName", "externalName": "x"}})["spec"]
    assert "internalTrafficPolicy" not in external


def test_secrets_take_their_texts_as_data():
    out = applied(r.SECRETS, {"data": {"a": "eA==", "b": "eA=="}, "stringData": {"b": "é"}})
    assert out["type"] == "Opaque"
    assert out["data"] == {"a": "eA==", "b": base64.b64encode("é".encode()).decode()}
    assert "stringData" not in out


def test_autoscaler_defaults():
    spec = applied(r.HORIZONTAL_POD_AUTOSCALERS, {"spec": {"maxReplicas": 3}})["spec"]
    assert spec["minReplicas"] == 1
    assert spec["metrics"][0]["resource"]["target"]["averageUtilization"] == 80
    assert "behavior" not in spec
    behavior = applied(
        r.HORIZONTAL_POD_AUTOSCALERS,
        {"spec": {"behavior": {"scaleDown": {"stabilizationWindowSeconds": 5}}}},
    )["spec"]["behavior"]
    assert behavior["scaleDown"]["stabilizationWindowSeconds"] == 5
    assert behavior["scaleDown"]["policies"] == [
        {"type": "Percent", "value": 100, "periodSeconds": 15}
    ]
    assert len(behavior["scaleUp"]["policies"]) == 2


def test_new_objects_have_their_first_status():
    pod = {"metadata": {"name": "a"}, "spec": {"containers": []}, "status": {"phase": "Running"}}
    assert core_defaults.prepare_create(r.PODS, pod)["status"] == {
        "phase": "Pending",
        "qosClass": "BestEffort",
    }
    namespace = core_defaults.prepare_create(
        r.NAMESPACES, applied(r.NAMESPACES, {"metadata": {"name": "n"}})
    )
    assert namespace["status"] == {"phase": "Active"}
    assert namespace["spec"] == {"finalizers": ["kubernetes"]}
    assert namespace["metadata"]["labels"] == {"kubernetes.io/metadata.name": "n"}


@pytest.mark.parametrize(
    ("resources", "qos"),
    [
        ([{}], "BestEffort"),
        ([{"limits": {"nvidia.com/gpu": "1"}}], "BestEffort"),
        ([{"limits": {"cpu": "1", "memory": "1Gi"}}], "Guaranteed"),
        ([{"limits": {"cpu": "1", "memory": "1Gi"}, "requests": {"cpu": "1000m"}}], "Guaranteed"),
        ([{"limits": {"cpu": "1", "memory": "1Gi"}, "requests": {"cpu": "500m"}}], "Burstable"),
        ([{"limits": {"cpu": "1", "memory": "1Gi"}}, {}], "Burstable"),
        ([{"requests": {"cpu": "1"}}], "Burstable"),
    ],
)
def test_qos_class(resources, qos):
    assert pod_defaults.qos_class({"containers": [{"resources": x} for x in resources]}) == qos


def test_other_kinds():
    crd = applied(r.CUSTOM_RESOURCE_DEFINITIONS, {"spec": {"names": {"kind": "Foo"}}})["spec"]
    assert crd["names"] == {"kind": "Foo", "singular": "foo", "listKind": "FooList"}
    assert crd["conversion"] == {"strategy": "None"}
    hook = applied(
        r.MUTATING_WEBHOOKS,
        {"webhooks": [{"name": "a", "rules": [{}], "clientConfig": {"service": {"name": "x"}}}]},
    )["webhooks"][0]
    assert hook["timeoutSeconds"] == 10
    assert hook["rules"][0]["scope"] == "*"
    assert hook["clientConfig"]["service"]["port"] == 443
    assert applied(r.PRIORITY_CLASSES, {})["preemptionPolicy"] == "PreemptLowerPriority"
    assert applied(r.STORAGE_CLASSES, {})["volumeBindingMode"] == "Immediate"
    binding = {
        "roleRef": {"kind": "Role", "name": "x"},
        "subjects": [{"kind": "User", "name": "u"}],
    }
    assert applied(r.ROLE_BINDINGS, binding)["subjects"][0]["apiGroup"].startswith("rbac")
    policy = applied(r.NETWORK_POLICIES, {"spec": {"egress": [{"ports": [{"port": 1}]}]}})["spec"]
    assert policy["policyTypes"] == ["Ingress", "Egress"]
    assert policy["egress"][0]["ports"][0]["protocol"] == "TCP"
    limits = {"spec": {"limits": [{"type": "Container", "max": {"cpu": "2"}}]}}
    item = applied(r.LIMIT_RANGES, limits)["spec"]["limits"][0]
    assert item["defaultRequest"] == {"cpu": "2"}
    custom = Resource("example.com", "v1", "pods", "Pod")
    obj = {"spec": {}}
    assert core_defaults.apply(custom, obj) is obj
    assert core_defaults.prepare_create(custom, obj) is obj
