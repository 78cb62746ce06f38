"""Creating, replacing and deleting."""

from __future__ import annotations

from tests.cluster.parity.objects import (
    DEPLOYMENTS,
    WIDGETS,
    config_map,
    deployment,
    pod,
    service,
    widget,
)
from tests.cluster.parity.run import Run


async def create(run: Run) -> None:
    maps = run.path("configmaps")
    await run("created", "POST", maps, config_map("one", labels={"x": "y"}))
    await run("again", "POST", maps, config_map("one"))
    await run("no name", "POST", maps, {"apiVersion": "v1", "kind": "ConfigMap"})
    await run("with a revision", "POST", maps, config_map("two", resourceVersion="1"))
    await run("bad name", "POST", maps, config_map("Not_A_Name"))
    await run("bad label", "POST", maps, config_map("two", labels={"a b": "c"}))
    await run("bad label value", "POST", maps, config_map("two", labels={"a": "c d"}))
    await run("bad annotation key", "POST", maps, config_map("two", annotations={"a b": "c d"}))
    await run("bad key", "POST", maps, config_map("two", {"a/b": "1"}))
    await run("other namespace", "POST", maps, config_map("two", namespace="default"))
    await run("other kind", "POST", maps, {**config_map("two"), "kind": "Secret"})
    await run("other version", "POST", maps, {**config_map("two"), "apiVersion": "apps/v1"})
    await run("no kind", "POST", maps, {"metadata": {"name": "two"}})
    await run("not JSON", "POST", maps, b"{nonsense")
    await run("empty", "POST", maps, b"")
    await run("odd finalizer of a custom kind", "POST", run.path(WIDGETS),
              widget("odd", finalizers=["odd"]))  # fmt: skip
    await run("a list", "POST", maps, [])
    await run("no such media", "POST", maps, config_map("two"), media="text/csv")
    await run("no namespace", "POST", "/api/v1/configmaps", config_map("two"))
    missing = "/api/v1/namespaces/no-such/configmaps"
    await run("no such namespace", "POST", missing, config_map("two"))
    await run("no such kind", "POST", run.path("nothings"), config_map("two"))
    await run("no such version", "POST", run.path("apps/v9/deployments"), config_map("two"))
    await run("dry run", "POST", maps, config_map("dry"), dryRun="All")
    await run("after dry run", "GET", run.path("configmaps", "dry"))
    await run("dry run of what", "POST", maps, config_map("dry"), dryRun="Maybe")
    await run("manager", "POST", maps, config_map("managed"), fieldManager="me")
    long = "m" * 129
    await run("manager too long", "POST", maps, config_map("managed2"), fieldManager=long)
    yaml = b"apiVersion: v1\nkind: ConfigMap\nmetadata: {name: yaml}\ndata: {k: v}\n"
    await run("yaml", "POST", maps, yaml, media="application/yaml")
    await run("numbers as data", "POST", maps, config_map("three", {"a": 1}))
    await run("null data", "POST", maps, {**config_map("nulls"), "data": None})
    await run("null value", "POST", maps, config_map("null-value", {"a": None, "b": "c"}))
    await run("generation is the server's", "POST", maps, config_map("gen", generation=7))
    await run("a uid is the server's", "POST", maps, config_map("uid", uid="mine"))
    await run("owner without uid", "POST", maps, config_map("owned", ownerReferences=[{
        "apiVersion": "v1", "kind": "ConfigMap", "name": "one"}]))  # fmt: skip
    await run("finalizer without slash", "POST", maps, config_map("fin", finalizers=["odd"]))


async def generate_name(run: Run) -> None:
    maps = run.path("configmaps")
    for label, base in (("short", "short-"), ("long", "long" * 20 + "-")):
        body = config_map("")
        body["metadata"] = {"generateName": base}
        answer = await run.quiet("POST", maps, body)
        name = answer.body["metadata"]["name"]
        run.note(f"{label} length", len(name))
        run.note(f"{label} base", name[:-5])
        run.note(f"{label} kept", answer.body["metadata"]["generateName"])
    body["metadata"] = {"generateName": "Bad_"}
    answer = await run.api.call("POST", maps, body)
    run.note("bad base", [answer.status, answer.body["reason"]])


async def custom(run: Run) -> None:
    path = run.path(WIDGETS)
    await run("created", "POST", path, widget("one"))
    await run("again", "POST", path, widget("one"))
    await run("status is ignored", "POST", path, {**widget("st"), "status": {"phase": "x"}})
    await run("no spec", "POST", path, {k: v for k, v in widget("ns").items() if k != "spec"})
    await run("strategic is not taken", "PATCH", run.path(WIDGETS, "one"), {"spec": {"size": 4}},
              media="application/strategic-merge-patch+json")  # fmt: skip
    live = (await run("got", "GET", run.path(WIDGETS, "one"))).body
    live["spec"]["size"] = 5
    await run("replaced", "PUT", run.path(WIDGETS, "one"), live)
    await run("stale", "PUT", run.path(WIDGETS, "one"), live)
    del live["metadata"]["resourceVersion"]
    await run("replaced without revision", "PUT", run.path(WIDGETS, "one"), live)
    live["metadata"]["labels"] = {"only": "metadata"}
    await run("metadata only", "PUT", run.path(WIDGETS, "one"), live)
    await run("deleted", "DELETE", run.path(WIDGETS, "one"))
    await run("gone", "GET", run.path(WIDGETS, "one"))


async def update(run: Run) -> None:
    path = run.path("configmaps", "one")
    await run.quiet("POST", run.path("configmaps"), config_map("one"))
    live = (await run("got", "GET", path)).body
    await run("nothing changed", "PUT", path, live)
    after = (await run.quiet("GET", path)).body
    same = after["metadata"]["resourceVersion"] == live["metadata"]["resourceVersion"]
    run.note("revision stays", same)
    changed = {**live, "data": {"a": "2"}}
    await run("changed", "PUT", path, changed)
    await run("stale", "PUT", path, {**changed, "data": {"a": "3"}})
    await run("other name", "PUT", path, config_map("two"))
    await run("other uid", "PUT", path, config_map("one", uid="0-0"))
    await run("missing", "PUT", run.path("configmaps", "missing"), config_map("missing"))
    await run("missing with revision", "PUT", run.path("configmaps", "missing"),
              config_map("missing", resourceVersion="5"))  # fmt: skip
    await run("as a manager", "PUT", path, config_map("one", {"a": "9"}), fieldManager="other")
    await run("immutable", "PUT", path, {**config_map("one", {"a": "9"}), "immutable": True})
    await run("after immutable", "PUT", path, {**config_map("one", {"b": "9"}), "immutable": True})
    await run("bad revision", "PUT", path, config_map("one", resourceVersion="abc"))
    await run("managedFields reset", "PUT", path,
              {**config_map("one", {"a": "9"}, managedFields=[{}]), "immutable": True})  # fmt: skip


async def builtin(run: Run) -> None:
    await run("deployment", "POST", run.path(DEPLOYMENTS), deployment("web", replicas=2))
    live = (await run.quiet("GET", run.path(DEPLOYMENTS, "web"))).body
    live["spec"]["replicas"] = 3
    await run("scaled", "PUT", run.path(DEPLOYMENTS, "web"), live)
    live["spec"]["selector"] = {"matchLabels": {"app": "other"}}
    del live["metadata"]["resourceVersion"]
    await run("selector is fixed", "PUT", run.path(DEPLOYMENTS, "web"), live)
    await run("pod", "POST", run.path("pods"), pod("p", terminationGracePeriodSeconds=7))
    await run("service", "POST", run.path("services"), service("web"))
    await run("headless", "POST", run.path("services"), service("headless", clusterIP="None"))
    job = {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {"name": "job"},
        "spec": {"template": {"spec": {**pod("x")["spec"], "restartPolicy": "Never"}}},
    }
    await run("secret", "POST", run.path("secrets"), {
        "apiVersion": "v1", "kind": "Secret", "metadata": {"name": "s"},
        "stringData": {"k": "v"}})  # fmt: skip
    answer = await run.quiet("POST", run.path("batch/v1/jobs"), job)
    run.note("job fields", sorted(answer.body["spec"]))
    hpa = {
        "apiVersion": "autoscaling/v2",
        "kind": "HorizontalPodAutoscaler",
        "metadata": {"name": "h"},
        "spec": {
            "maxReplicas": 3,
            "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": "web"},
        },
    }
    await run("hpa", "POST", run.path("autoscaling/v2/horizontalpodautoscalers"), hpa)
    budget = {
        "apiVersion": "policy/v1",
        "kind": "PodDisruptionBudget",
        "metadata": {"name": "b"},
        "spec": {"minAvailable": 1, "selector": {"matchLabels": {"app": "web"}}},
    }
    await run("budget", "POST", run.path("policy/v1/poddisruptionbudgets"), budget)
    lease = {
        "apiVersion": "coordination.k8s.io/v1",
        "kind": "Lease",
        "metadata": {"name": "l"},
        "spec": {"holderIdentity": "me", "renewTime": "2026-01-02T03:04:05.123456Z"},
    }
    await run("lease", "POST", run.path("coordination.k8s.io/v1/leases"), lease)
    await run("account", "POST", run.path("serviceaccounts"), {
        "apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "sa"}})  # fmt: skip
    rbac = "rbac.authorization.k8s.io/v1"
    await run("role", "POST", run.path(f"{rbac}/roles"), {
        "apiVersion": rbac, "kind": "Role", "metadata": {"name": "r"},
        "rules": [{"apiGroups": [""], "resources": ["pods"], "verbs": ["get"]}]})  # fmt: skip
    await run("binding", "POST", run.path(f"{rbac}/rolebindings"), {
        "apiVersion": rbac, "kind": "RoleBinding", "metadata": {"name": "r"},
        "subjects": [{"kind": "ServiceAccount", "name": "sa", "namespace": "default"}],
        "roleRef": {"kind": "Role", "name": "r",
                    "apiGroup": "rbac.authorization.k8s.io"}})  # fmt: skip
    claim = {
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "metadata": {"name": "c"},
        "spec": {
            "accessModes": ["ReadWriteOnce"],
            "resources": {"requests": {"storage": "1024Mi"}},
        },
    }
    await run("claim", "POST", run.path("persistentvolumeclaims"), claim)
    event = {
        "apiVersion": "v1",
        "kind": "Event",
        "metadata": {"name": "e"},
        "involvedObject": {"kind": "Pod", "name": "p", "namespace": run.namespace},
        "reason": "Because",
        "message": "so",
        "type": "Normal",
    }
    await run("event", "POST", run.path("events"), event)


async def delete(run: Run) -> None:
    maps, one = run.path("configmaps"), run.path("configmaps", "one")
    await run("missing", "DELETE", one)
    await run.quiet("POST", maps, config_map("one"))
    await run("wrong uid", "DELETE", one, {"preconditions": {"uid": "0-0"}})
    await run("wrong revision", "DELETE", one, {"preconditions": {"resourceVersion": "1"}})
    await run("bad policy", "DELETE", one, propagationPolicy="Sideways")
    await run("dry", "DELETE", one, dryRun="All")
    await run("there", "GET", one)
    await run("deleted", "DELETE", one)
    await run("gone", "GET", one)
    await run.quiet("POST", maps, config_map("fin", finalizers=["example.com/hold"]))
    fin = run.path("configmaps", "fin")
    await run("held", "DELETE", fin)
    await run("held again", "DELETE", fin)
    await run("being deleted", "GET", fin)
    await run("one more finalizer", "PATCH", fin,
              {"metadata": {"finalizers": ["example.com/hold", "example.com/more"]}},
              media="application/merge-patch+json")  # fmt: skip
    await run("still editable", "PATCH", fin, {"data": {"b": "2"}},
              media="application/merge-patch+json")  # fmt: skip
    await run("released", "PATCH", fin, {"metadata": {"finalizers": None}},
              media="application/merge-patch+json")  # fmt: skip
    await run("released is gone", "GET", fin)
    for policy in ("Foreground", "Orphan", "Background"):
        name = policy.lower()
        await run.quiet("POST", maps, config_map(name))
        await run(policy, "DELETE", run.path("configmaps", name),
                  {"propagationPolicy": policy})  # fmt: skip
        await run(f"{policy} after", "GET", run.path("configmaps", name))
    await run.quiet("POST", run.path("pods"), pod("free"))
    await run("pod without node", "DELETE", run.path("pods", "free"))
    await run("pod without node after", "GET", run.path("pods", "free"))
    await run.quiet("POST", run.path("pods"), pod("bound", nodeName="no-such-node"))
    await run("bound pod", "DELETE", run.path("pods", "bound"))
    await run("bound pod after", "GET", run.path("pods", "bound"))
    await run("shorter", "DELETE", run.path("pods", "bound"), {"gracePeriodSeconds": 3})
    await run("longer", "DELETE", run.path("pods", "bound"), {"gracePeriodSeconds": 60})
    await run("at once", "DELETE", run.path("pods", "bound"), {"gracePeriodSeconds": 0})
    await run("at once after", "GET", run.path("pods", "bound"))
    for name in ("c1", "c2"):
        await run.quiet("POST", maps, config_map(name, labels={"which": "some"}))
    await run("collection", "DELETE", maps, labelSelector="which=some")
    await run("left", "GET", maps, labelSelector="which=some")
