import pytest

from ome.apimachinery import core_defaults, core_validation
from ome.apimachinery import resources as r
from ome.apimachinery.definitions import schema_for
from ome.apimachinery.jsonvalues import copy_json
from ome.apimachinery.objects import Resource
from ome.apimachinery.patches import merge_patch

WIDGETS = Resource("example.com", "v1", "widgets", "Widget")


def problems(resource, obj, old=None, **options):
    """The whole way of a write: default, types, Kubernetes' defaults, Kubernetes' rules."""
    ready, before = (_ready(resource, o) for o in (obj, old))
    found = core_validation.validate(resource, ready, before, **options)
    return [str(e) for e in found]


def _ready(resource, obj):
    if obj is None or resource is WIDGETS:
        return obj
    schema = schema_for(resource)
    full = schema.default({"metadata": {}, **copy_json(obj)})
    full["metadata"].setdefault("name", "x")
    if resource.namespaced:
        full["metadata"].setdefault("namespace", "n")
    assert schema.validate(full) == []
    return core_defaults.apply(resource, full)


def meta(**fields):
    return {"metadata": {"name": "w", "namespace": "n", **fields}}


def container(**fields):
    return {"name": "c", "image": "x", **fields}


def pod(*containers, **spec):
    return {"spec": {"containers": list(containers) or [container()], **spec}}


def deployment(**spec):
    template = {"metadata": {"labels": {"a": "b"}}, "spec": {"containers": [container()]}}
    return {"spec": {"selector": {"matchLabels": {"a": "b"}}, "template": template, **spec}}


def test_right_objects_have_no_problems():
    assert problems(WIDGETS, meta(labels={"a": "b"}, finalizers=["x.y/z"])) == []
    assert problems(r.PODS, pod()) == []
    assert problems(r.DEPLOYMENTS, deployment()) == []
    assert problems(r.SERVICES, {"spec": {"ports": [{"port": 80, "targetPort": "http"}]}}) == []
    assert problems(r.SERVICES, {"spec": {"clusterIP": "None"}}) == []
    assert problems(r.CONFIG_MAPS, {"data": {"a.b": "x"}, "binaryData": {"c": "eA=="}}) == []


@pytest.mark.parametrize(
    ("metadata", "expected"),
    [
        ({"name": "A"}, 'metadata.name: Invalid value: "A": a lowercase RFC 1123 subdomain'),
        ({"name": ""}, "metadata.name: Required value"),
        ({"namespace": ""}, "metadata.namespace: Required value"),
        ({"labels": {"a": "b c"}}, 'metadata.labels: Invalid value: "b c"'),
        ({"labels": {"-": ""}}, 'metadata.labels: Invalid value: "-"'),
        ({"annotations": {"a b": ""}}, 'metadata.annotations: Invalid value: "a b"'),
        ({"finalizers": ["a b"]}, 'metadata.finalizers: Invalid value: "a b"'),
        ({"ownerReferences": [{"apiVersion": "v1", "kind": "Pod", "name": "p"}]},
         "metadata.ownerReferences[0].uid: Required value"),
        ({"ownerReferences": [
            {"apiVersion": "v1", "kind": "Pod", "name": "p", "uid": u, "controller": True}
            for u in "12"]}, "metadata.ownerReferences: Invalid value"),
    ],
)  # fmt: skip
def test_metadata(metadata, expected):
    (found,) = problems(WIDGETS, meta(**metadata))
    assert found.startswith(expected)


def test_names_by_kind():
    assert core_validation.name_problems(r.ROLES, "system:x") == []
    assert core_validation.name_problems(r.SERVICES, "1a")
    assert core_validation.name_problems(r.NAMESPACES, "a.b")
    assert core_validation.name_problems(r.PODS, "a.b") == []
    nodes = {"metadata": {"name": "a", "namespace": "n"}}
    assert problems(r.NODES, nodes) == ["metadata.namespace: Forbidden: not allowed on this type"]


def test_identity_does_not_change():
    old = meta(uid="1", creationTimestamp="2026-01-01T00:00:00Z")
    found = problems(WIDGETS, meta(uid="2"), old)
    assert found == ['metadata.uid: Invalid value: "2": field is immutable']
    dying = meta(deletionTimestamp="2026-01-01T00:00:00Z", finalizers=["a/a"])
    (found,) = problems(WIDGETS, meta(finalizers=["a/a", "b/b"]), dying)
    assert "no new finalizers" in found
    assert problems(WIDGETS, meta(finalizers=[]), dying) == []


GPU = "nvidia.com/gpu"


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"name": "A"}, 'containers[0].name: Invalid value: "A"'),
        ({"image": ""}, "containers[0].image: Required value"),
        ({"image": " x"}, "containers[0].image: Invalid value"),
        ({"imagePullPolicy": "Sometimes"}, "containers[0].imagePullPolicy: Unsupported value:"
         ' "Sometimes": supported values: "Always", "IfNotPresent", "Never"'),
        ({"ports": [{"containerPort": 70000}]}, "containers[0].ports[0].containerPort: Invalid"),
        ({"ports": [{"containerPort": 1, "protocol": "X"}]}, "containers[0].ports[0].protocol: Un"),
        ({"ports": [{"containerPort": 1, "name": "a"}, {"containerPort": 2, "name": "a"}]},
         'containers[0].ports[1].name: Duplicate value: "a"'),
        ({"env": [{"name": "a=b"}]}, "containers[0].env[0].name: Invalid value"),
        ({"env": [{"name": "a", "value": "x", "valueFrom": {"fieldRef": {
            "fieldPath": "status.podIP"}}}]}, "containers[0].env[0].valueFrom: Invalid value"),
        ({"env": [{"name": "a", "valueFrom": {"fieldRef": {"fieldPath": "spec.foo"}}}]},
         "containers[0].env[0].valueFrom.fieldRef.fieldPath: Unsupported value"),
        ({"envFrom": [{}]}, "containers[0].envFrom[0]: Invalid value"),
        ({"volumeMounts": [{"name": "v", "mountPath": "/x"}]},
         'containers[0].volumeMounts[0].name: Not found: "v"'),
        ({"resources": {"limits": {"cpu": "-1"}}},
         'containers[0].resources.limits[cpu]: Invalid value: "-1"'),
        ({"resources": {"limits": {"cpu": "1"}, "requests": {"cpu": "2"}}},
         'containers[0].resources.requests: Invalid value: "2": must be less than or equal to cpu'
         " limit of 1"),
        ({"resources": {"limits": {GPU: "500m"}}},
         f'containers[0].resources.limits[{GPU}]: Invalid value: "500m": must be an integer'),
        ({"resources": {"requests": {GPU: 1}}},
         "containers[0].resources.limits: Required value"),
        ({"resources": {"requests": {GPU: 1}, "limits": {GPU: 2}}},
         "containers[0].resources.requests: Invalid value"),
        ({"resources": {"limits": {"gpus": 1}}},
         "containers[0].resources.limits[gpus]: Invalid value"),
        ({"readinessProbe": {}}, "containers[0].readinessProbe: Required value: must specify a"),
        ({"readinessProbe": {"httpGet": {"port": 1}, "tcpSocket": {"port": 1}}},
         "containers[0].readinessProbe.tcpSocket: Forbidden"),
        ({"livenessProbe": {"exec": {"command": ["x"]}, "successThreshold": 2}},
         "containers[0].livenessProbe.successThreshold: Invalid value: 2: must be 1"),
        ({"readinessProbe": {"httpGet": {"port": 0}}},
         "containers[0].readinessProbe.httpGet.port: Invalid value"),
        ({"readinessProbe": {"exec": {"command": ["x"]}, "periodSeconds": -1}},
         "containers[0].readinessProbe.periodSeconds: Invalid value"),
    ],
)  # fmt: skip
def test_containers(fields, expected):
    # Requests follow limits in a pod, so a bad limit may be named twice.
    found = [f for f in problems(r.PODS, pod(container(**fields))) if "requests[" not in f]
    assert len(found) == 1, found
    assert found[0].startswith(f"spec.{expected}")


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        ({"containers": []}, "spec.containers: Required value"),
        ({"containers": [container()] * 2}, 'spec.containers[1].name: Duplicate value: "c"'),
        ({"initContainers": [container()]}, 'spec.initContainers[0].name: Duplicate value: "c"'),
        ({"initContainers": [container(name="i", readinessProbe={"tcpSocket": {"port": 1}})]},
         "spec.initContainers[0].readinessProbe: Forbidden"),
        ({"restartPolicy": "Maybe"}, "spec.restartPolicy: Unsupported value"),
        ({"dnsPolicy": "X"}, "spec.dnsPolicy: Unsupported value"),
        ({"volumes": [{"name": "a"}, {"name": "a"}]}, 'spec.volumes[1].name: Duplicate value: "a"'),
        ({"volumes": [{"name": "a", "emptyDir": {}, "hostPath": {"path": "/x"}}]},
         "spec.volumes[0].hostPath: Forbidden"),
        ({"volumes": [{"name": "a", "hostPath": {"path": "/x/../y"}}]},
         "spec.volumes[0].hostPath.path: Invalid value"),
        ({"volumes": [{"name": "a", "persistentVolumeClaim": {"claimName": ""}}]},
         "spec.volumes[0].persistentVolumeClaim.claimName: Required value"),
        ({"tolerations": [{"value": "x"}]}, "spec.tolerations[0].operator: Invalid value"),
        ({"tolerations": [{"key": "a", "operator": "Exists", "value": "x"}]},
         "spec.tolerations[0].operator: Invalid value"),
        ({"tolerations": [{"key": "a", "effect": "X"}]}, "spec.tolerations[0].effect: Unsupported"),
        ({"nodeSelector": {"a": "b c"}}, "spec.nodeSelector: Invalid value"),
        ({"affinity": {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": {
            "nodeSelectorTerms": []}}}}, "spec.affinity.nodeAffinity.required"),
        ({"affinity": {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": {
            "nodeSelectorTerms": [{"matchExpressions": [{"key": "a", "operator": "In"}]}]}}}},
         "spec.affinity.nodeAffinity.required"),
        ({"affinity": {"podAntiAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [
            {"topologyKey": ""}]}}}, "spec.affinity.podAntiAffinity.required"),
        ({"topologySpreadConstraints": [{"maxSkew": 0, "topologyKey": "z",
                                         "whenUnsatisfiable": "DoNotSchedule"}]},
         "spec.topologySpreadConstraints[0].maxSkew: Invalid value"),
    ],
)  # fmt: skip
def test_pod_specs(spec, expected):
    found = problems(r.PODS, pod(**spec))
    assert len(found) == 1, found
    assert found[0].startswith(expected)


def test_sidecars_may_have_probes():
    side = container(name="s", restartPolicy="Always", startupProbe={"tcpSocket": {"port": 1}})
    assert problems(r.PODS, pod(initContainers=[side])) == []


def test_duplicate_environment_names_are_legal_in_kubernetes():
    env = [{"name": "A", "value": "1"}, {"name": "A", "value": "2"}]
    assert problems(r.PODS, pod(container(env=env))) == []


def test_running_pods_change_little():
    old = pod(tolerations=[{"key": "a", "operator": "Exists"}])
    assert problems(r.PODS, merge_patch(old, {"spec": {"activeDeadlineSeconds": 5}}), old) == []
    assert problems(r.PODS, pod(container(image="y"), tolerations=[{"operator": "Exists"},
                    *old["spec"]["tolerations"]]), old) == []  # fmt: skip
    (found,) = problems(r.PODS, merge_patch(old, {"spec": {"hostname": "h"}}), old)
    assert found.startswith("spec: Forbidden: pod updates may not change fields other than")
    assert found.endswith("changed: hostname")
    (found,) = problems(r.PODS, pod(), old)
    assert found.startswith("spec.tolerations: Forbidden")


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        ({"replicas": -1}, "spec.replicas: Invalid value: -1"),
        ({"selector": {}}, "spec.selector: Invalid value: {}"),
        ({"selector": {"matchLabels": {"a": "c"}}},
         'spec.template.metadata.labels: Invalid value: {"a":"b"}: `selector` does not match'),
        ({"strategy": {"type": "Recreate", "rollingUpdate": {}}},
         "spec.strategy.rollingUpdate: Forbidden"),
        ({"strategy": {"type": "Blue"}}, "spec.strategy.type: Unsupported value"),
        ({"strategy": {"rollingUpdate": {"maxUnavailable": 0, "maxSurge": 0}}},
         "spec.strategy.rollingUpdate.maxUnavailable: Invalid value"),
        ({"strategy": {"rollingUpdate": {"maxSurge": "many"}}},
         "spec.strategy.rollingUpdate.maxSurge: Invalid value"),
        ({"progressDeadlineSeconds": 5, "minReadySeconds": 5},
         "spec.progressDeadlineSeconds: Invalid value"),
        ({"selector": {"matchExpressions": [{"key": "a", "operator": "Nope"}]}},
         "spec.selector: Invalid value"),
    ],
)  # fmt: skip
def test_deployments(spec, expected):
    found = problems(r.DEPLOYMENTS, deployment(**spec))
    assert len(found) == 1, found
    assert found[0].startswith(expected)


def test_templates_of_deployments_restart_always_and_have_no_ephemeral_containers():
    obj = deployment()
    obj["spec"]["template"]["spec"].update(
        restartPolicy="Never", ephemeralContainers=[container(name="e")]
    )
    found = problems(r.DEPLOYMENTS, obj)
    assert found[0].startswith("spec.template.spec.ephemeralContainers: Forbidden")
    assert found[1].startswith('spec.template.spec.restartPolicy: Unsupported value: "Never"')


def test_selectors_are_immutable():
    other = deployment(selector={"matchLabels": {"a": "b", "c": "d"}})
    other["spec"]["template"]["metadata"]["labels"]["c"] = "d"
    (found,) = problems(r.DEPLOYMENTS, other, deployment())
    assert found.startswith("spec.selector: Invalid value")
    assert found.endswith("field is immutable")
    assert problems(r.DEPLOYMENTS, other, deployment(), subresource="status") == []


def test_stateful_sets_change_only_what_they_may():
    old = deployment(serviceName="a")
    assert problems(r.STATEFUL_SETS, deployment(serviceName="a", replicas=5), old) == []
    (found,) = problems(r.STATEFUL_SETS, deployment(serviceName="b"), old)
    assert found.endswith("changed: serviceName")


def job(**spec):
    template = {"spec": {"containers": [container()], "restartPolicy": "Never"}}
    return {"spec": {"template": template, **spec}}


def test_jobs():
    assert problems(r.JOBS, job()) == []
    (found,) = problems(r.JOBS, {"spec": {"template": {"spec": {"containers": [container()]}}}})
    assert found.startswith("spec.template.spec.restartPolicy: Unsupported value")
    (found,) = problems(r.JOBS, job(completionMode="Indexed", parallelism=1))
    assert found.startswith("spec.completions: Required value")
    assert problems(r.JOBS, job(parallelism=3, completions=1), job()) == []
    (found,) = problems(r.JOBS, job(completions=3, parallelism=1), job())
    assert found == "spec.completions: Invalid value: 3: field is immutable"
    other = job()
    other["spec"]["template"]["spec"]["containers"][0]["image"] = "y"
    (found,) = problems(r.JOBS, other, job())
    assert found.startswith("spec.template: Invalid value")
    suspended = job(suspend=True)
    assert problems(r.JOBS, {"spec": {**other["spec"], "suspend": True}}, suspended) == []


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        ({}, "spec.ports: Required value"),
        ({"ports": [{"port": 0}]}, "spec.ports[0].port: Invalid value"),
        ({"ports": [{"port": 1}, {"port": 2, "name": "b"}]}, "spec.ports[0].name: Required value"),
        ({"ports": [{"port": 1, "name": "a"}, {"port": 2, "name": "a"}]},
         'spec.ports[1].name: Duplicate value: "a"'),
        ({"ports": [{"port": 1, "name": "a"}, {"port": 1, "name": "b"}]},
         'spec.ports[1]: Duplicate value: {"port":1,"protocol":"TCP"}'),
        ({"type": "Nope", "ports": [{"port": 1}]}, "spec.type: Unsupported value"),
        ({"type": "ExternalName"}, "spec.externalName: Required value"),
        ({"type": "NodePort", "clusterIP": "None", "ports": [{"port": 1}]},
         "spec.clusterIP: Invalid value"),
        ({"ports": [{"port": 1, "targetPort": "UPPER"}]}, "spec.ports[0].targetPort: Invalid"),
        ({"selector": {"a": "b c"}, "ports": [{"port": 1}]}, "spec.selector: Invalid value"),
    ],
)  # fmt: skip
def test_services(spec, expected):
    found = problems(r.SERVICES, {"spec": spec})
    assert found, expected
    assert found[0].startswith(expected)


def test_cluster_addresses_are_immutable():
    def service(**spec):
        return {"spec": {"ports": [{"port": 1}], **spec}}

    old = service(clusterIP="10.0.0.1")
    (found,) = problems(r.SERVICES, service(clusterIP="10.0.0.2"), old)
    assert found == 'spec.clusterIP: Invalid value: "10.0.0.2": field is immutable'
    external = service(type="ExternalName", externalName="example.com")
    assert problems(r.SERVICES, external, old) == []


def test_config_maps_and_secrets():
    (found,) = problems(r.CONFIG_MAPS, {"data": {"a/b": "x"}})
    assert found.startswith("data[a/b]: Invalid value")
    (found,) = problems(r.CONFIG_MAPS, {"data": {"a": "x"}, "binaryData": {"a": "eA=="}})
    assert "duplicate of key" in found
    (found,) = problems(r.CONFIG_MAPS, {"data": {"a": "x" * 1_100_000}})
    assert "Too long" in found
    fixed = {"data": {"a": "1"}, "immutable": True}
    assert problems(r.CONFIG_MAPS, fixed, fixed) == []
    assert len(problems(r.CONFIG_MAPS, {"data": {"a": "2"}}, fixed)) == 2
    found = problems(r.SECRETS, {"type": "kubernetes.io/tls", "stringData": {"tls.crt": "x"}})
    assert found == ["data[tls.key]: Required value"]
    (found,) = problems(r.SECRETS, {"type": "a"}, {"type": "b"})
    assert found.startswith("type: Invalid value")


def test_claims_and_volumes():
    claim = {"spec": {"accessModes": ["ReadWriteOnce"],
                      "resources": {"requests": {"storage": "1Gi"}}}}  # fmt: skip
    assert problems(r.PERSISTENT_VOLUME_CLAIMS, claim) == []
    bigger = merge_patch(claim, {"spec": {"resources": {"requests": {"storage": "2Gi"}}}})
    assert problems(r.PERSISTENT_VOLUME_CLAIMS, bigger, claim) == []
    bound = merge_patch(claim, {"spec": {"volumeName": "v"}})
    assert problems(r.PERSISTENT_VOLUME_CLAIMS, bound, claim) == []
    moved = merge_patch(bound, {"spec": {"volumeName": "w"}})
    (found,) = problems(r.PERSISTENT_VOLUME_CLAIMS, moved, bound)
    assert found.startswith("spec: Forbidden")
    assert len(problems(r.PERSISTENT_VOLUME_CLAIMS, {"spec": {}})) == 2
    assert len(problems(r.PERSISTENT_VOLUMES, {"spec": {}})) == 2


def test_autoscalers_and_budgets():
    target = {"kind": "Deployment", "name": "d"}
    hpa = {"spec": {"scaleTargetRef": target, "maxReplicas": 2}}
    assert problems(r.HORIZONTAL_POD_AUTOSCALERS, hpa) == []
    for spec in ({"maxReplicas": 0}, {"minReplicas": 3}, {"minReplicas": 0}):
        bad = merge_patch(hpa, {"spec": spec})
        assert problems(r.HORIZONTAL_POD_AUTOSCALERS, bad), spec
    budget = {"spec": {"minAvailable": 1, "maxUnavailable": "50%"}}
    assert len(problems(r.POD_DISRUPTION_BUDGETS, budget)) == 1
    assert problems(r.POD_DISRUPTION_BUDGETS, {"spec": {"minAvailable": "x"}})


def test_roles_and_bindings():
    assert problems(r.ROLES, {"rules": [{"verbs": ["get"], "apiGroups": [""], "resources": ["p"]}]}
                    ) == []  # fmt: skip
    assert len(problems(r.ROLES, {"rules": [{"verbs": []}]})) == 3
    binding = {"roleRef": {"kind": "Role", "name": "a", "apiGroup": "rbac.authorization.k8s.io"}}
    other = merge_patch(binding, {"roleRef": {"name": "b"}})
    (found,) = problems(r.ROLE_BINDINGS, other, binding)
    assert found.endswith("cannot change roleRef")


def test_fixed_fields_of_classes():
    (found,) = problems(r.PRIORITY_CLASSES, {"value": 2}, {"value": 1})
    assert found == "value: Invalid value: 2: field is immutable"
    assert problems(r.STORAGE_CLASSES, {"provisioner": "a"}, {"provisioner": "a"}) == []
    (found,) = problems(r.LEASES, {"spec": {"leaseDurationSeconds": 0}})
    assert found.startswith("spec.leaseDurationSeconds")


def crd(**spec):
    return {
        "metadata": {"name": "foos.x.io"},
        "spec": {
            "group": "x.io",
            "scope": "Namespaced",
            "names": {"kind": "Foo", "plural": "foos"},
            "versions": [
                {
                    "name": "v1",
                    "served": True,
                    "storage": True,
                    "schema": {"openAPIV3Schema": {"type": "object"}},
                }
            ],
            **spec,
        },
    }


def test_custom_resource_definitions():
    assert problems(r.CUSTOM_RESOURCE_DEFINITIONS, crd()) == []
    assert problems(r.CUSTOM_RESOURCE_DEFINITIONS, crd(group="y.io"))[0].startswith("metadata.name")
    versions = [{"name": "v1", "served": True, "storage": False}]
    found = problems(r.CUSTOM_RESOURCE_DEFINITIONS, crd(versions=versions))
    assert [f.partition(":")[0] for f in found] == [
        "spec.versions",
        "spec.versions[0].schema.openAPIV3Schema",
    ]
    (found,) = problems(r.CUSTOM_RESOURCE_DEFINITIONS, crd(scope="Cluster"), crd())
    assert found.startswith("spec.scope")
