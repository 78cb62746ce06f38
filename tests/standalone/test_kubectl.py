"""The real kubectl, unmodified, over TLS: every command that people use on their models."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from tests.standalone.kubectlhome import WIDGET_CRD, Kubectl, pod, serving, widget
from tests.tools import helm, kubectl

from ome.apimachinery.objects import Object
from ome.standalone.apiserver import AdmissionRequest, AdmissionResponse
from ome.standalone.apiserver.engine import Call

__all__ = ["helm", "kubectl"]


class Lines:
    """Pod output from memory; the last line comes only while it is followed."""

    async def logs(self, pod: Object, *, container: str, **how: Any) -> AsyncIterator[bytes]:
        lines = [f"{container} says {n}\n".encode() for n in range(5)]
        if how["tail_lines"] is not None:
            lines = lines[len(lines) - how["tail_lines"] :]
        for line in lines:
            yield line
        if how["follow"]:
            await asyncio.sleep(0)
            yield b"and more\n"


class Warner:
    """Warns of every widget, and refuses one of the name ``bad``."""

    def admit(self, request: AdmissionRequest) -> AdmissionResponse:
        if request.resource.plural != "widgets" or request.object is None:
            return AdmissionResponse()
        if request.name == "bad":
            return AdmissionResponse(message="bad widgets are not welcome")
        obj = request.object
        obj["metadata"].setdefault("annotations", {})["seen"] = "yes"
        return AdmissionResponse(obj, warnings=["widgets are old-fashioned"])


@pytest.fixture
async def k(kubectl: Path, tmp_path: Path) -> AsyncIterator[Kubectl]:
    async with serving(kubectl, tmp_path, logs=Lines()) as made:
        yield made


@pytest.fixture
async def widgets(k: Kubectl) -> Kubectl:
    await k.apply(WIDGET_CRD)
    await k("wait", "--for=condition=established", "crd/widgets.example.com", "--timeout=10s")
    return k


async def lines_until(stream: asyncio.StreamReader, wanted: str) -> str:
    seen = ""
    async with asyncio.timeout(20):
        while wanted not in seen:
            line = await stream.readline()
            assert line, f"the output ended without {wanted!r}: {seen}"
            seen += line.decode()
    return seen


@contextlib.asynccontextmanager
async def running(k: Kubectl, *arguments: str) -> AsyncIterator[asyncio.StreamReader]:
    process = await k.start(*arguments)
    assert process.stdout is not None
    try:
        yield process.stdout
    finally:
        if process.returncode is None:
            process.kill()
        await process.communicate()


# -- seeing --------------------------------------------------------------------------------


async def test_api_resources_shows_built_in_and_custom_kinds(widgets: Kubectl) -> None:
    listed = await widgets("api-resources")
    assert "deployments                       deploy" in listed
    assert "widgets" in listed
    assert "wd" in listed
    assert "example.com/v1" in await widgets("api-versions")


async def test_get_prints_tables_with_the_columns_of_the_kind(widgets: Kubectl) -> None:
    await widgets.apply(widget("one", replicas=2), pod("p"))
    assert (await widgets("get", "wd")).split() == [
        "NAME",
        "SIZE",
        "READY",
        "AGE",
        "one",
        "small",
        "0s",
    ]
    assert "REPLICAS" in await widgets("get", "widgets.example.com", "-o", "wide")
    assert "0/1     Pending" in await widgets("get", "pods")
    everything = await widgets("get", "all")
    assert "widget.example.com/one" in everything
    assert "pod/p" in everything
    assert "Active" in await widgets("get", "namespaces")
    assert "widget.example.com/one" in await widgets("get", "things", "-o", "name")
    sorted_ = await widgets("get", "ns", "--sort-by=.metadata.name", "--no-headers")
    assert sorted_.split()[0] == "default"
    custom = await widgets("get", "wd", "-o", "custom-columns=N:.metadata.name,S:.spec.size")
    assert custom.split() == ["N", "S", "one", "small"]


async def test_get_can_print_objects_and_parts_of_them(widgets: Kubectl) -> None:
    await widgets.apply(widget("one"))
    assert "size: small" in await widgets("get", "wd", "one", "-o", "yaml")
    assert (await widgets("get", "wd/one", "-o", "jsonpath={.spec.replicas}")) == "1"
    listed = await widgets.json("get", "wd")
    assert [item["metadata"]["name"] for item in listed["items"]] == ["one"]
    assert "not found" in await widgets.refused("get", "wd", "two")
    assert await widgets("get", "wd", "two", "--ignore-not-found") == ""


async def test_selectors_choose_objects(widgets: Kubectl) -> None:
    for name, colour in (("a", "red"), ("b", "blue"), ("c", "red")):
        labelled = widget(name)
        labelled["metadata"]["labels"] = {"colour": colour}
        await widgets.apply(labelled)
    chosen = await widgets("get", "wd", "-l", "colour=red", "-o", "name")
    assert chosen.split() == ["widget.example.com/a", "widget.example.com/c"]
    chosen = await widgets("get", "wd", "-l", "colour notin (red)", "-o", "name")
    assert chosen.split() == ["widget.example.com/b"]
    chosen = await widgets("get", "wd", "--field-selector", "metadata.name=c", "-o", "name")
    assert chosen.split() == ["widget.example.com/c"]
    await widgets.apply(pod("p"))
    assert "pod/p" in await widgets(
        "get", "pods", "--field-selector=status.phase=Pending", "-o=name"
    )
    assert await widgets("get", "pods", "--field-selector=spec.nodeName!=", "-o", "name") == ""
    error = await widgets.refused("get", "wd", "--field-selector", "spec.size=small")
    assert "field label not supported" in error


async def test_long_lists_come_in_pages(k: Kubectl) -> None:
    await k.apply(*({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": f"c{n:03}"}}
                    for n in range(25)))  # fmt: skip
    listed = await k("get", "cm", "--chunk-size=10", "-o", "name")
    assert len(listed.split()) == 25


async def test_get_watch_follows_changes_as_table_rows(widgets: Kubectl) -> None:
    await widgets.apply(widget("one"))
    async with running(widgets, "get", "wd", "-w", "--output-watch-events") as output:
        await lines_until(output, "one")
        await widgets("patch", "wd", "one", "--type=merge", "-p", '{"spec":{"size":"large"}}')
        assert "MODIFIED" in await lines_until(output, "large")
        await widgets("delete", "wd", "one")
        await lines_until(output, "DELETED")


async def test_describe_tells_of_an_object_and_its_events(widgets: Kubectl) -> None:
    await widgets.apply(widget("one"), pod("p"))
    uid = (await widgets.json("get", "pod", "p"))["metadata"]["uid"]
    event = {
        "apiVersion": "v1",
        "kind": "Event",
        "metadata": {"name": "p.1", "namespace": "default"},
        "type": "Warning",
        "reason": "Stuck",
        "message": "it does not move",
        "involvedObject": {
            "apiVersion": "v1",
            "kind": "Pod",
            "name": "p",
            "namespace": "default",
            "uid": uid,
        },
        "source": {"component": "tests"},
        "firstTimestamp": "2026-01-01T00:00:00Z",
        "lastTimestamp": "2026-01-01T00:00:00Z",
        "count": 4,
    }
    await widgets("create", "-f", "-", stdin=_yaml(event))
    described = await widgets("describe", "pod", "p")
    assert "it does not move" in described
    assert "Containers:" in described
    assert "Size:      small" in await widgets("describe", "wd", "one")
    assert "it does not move" in await widgets("events")
    assert "Stuck" in await widgets("events", "--for", "pod/p", "--types=Warning")
    assert "pod/p" in await widgets("get", "events", "--field-selector", "involvedObject.name=p")


@pytest.mark.parametrize(
    ("kind", "body"),
    [
        ("deployment", ["create", "deployment", "x", "--image=none", "--replicas=2"]),
        ("service", ["create", "service", "clusterip", "x", "--tcp=80:8080"]),
        ("configmap", ["create", "configmap", "x", "--from-literal=a=b"]),
        ("secret", ["create", "secret", "generic", "x", "--from-literal=a=b"]),
        ("job", ["create", "job", "x", "--image=none"]),
        ("serviceaccount", ["create", "serviceaccount", "x"]),
        ("namespace", ["create", "namespace", "x"]),
        ("quota", ["create", "quota", "x", "--hard=pods=2"]),
        ("pdb", ["create", "poddisruptionbudget", "x", "--selector=a=b", "--min-available=1"]),
        ("role", ["create", "role", "x", "--verb=get", "--resource=pods"]),
        ("rolebinding", ["create", "rolebinding", "x", "--role=x", "--user=me"]),
        ("clusterrole", ["create", "clusterrole", "x", "--verb=get", "--resource=pods"]),
        ("priorityclass", ["create", "priorityclass", "x", "--value=10"]),
        ("ingress", ["create", "ingress", "x", "--rule=a.b/c=d:80"]),
    ],
)
async def test_create_get_describe_and_delete_of_built_in_kinds(
    k: Kubectl, kind: str, body: list[str]
) -> None:
    """kubectl sends these as protobuf."""
    await k(*body)
    assert "x" in await k("get", kind, "x")
    assert "x" in await k("get", kind, "x", "-o", "wide")
    assert "x" in await k("describe", kind, "x")
    assert f"{kind}s" in await k("explain", kind) or "KIND" in await k("explain", kind)
    if kind != "namespace":  # that needs the namespace controller
        await k("delete", kind, "x")
        assert "not found" in await k.refused("get", kind, "x")


async def test_explain_knows_fields_of_built_in_and_custom_kinds(widgets: Kubectl) -> None:
    assert "How much room it takes." in await widgets("explain", "widgets.spec.size")
    assert "containers" in await widgets("explain", "deployment.spec.template.spec")
    assert "readinessProbe" in await widgets("explain", "pods", "--recursive")


async def test_explain_follows_a_change_of_the_crd(widgets: Kubectl) -> None:
    changed = _with_spec_field("weight", {"type": "integer", "description": "In grams."})
    await widgets.apply(changed)
    assert "In grams." in await widgets("explain", "widgets.spec.weight")


async def test_logs_come_from_the_node(k: Kubectl) -> None:
    await k.apply(pod("p"))
    assert await k("logs", "p") == "".join(f"main says {n}\n" for n in range(5))
    assert await k("logs", "p", "--tail=1") == "main says 4\n"
    assert (await k("logs", "p", "-f", "-c", "main")).endswith("and more\n")
    assert "container other is not valid for pod p" in await k.refused("logs", "p", "-c", "other")


# -- changing ------------------------------------------------------------------------------


async def test_apply_creates_changes_and_leaves_alone(widgets: Kubectl) -> None:
    assert "created" in await widgets.apply(widget("one", parts=[{"name": "a"}]))
    version = (await widgets.json("get", "wd", "one"))["metadata"]["resourceVersion"]
    await widgets.apply(widget("one", parts=[{"name": "a"}]))
    before = await widgets.json("get", "wd", "one")
    assert before["spec"] == {"size": "small", "replicas": 1, "parts": [{"name": "a", "count": 3}]}
    assert before["metadata"]["resourceVersion"] == version
    assert "configured" in await widgets.apply(widget("one", size="large"))
    after = await widgets.json("get", "wd", "one")
    assert after["spec"] == {"size": "large", "replicas": 1}
    assert after["metadata"]["generation"] == 2
    assert "unchanged" in await widgets.apply(widget("one", size="large"))


async def test_apply_of_built_in_kinds_merges_lists_by_key(k: Kubectl) -> None:
    def deployment(*names: str) -> dict[str, Any]:
        containers = [{"name": name, "image": "none"} for name in names]
        return {
            "apiVersion": "apps/v1",
            "kind": "Deployment",
            "metadata": {"name": "d"},
            "spec": {
                "selector": {"matchLabels": {"a": "b"}},
                "template": {
                    "metadata": {"labels": {"a": "b"}},
                    "spec": {"containers": containers},
                },
            },
        }

    await k.apply(deployment("one", "two"))
    patch = '{"spec":{"template":{"spec":{"containers":[{"name":"side","image":"none"}]}}}}'
    await k("patch", "deployment", "d", "-p", patch)
    await k.apply(deployment("one"))
    live = await k.json("get", "deployment", "d")
    names = [c["name"] for c in live["spec"]["template"]["spec"]["containers"]]
    assert sorted(names) == ["one", "side"]
    await k.apply(deployment("one"))
    again = await k.json("get", "deployment", "d")
    assert again["metadata"]["resourceVersion"] == live["metadata"]["resourceVersion"]


async def test_a_list_of_objects_can_be_applied_as_it_was_printed(widgets: Kubectl) -> None:
    await widgets.apply(widget("one"), widget("two"))
    printed = await widgets("get", "wd", "-o", "yaml")
    await widgets("delete", "wd", "--all")
    assert (await widgets("apply", "-f", "-", stdin=printed)).count("created") == 2
    listed = {"apiVersion": "v1", "kind": "List", "items": [widget("bad", colour="red")]}
    error = await widgets.refused("apply", "-f", "-", stdin=_yaml(listed))
    assert 'unknown field "spec.colour"' in error


async def test_server_side_apply_finds_conflicts(widgets: Kubectl) -> None:
    await widgets.apply(widget("one"), flags=["--server-side"])
    error = await widgets.refused(
        "apply", "--server-side", "--field-manager=other", "-f", "-",
        stdin=_yaml(widget("one", size="large")),
    )  # fmt: skip
    assert 'conflict with "kubectl": .spec.size' in error
    flags = ["--server-side", "--field-manager=other", "--force-conflicts"]
    await widgets.apply(widget("one", size="large"), flags=flags)
    live = await widgets.json("get", "wd", "one", "--show-managed-fields")
    assert live["spec"]["size"] == "large"
    assert {entry["manager"] for entry in live["metadata"]["managedFields"]} >= {"other"}


async def test_client_side_apply_can_be_followed_by_server_side_apply(widgets: Kubectl) -> None:
    await widgets.apply(widget("one", parts=[{"name": "a"}]))
    await widgets.apply(widget("one", size="large"), flags=["--server-side"])
    assert (await widgets.json("get", "wd", "one"))["spec"] == {"size": "large", "replicas": 1}


async def test_what_the_schema_does_not_allow_is_refused_with_the_field(widgets: Kubectl) -> None:
    def text(**spec: Any) -> str:
        return _yaml(widget("one", **spec))

    error = await widgets.refused("apply", "-f", "-", stdin=text(size="huge"))
    assert 'spec.size: Unsupported value: "huge": supported values: ' in error
    error = await widgets.refused("apply", "-f", "-", stdin=text(replicas=-1))
    assert "spec.replicas" in error
    error = await widgets.refused("apply", "-f", "-", stdin=text(colour="red"))
    assert 'unknown field "spec.colour"' in error
    assert "not found" in await widgets.refused("get", "wd", "one")
    loose = await widgets.run("apply", "--validate=warn", "-f", "-", stdin=text(colour="red"))
    assert loose.code == 0
    assert 'Warning: unknown field "spec.colour"' in loose.err
    assert (await widgets.json("get", "wd", "one"))["spec"] == {"size": "small", "replicas": 1}
    error = await widgets.refused("apply", "-f", "-", stdin="a: b: c")
    assert "error" in error


async def test_create_refuses_what_exists_and_makes_names(widgets: Kubectl) -> None:
    body = _yaml(widget("one"))
    await widgets("create", "-f", "-", stdin=body)
    assert "already exists" in await widgets.refused("create", "-f", "-", stdin=body)
    generated = body.replace('"name": "one"', '"generateName": "made-"')
    made = await widgets(
        "create",
        "-f",
        "-",
        stdin=generated,
    )
    assert made.startswith("widget.example.com/made-")
    assert 'namespaces "nowhere" not found' in await widgets.refused(
        "create", "-n", "nowhere", "-f", "-", stdin=body
    )


async def test_dry_run_changes_nothing(widgets: Kubectl) -> None:
    body = _yaml(widget("one"))
    out = await widgets("apply", "--dry-run=server", "-o", "yaml", "-f", "-", stdin=body)
    assert "replicas: 1" in out
    await widgets.refused("get", "wd", "one")
    await widgets.apply(widget("one"))
    diff = await widgets.run("diff", "-f", "-", stdin=body.replace("small", "large"))
    assert diff.code == 1
    assert "+  size: large" in diff.out
    await widgets("delete", "wd", "one", "--dry-run=server")
    await widgets("get", "wd", "one")


async def test_edit_writes_what_the_editor_leaves(widgets: Kubectl) -> None:
    await widgets.apply(widget("one"))
    editor = "sed -i s/small/large/"
    result = await widgets.run("edit", "wd", "one", env={"EDITOR": editor})
    assert result.code == 0, result.err
    assert (await widgets.json("get", "wd", "one"))["spec"]["size"] == "large"


async def test_patch_in_all_its_forms(widgets: Kubectl) -> None:
    await widgets.apply(widget("one"), pod("p"))
    await widgets("patch", "wd", "one", "--type=merge", "-p", '{"spec":{"replicas":3}}')
    await widgets(
        "patch", "wd", "one", "--type=json", "-p",
        '[{"op":"replace","path":"/spec/size","value":"large"}]',
    )  # fmt: skip
    await widgets("patch", "pod", "p", "-p", '{"metadata":{"labels":{"a":"b"}}}')
    await widgets(
        "patch", "wd", "one", "--subresource=status", "--type=merge", "-p",
        '{"spec":{"size":"small"},"status":{"conditions":[{"type":"Ready","status":"True"}]}}',
    )  # fmt: skip
    live = await widgets.json("get", "wd", "one")
    assert live["spec"] == {"size": "large", "replicas": 3}
    assert live["status"]["conditions"][0]["type"] == "Ready"
    assert live["metadata"]["generation"] == 3
    await widgets("wait", "--for=condition=Ready", "wd/one", "--timeout=5s")
    await widgets("wait", "--for=jsonpath={.spec.size}=large", "wd/one", "--timeout=5s")
    error = await widgets.refused(
        "patch", "wd", "one", "--type=json", "-p", '[{"op":"test","path":"/spec/size","value":"x"}]'
    )
    assert "testing value /spec/size failed" in error


async def test_label_annotate_scale_and_replace(widgets: Kubectl) -> None:
    await widgets.apply(widget("one"))
    await widgets("label", "wd", "one", "colour=red")
    await widgets("annotate", "wd", "one", "note=words")
    await widgets("scale", "wd/one", "--replicas=5")
    await widgets("create", "deployment", "d", "--image=none")
    await widgets("scale", "deployment/d", "--replicas=4")
    assert (await widgets.json("get", "deployment", "d"))["spec"]["replicas"] == 4
    live = await widgets.json("get", "wd", "one")
    assert live["spec"]["replicas"] == 5
    assert live["metadata"]["labels"] == {"colour": "red"}
    live["spec"]["size"] = "large"
    await widgets("replace", "-f", "-", stdin=_yaml(live))
    stale = await widgets.refused("replace", "-f", "-", stdin=_yaml(live))
    assert "the object has been modified" in stale


async def test_wait_returns_when_the_condition_comes_and_fails_when_it_does_not(
    widgets: Kubectl,
) -> None:
    await widgets.apply(widget("one"))
    waiting = asyncio.create_task(
        widgets("wait", "--for=condition=Ready", "wd/one", "--timeout=20s")
    )
    patch = '{"status":{"conditions":[{"type":"Ready","status":"True"}]}}'
    await widgets("patch", "wd", "one", "--subresource=status", "--type=merge", "-p", patch)
    assert "condition met" in await waiting
    error = await widgets.refused("wait", "--for=condition=Gone", "wd/one", "--timeout=1s")
    assert "timed out" in error


# -- deleting ------------------------------------------------------------------------------


async def test_delete_waits_for_finalizers(widgets: Kubectl) -> None:
    held = widget("one")
    held["metadata"]["finalizers"] = ["example.com/hold"]
    await widgets.apply(held)
    deletion = asyncio.create_task(widgets("delete", "wd", "one"))
    await widgets("wait", "--for=jsonpath={.metadata.deletionTimestamp}", "wd/one", "--timeout=20s")
    assert not deletion.done()
    error = await widgets.refused(
        "patch", "wd", "one", "--type=merge", "-p", '{"metadata":{"finalizers":["a/b","c/d"]}}'
    )
    assert "no new finalizers can be added" in error
    await widgets("patch", "wd", "one", "--type=merge", "-p", '{"metadata":{"finalizers":null}}')
    assert "deleted" in await deletion
    assert "not found" in await widgets.refused("get", "wd", "one")


async def test_delete_leaves_the_cascade_to_the_collector(widgets: Kubectl) -> None:
    await widgets.apply(widget("one"), widget("two"))
    await widgets("delete", "wd", "one", "--cascade=foreground", "--wait=false")
    await widgets("delete", "wd", "two", "--cascade=orphan", "--wait=false")
    listed = (await widgets.json("get", "wd"))["items"]
    finalizers = [item["metadata"]["finalizers"] for item in listed]
    assert finalizers == [["foregroundDeletion"], ["orphan"]]


async def test_a_bound_pod_goes_when_its_node_says_so(k: Kubectl) -> None:
    bound = pod("p")
    bound["spec"]["nodeName"] = "node-1"
    await k.apply(bound, pod("free"))
    await k("delete", "pod", "free")
    await k("delete", "pod", "p", "--wait=false", "--grace-period=20")
    live = await k.json("get", "pod", "p")
    assert live["metadata"]["deletionGracePeriodSeconds"] == 20
    assert "Terminating" in await k("get", "pod", "p")
    await k("delete", "pod", "p", "--grace-period=0", "--force")
    assert "not found" in await k.refused("get", "pod", "p")


async def test_delete_by_selector_and_all(widgets: Kubectl) -> None:
    for name in ("a", "b", "c"):
        labelled = widget(name)
        labelled["metadata"]["labels"] = {"first": str(name == "a").lower()}
        await widgets.apply(labelled)
    assert (await widgets("delete", "wd", "-l", "first=true")).count("deleted") == 1
    assert (await widgets("delete", "wd", "--all")).count("deleted") == 2


async def test_a_terminating_namespace_takes_nothing_new(k: Kubectl) -> None:
    await k("create", "namespace", "short")
    await k("create", "configmap", "c", "-n", "short")
    await k("delete", "namespace", "short", "--wait=false")
    assert "Terminating" in await k("get", "namespace", "short")
    error = await k.refused("create", "configmap", "d", "-n", "short")
    assert "is being terminated" in error
    await k("delete", "configmap", "c", "-n", "short")
    live = await k.json("get", "namespace", "short")
    live["spec"]["finalizers"] = []
    path = "/api/v1/namespaces/short/finalize"
    await k("replace", "--raw", path, "-f", "-", stdin=_yaml(live))
    assert "not found" in await k.refused("get", "namespace", "short")


async def test_deleting_a_crd_deletes_its_objects(widgets: Kubectl) -> None:
    held = widget("held")
    held["metadata"]["finalizers"] = ["example.com/hold"]
    await widgets.apply(widget("one"), held)
    await widgets("delete", "crd", "widgets.example.com", "--wait=false")
    listed = await widgets.json("get", "wd")
    assert [item["metadata"]["name"] for item in listed["items"]] == ["held"]
    refused = await widgets.refused("create", "-f", "-", stdin=_yaml(widget("late")))
    assert "terminating" in refused
    await widgets("patch", "wd", "held", "--type=merge", "-p", '{"metadata":{"finalizers":null}}')
    await widgets("wait", "--for=delete", "crd/widgets.example.com", "--timeout=20s")
    assert "could not find the requested resource" in await widgets.refused("get", "widgets")


# -- CRDs, access, admission ---------------------------------------------------------------


async def test_versions_of_a_crd_show_the_same_objects(k: Kubectl) -> None:
    crd = _with_spec_field("weight", {"type": "integer", "default": 7})
    (v1,) = crd["spec"]["versions"]
    crd["spec"]["versions"] = [{**WIDGET_CRD["spec"]["versions"][0], "name": "v1beta1",
                                "storage": False, "deprecated": True}, v1]  # fmt: skip
    await k.apply(crd)
    old = {**widget("one"), "apiVersion": "example.com/v1beta1"}
    result = await k.run("apply", "-f", "-", stdin=_yaml(old))
    assert "example.com/v1beta1 Widget is deprecated" in result.err
    new = await k.json("get", "widgets.v1.example.com", "one")
    assert new["apiVersion"] == "example.com/v1"
    assert new["spec"]["weight"] == 7
    shown = await k.json("get", "widgets.v1beta1.example.com", "one")
    assert shown["apiVersion"] == "example.com/v1beta1"
    assert {**shown, "apiVersion": ""} == {**new, "apiVersion": ""}
    async with running(k, "get", "widgets.v1beta1.example.com", "-w", "-o", "json") as output:
        await lines_until(output, '"apiVersion": "example.com/v1beta1"')


async def test_a_new_default_shows_up_in_objects_that_exist(widgets: Kubectl) -> None:
    await widgets.apply(widget("one"))
    await widgets.apply(_with_spec_field("weight", {"type": "integer", "default": 7}))
    assert (await widgets.json("get", "wd", "one"))["spec"]["weight"] == 7
    assert (await widgets.json("get", "wd"))["items"][0]["spec"]["weight"] == 7


async def test_a_crd_that_makes_no_sense_is_refused(k: Kubectl) -> None:
    crd = {**WIDGET_CRD, "metadata": {"name": "gadgets.example.com"}}
    error = await k.refused("apply", "-f", "-", stdin=_yaml(crd))
    assert 'must be spec.names.plural+"."+spec.group' in error


async def test_without_a_good_token_there_is_no_access(k: Kubectl) -> None:
    assert "yes" in await k("auth", "can-i", "delete", "pods")
    assert "tester" in await k("auth", "whoami")
    await k("config", "set-credentials", "t", "--token=wrong")
    assert "Unauthorized" in await k.refused("get", "--raw", "/api/v1/pods")


async def test_a_service_account_has_tokens_of_its_own(k: Kubectl) -> None:
    await k("create", "serviceaccount", "robot")
    token = (await k("create", "token", "robot", "--duration=20m")).strip()
    await k("config", "set-credentials", "t", f"--token={token}")
    assert "system:serviceaccount:default:robot" in await k("auth", "whoami")
    await k("delete", "serviceaccount", "robot", "--wait=false")
    assert "Unauthorized" in await k.refused("get", "--raw", "/api/v1/pods")


async def test_admission_changes_warns_and_refuses(kubectl: Path, tmp_path: Path) -> None:
    async with serving(kubectl, tmp_path, admission=Warner()) as k:
        await k.apply(WIDGET_CRD)
        result = await k.run("apply", "-f", "-", stdin=_yaml(widget("one")))
        assert "Warning: widgets are old-fashioned" in result.err
        live = await k.json("get", "wd", "one")
        assert live["metadata"]["annotations"]["seen"] == "yes"
        error = await k.refused("apply", "-f", "-", stdin=_yaml(widget("bad")))
        assert "Forbidden" in error
        assert "bad widgets are not welcome" in error


async def test_helm_installs_upgrades_and_removes_a_chart(
    k: Kubectl, helm: Path, tmp_path: Path
) -> None:
    chart = tmp_path / "chart"
    (chart / "templates").mkdir(parents=True)
    (chart / "Chart.yaml").write_text("apiVersion: v2\nname: thing\nversion: 1.0.0\n")
    (chart / "values.yaml").write_text("colour: red\n")
    (chart / "templates" / "cm.yaml").write_text(
        "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: '{{ .Release.Name }}'}\n"
        "data: {colour: '{{ .Values.colour }}'}\n"
    )
    h = Kubectl(helm, k.folder, k.server)
    await h("install", "mine", str(chart))
    assert (await k.json("get", "cm", "mine"))["data"] == {"colour": "red"}
    await h("upgrade", "mine", str(chart), "--set", "colour=blue")
    assert (await k.json("get", "cm", "mine"))["data"] == {"colour": "blue"}
    assert "deployed" in await h("list")
    await h("uninstall", "mine")
    assert "not found" in await k.refused("get", "cm", "mine")


async def test_writes_from_inside_show_up_outside(k: Kubectl) -> None:
    kind = k.server.core.registry.find("", "v1", "configmaps")
    assert kind is not None
    body = {"metadata": {"name": "inner"}, "data": {"a": "b"}}
    await k.server.core.engine.create(kind, "default", body, Call())
    assert "inner" in await k("get", "cm")


def _with_spec_field(name: str, schema: dict[str, Any]) -> dict[str, Any]:
    """The widgets' CRD with one more field in ``spec``."""
    (version,) = WIDGET_CRD["spec"]["versions"]
    root = version["schema"]["openAPIV3Schema"]
    spec = root["properties"]["spec"]
    spec = {**spec, "properties": {**spec["properties"], name: schema}}
    root = {**root, "properties": {**root["properties"], "spec": spec}}
    version = {**version, "schema": {"openAPIV3Schema": root}}
    return {**WIDGET_CRD, "spec": {**WIDGET_CRD["spec"], "versions": [version]}}


def _yaml(obj: Any) -> str:
    """JSON is YAML."""
    return json.dumps(obj)
