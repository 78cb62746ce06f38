"""What the agent decides, without a cluster: paths, wanting, retrying, ordering, deleting."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import pytest

from ome.agent import entries, removal
from ome.agent.downloads import Downloads, Job
from ome.agent.failures import Failures
from ome.agent.messages import Done, Failure, Task, decode, encode
from ome.agent.paths import PathMap
from ome.agent.ranking import model_of
from ome.agent.records import Record, Records
from ome.agent.target import target_of, wanted_here
from ome.apimachinery.objects import Key, Object
from ome.storage import Progress, SourceSpec
from ome.storage.errors import InvalidLocation


def model(name: str = "m", namespace: str = "", **storage: Any) -> Object:
    storage.setdefault("storageUri", "hf://org/model")
    return {
        "metadata": {"name": name, "namespace": namespace, "uid": "u", "generation": 1},
        "spec": {"storage": storage},
    }


def node(**labels: str) -> Object:
    return {"metadata": {"name": "n1", "labels": labels}}


def test_known_prefixes_are_mapped_and_all_other_paths_taken_as_they_are(tmp_path: Path) -> None:
    paths = PathMap({"/raid/models": tmp_path, "/raid/models/big": tmp_path / "other"})
    assert paths.real("/raid/models/a/b") == tmp_path / "a" / "b"
    assert paths.real("/raid/models/big/x") == tmp_path / "other" / "x"
    assert paths.real("/raid/modelsx/a") == Path("/raid/modelsx/a")
    assert paths.real("/mnt/data/models/a") == Path("/mnt/data/models/a")


@pytest.mark.parametrize("path", ["relative", "/raid/models/../x", "/raid/models", "/etc", "/"])
def test_paths_that_lead_astray_are_refused(tmp_path: Path, path: str) -> None:
    with pytest.raises(InvalidLocation):
        PathMap({"/raid/models": tmp_path}).real(path)


def test_a_link_out_of_the_models_root_is_refused(tmp_path: Path) -> None:
    (tmp_path / "root").mkdir()
    (tmp_path / "root" / "out").symlink_to(tmp_path)
    with pytest.raises(InvalidLocation, match="symbolic link"):
        PathMap({"/raid/models": tmp_path / "root"}).real("/raid/models/out/m")


def affinity(*expressions: Object) -> Object:
    terms = [{"matchExpressions": list(expressions)}] if expressions else [{}]
    return {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": terms}}


@pytest.mark.parametrize(
    ("storage", "labels", "wanted"),
    [
        ({}, {}, True),
        ({"storageUri": ""}, {}, False),
        ({"storageUri": "pvc://claim/x"}, {}, False),
        ({"nodeSelector": {"a": "1"}}, {"a": "1"}, True),
        ({"nodeSelector": {"a": "1"}}, {"a": "2"}, False),
        ({"nodeAffinity": affinity()}, {}, False),
        ({"nodeAffinity": affinity({"key": "a", "operator": "Exists"})}, {"a": ""}, True),
        (
            {"nodeAffinity": affinity({"key": "a", "operator": "NotIn", "values": ["1"]})},
            {},
            True,
        ),
        ({"nodeAffinity": {"preferredDuringSchedulingIgnoredDuringExecution": []}}, {}, True),
    ],
)
def test_selectors_mean_what_they_mean_in_kubernetes(
    storage: Object, labels: dict[str, str], wanted: bool
) -> None:
    assert wanted_here(model(**storage), node(**labels)) is wanted


def test_a_model_on_its_way_out_is_not_wanted() -> None:
    leaving = model()
    leaving["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z"
    assert not wanted_here(leaving, node())


def test_the_fingerprint_follows_the_files_and_not_the_secrets(tmp_path: Path) -> None:
    paths = PathMap({"/raid/models": tmp_path})

    def mark(**storage: Any) -> str:
        return target_of(model(**storage), paths).fingerprint

    assert mark() == mark(key="secret") == mark(parameters={"token": "t", "secretKey": "k"})
    assert mark() != mark(storageUri="hf://org/model@v2")
    assert mark() != mark(path="/raid/models/elsewhere")
    assert mark() != mark(parameters={"exclude": "*.bin"})


def test_the_default_place_and_patterns(tmp_path: Path) -> None:
    paths = PathMap({"/raid/models": tmp_path})
    assert target_of(model(), paths).path == tmp_path / "clusterbasemodel" / "m"
    found = target_of(model(namespace="team", parameters={"include": "*.json, *.gguf"}), paths)
    assert found.path == tmp_path / "basemodel" / "team" / "m"
    assert found.include == ("*.json", "*.gguf")


def failures(now: list[float]) -> Failures:
    return Failures(lambda: now[0], lambda: now[0], random.Random(1))


def test_what_can_pass_is_tried_again_with_growing_pauses(tmp_path: Path) -> None:
    now = [0.0]
    kept = failures(now)
    target = target_of(model(), PathMap({"/raid/models": tmp_path}))
    waits = []
    for _ in range(12):
        due = kept.due_in(kept.add(target, Failure("Unreachable", "m", retryable=True), ""))
        assert due is not None
        waits.append(due)
        now[0] += due
    assert waits[0] <= 5 and 300 <= waits[-1] <= 600
    asked = Failure("RateLimited", "m", retryable=True, retry_after=2000)
    assert kept.due_in(kept.add(target, asked, "")) == pytest.approx(2000)


def test_what_needs_a_hand_waits_for_a_new_spec_or_for_a_slow_look(tmp_path: Path) -> None:
    paths = PathMap({"/raid/models": tmp_path})
    kept = failures([0.0])
    first = target_of(model(), paths)
    waits = [kept.due_in(kept.add(first, Failure("NotFound", "m"), "")) or 0 for _ in range(9)]
    assert 150 <= waits[0] <= 300
    assert 1800 <= waits[-1] <= 3600
    changed = model(storageUri="hf://org/right")
    assert kept.get(target_of(changed, paths)) is None
    assert kept.get(first) is not None


def test_messages_survive_the_pipe() -> None:
    spec = SourceSpec("hf", "hf://a/b", "a/b", credentials={"token": "t"})
    task = Task("download", spec, "/x", "k", include=("a",), reuse=("/y",))
    assert Task.decode(task.encode()) == task
    for message in (Progress(phase="downloading"), Done("r", 5, {"a": 1}), Failure("R", "m")):
        assert decode(encode(message)) == message
    assert decode(b"warning: something\n") is None
    assert "'t'" not in repr(task)


class Runs:
    """Stands in for worker processes: ends a run when told to."""

    def __init__(self) -> None:
        self.running: dict[str, asyncio.Event] = {}
        self.order: list[str] = []
        self.most = 0

    async def __call__(self, task: Task, on_progress: Callable[[Progress], None]) -> Done | Failure:
        self.order.append(task.destination)
        event = self.running[task.destination] = asyncio.Event()
        self.most = max(self.most, len(self.running))
        try:
            await event.wait()
        finally:
            del self.running[task.destination]
        return Done()


def job(name: str, destination: str = "") -> Job:
    place = destination or f"/{name}"

    async def prepare() -> Task:
        return Task("download", SourceSpec("hf", "hf://a/b"), place)

    return Job(Key("", name), name, prepare, place)


async def test_slots_are_limited_and_the_ranked_go_first() -> None:
    runs, ended = Runs(), list[Key]()

    async def rank(keys: Iterable[Key]) -> dict[Key, tuple[Any, ...]]:
        return {key: (-int(key.name),) for key in keys}

    downloads = Downloads(2, runs, rank, lambda key, end: ended.append(key) if end else None)
    running = asyncio.create_task(downloads.run())
    for number in range(6):
        await downloads.put(job(str(number)))
    async with asyncio.timeout(20):
        while len(ended) < 6:
            for event in list(runs.running.values())[:1]:
                event.set()
            await asyncio.sleep(0.01)
    assert runs.most == 2
    assert runs.order[:2] == ["/5", "/4"]
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)


async def test_one_destination_is_worked_on_by_one_at_a_time() -> None:
    runs, ended = Runs(), list[Key]()

    async def rank(keys: Iterable[Key]) -> dict[Key, tuple[Any, ...]]:
        return dict.fromkeys(keys, ())

    downloads = Downloads(2, runs, rank, lambda key, end: ended.append(key) if end else None)
    running = asyncio.create_task(downloads.run())
    await downloads.put(job("a", "/same"))
    await downloads.put(job("b", "/same"))
    async with asyncio.timeout(20):
        while len(ended) < 2:
            for event in list(runs.running.values()):
                event.set()
            await asyncio.sleep(0.01)
    assert runs.most == 1
    await downloads.put(job("c"))
    async with asyncio.timeout(20):
        while "/c" not in runs.running:
            await asyncio.sleep(0.01)
    await downloads.cancel(Key("", "c"))
    assert runs.running == {} and downloads.get(Key("", "c")) is None
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)


def pod(path: str, phase: str = "Running", created: str = "2026-01-01T00:00:00Z") -> Object:
    return {
        "metadata": {"name": "p", "namespace": "ns", "creationTimestamp": created},
        "spec": {"volumes": [{"name": "v", "hostPath": {"path": path}}, {"name": "e"}]},
        "status": {"phase": phase},
    }


@pytest.mark.parametrize(
    ("path", "phase", "uses"),
    [
        ("/raid/models/org/m", "Running", True),
        ("/raid/models/org/m/inner", "Pending", True),
        ("/raid/models/org", "Running", True),
        ("/raid/models/org/m2", "Running", False),
        ("/raid/models/org/m", "Succeeded", False),
        ("/raid/models", "Running", False),
        ("/", "Running", False),
    ],
)
def test_a_pod_that_mounts_a_model_uses_it(
    tmp_path: Path, path: str, phase: str, uses: bool
) -> None:
    paths = PathMap({"/raid/models": tmp_path})
    found = removal.pod_using([pod(path, phase)], tmp_path / "org" / "m", paths)
    assert found == ("ns/p" if uses else "")


def test_only_our_own_folders_are_erased(tmp_path: Path) -> None:
    (tmp_path / "org" / "mine").mkdir(parents=True)
    (tmp_path / "org" / "mine" / "file").write_text("x")
    assert not removal.erase(tmp_path / "org" / "mine", [tmp_path])
    assert (tmp_path / "org" / "mine" / "file").exists()


def test_leftovers_of_nobody_go_and_those_of_wanted_models_stay(tmp_path: Path) -> None:
    for name in (".a.partial-00000000", ".b.partial-00000000", ".a.trash-00000000"):
        (tmp_path / "org" / name).mkdir(parents=True)
    (tmp_path / "org" / ".hidden").mkdir()
    wanted = frozenset({tmp_path / "org" / "a"})
    gone = removal.collect(tmp_path, wanted, lambda _folder, _moment: "")
    assert sorted(p.name for p in gone) == [".a.trash-00000000", ".b.partial-00000000"]
    gone = removal.collect(tmp_path, wanted, lambda _folder, _moment: "ns/pod")
    assert gone == []
    assert sorted(p.name for p in (tmp_path / "org").iterdir()) == [
        ".a.partial-00000000",
        ".hidden",
    ]


def test_records_survive_and_nonsense_is_ignored(tmp_path: Path) -> None:
    record = Record("ns", "m", "u", str(tmp_path / "x"), "f", config={"a": 1})
    Records(tmp_path).put(record)
    (tmp_path / ".ome-agent" / "bad.json").write_text("{")
    again = Records(tmp_path)
    assert list(again) == [record]
    assert not record.intact()
    again.drop(record.key)
    assert list(Records(tmp_path)) == []


def test_entries_have_the_fields_that_readers_know() -> None:
    progress = Progress(
        "downloading", 100, 50, 3, 1, 12.34, 4.1, "w", None, updated=1_700_000_000.0
    )
    assert entries.progress_of(progress) == {
        "phase": "downloading",
        "totalBytes": 100,
        "completedBytes": 50,
        "totalFiles": 3,
        "completedFiles": 1,
        "speedBytesPerSec": 12.3,
        "lastUpdated": "2023-11-14T22:13:20Z",
        "etaSeconds": 4,
        "currentFile": "w",
    }
    assert entries.updating(None, Progress(), 2) == {"waitingFor": "2 other downloads"}


@pytest.mark.parametrize(
    ("reference", "expected"),
    [
        ({"name": "m"}, Key("ns", "m")),
        ({"name": "m", "kind": "ClusterBaseModel"}, Key("", "m")),
        ({"name": "c"}, Key("", "c")),
        ({"name": "x"}, None),
        ({}, None),
    ],
)
def test_a_service_waits_for_the_model_that_it_names(
    reference: Object, expected: Key | None
) -> None:
    service = {"metadata": {"namespace": "ns"}, "spec": {"model": reference}}
    known = {Key("ns", "m"): None, Key("", "m"): None, Key("", "c"): None}
    assert model_of(service, known) == expected
