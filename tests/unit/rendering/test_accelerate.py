from __future__ import annotations

from typing import Any

import pytest
from tests.fakes.objects import runtime, service
from tests.unit.rendering.modes import check_golden, child, made

from ome.apimachinery.resources import DEPLOYMENTS
from ome.rendering.accelerate import into_runner, merged_args


@pytest.mark.parametrize(
    ("base", "override", "merged"),
    [
        (["--a", "1", "--b=2", "--c"], ["--b=3"], ["--a", "1", "--b=3", "--c"]),
        (["--a", "1"], ["--a", "2", "--new"], ["--a", "2", "--new"]),
        (["--a 1", "pos"], ["--a 2"], ["--a 2", "pos"]),
        ([], ["--x"], ["--x"]),
        (["--a"], [], ["--a"]),
        (
            ["python -m x \\\n  --a 1 \\\n  --b 2"],
            ["--b 3", "--c"],
            ["python -m x \\\n--a 1 \\\n--b 3 \\\n--c"],
        ),
    ],
)
def test_arguments_are_merged_flag_by_flag(
    base: list[str], override: list[str], merged: list[str]
) -> None:
    assert merged_args(base, override) == merged


def test_parallelism_replaces_what_is_there_and_adds_nothing() -> None:
    overrides = {"tensorParallelismOverride": {"tensorParallelSize": 8, "pipelineParallelSize": 2}}
    runner = {"command": ["run", "--tp-size", "1"], "args": ["--tp-mode=x"]}
    into_runner(runner, {"metadata": {"name": "a"}}, overrides, resources=False)
    assert runner == {"command": ["run", "--tp-size", "8"], "args": ["--tp-mode=x"]}
    script = {"args": ["serve --tensor-parallel-size 4 --x"]}
    into_runner(script, {"metadata": {"name": "a"}}, overrides, resources=False)
    assert script == {"args": ["serve --tensor-parallel-size 8 --x"]}


def test_resources_of_the_class_are_added_and_a_count_of_the_runtime_stays() -> None:
    accelerator = {
        "metadata": {"name": "a"},
        "spec": {"resources": [{"name": "nvidia.com/gpu"}, {"name": "rdma/hca", "quantity": "2"}]},
    }
    runner = {"resources": {"limits": {"nvidia.com/gpu": 8}, "requests": {"nvidia.com/gpu": 8}}}
    into_runner(runner, accelerator, {"environmentOverride": {"B": 1, "A": "x"}}, resources=True)
    both = {"nvidia.com/gpu": 8, "rdma/hca": "2"}
    assert runner["resources"] == {"limits": both, "requests": both}
    assert runner["env"] == [{"name": "A", "value": "x"}, {"name": "B", "value": "1"}]


def test_a_chosen_class_reaches_the_pod_as_in_the_golden_file() -> None:
    affinity = {"podAntiAffinity": {}, "nodeAffinity": {}}
    accelerator = {
        "metadata": {"name": "h100"},
        "spec": {
            "discovery": {"nodeSelector": {"gpu": "h100"}, "affinity": affinity},
            "resources": [{"name": "nvidia.com/gpu", "quantity": "2"}],
        },
    }
    entry = {
        "acceleratorConfig": {
            "h100": {
                "environmentOverride": {"Z": "1", "A": "2"},
                "runtimeArgsOverride": ["--model", "other", "--fast"],
                "tensorParallelismOverride": {"tensorParallelSize": 2},
            }
        }
    }
    given = runtime("with-tp")
    given["spec"]["engineConfig"]["runner"]["args"] += ["--tp-size=1"]
    given["spec"]["engineConfig"]["nodeSelector"] = {"gpu": "any", "disk": "fast"}
    subject = service(engine={"nodeSelector": {"zone": "a"}})
    rendered = made(subject, runtime=given, accelerators={"engine": accelerator}, entry=entry)
    check_golden("accelerator", rendered)
    pod = child(rendered, DEPLOYMENTS, "chat-engine")["spec"]["template"]["spec"]
    assert pod["nodeSelector"]["gpu"] == "h100"
    assert pod["nodeSelector"]["zone"] == "a"
    assert pod["affinity"] == affinity
    container = pod["containers"][0]
    assert "--tp-size=2" in container["args"]
    assert "--fast" in container["args"]
    assert "PARALLELISM_SIZE" not in {item["name"] for item in container["env"]}
    own = made(
        service(engine={"affinity": {"podAffinity": {}}}),
        runtime=given,
        accelerators={"engine": accelerator},
    )
    kept = child(own, DEPLOYMENTS, "chat-engine")["spec"]["template"]["spec"]["affinity"]
    assert kept == {"podAffinity": {}}


def test_what_a_class_gives_comes_in_the_same_order_every_time() -> None:
    accelerator = {"metadata": {"name": "a"}}
    orders = []
    for items in ((("B", "1"), ("A", "2")), (("A", "2"), ("B", "1"))):
        runner: dict[str, Any] = {}
        into_runner(runner, accelerator, {"environmentOverride": dict(items)}, resources=False)
        orders.append(runner["env"])
    assert orders[0] == orders[1]
