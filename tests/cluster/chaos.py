"""Services that come, change and go while something goes wrong; and what must be true in the end.

What is done is chosen by a seed. In the end the namespace must hold the very children that the same
services have in another namespace, where nothing ever went wrong. Some *steady* services are
never touched: whatever happens, they must not lose a pod or their readiness.
"""

from __future__ import annotations

import math
import os
import random
import signal
import time
from collections import Counter
from pathlib import Path
from typing import Any

from tests.cluster.bed.controlplane import ControlPlane
from tests.cluster.conftest import Kubectl
from tests.cluster.direct import (
    CHILDREN,
    DEPLOYMENTS,
    INFERENCE_SERVICES,
    PODS,
    RUNTIMES,
    SCALERS,
    Direct,
    Refused,
)
from tests.cluster.faultproxy import FaultProxy
from tests.cluster.faults import (
    LABEL,
    children,
    essence,
    life,
    prepared,
    runtime,
    service,
    until_ready,
)
from tests.cluster.omehome import Home, quiet
from tests.cluster.replicas import Replica, kubeconfig, until

Object = dict[str, Any]
STEADY = {
    "steady": {"minReplicas": 2},
    "steady-scaled": {"minReplicas": 1, "maxReplicas": 3},
}
NAMES = 6
OPTIONS = ("--no-webhooks", "--lease-seconds", "1")
"""Services can be written while no operator is there."""
_ROUTER = {"runner": {"name": "router", "image": "router:1"}}
_BY_SYSTEM = ("kube-root-ca.crt", "default")


class StormyHome(Home):
    """Without webhooks, and with a proxy before the API server for operators that are to suffer."""

    def __init__(self, bed: ControlPlane, admin: Kubectl, folder: Path) -> None:
        super().__init__(bed, admin, folder)
        self.hooks = []
        self.proxy = FaultProxy(bed.url)

    def install(self) -> None:
        super().install()
        way = self.folder / "stormy.kubeconfig"
        self.stormy = kubeconfig(self.bed, self.token, way, self.proxy.url)

    def calm(self) -> Replica:
        """An operator with a direct way that leads; the only one."""
        for running in self.replicas:
            if running.process.poll() is None:
                return running
        made = self.start(*OPTIONS)
        made.until_ready()
        made.until_leads()
        return made

    def stop_all(self) -> None:
        for running in self.replicas:
            self.end(running)

    def close(self) -> None:
        super().close()
        self.proxy.close()


class Chaos:
    """One namespace, and its twin for the comparison at the end."""

    def __init__(self, home: Home, name: str, seed: int) -> None:
        self.home, self.dice = home, random.Random(seed)
        self.seed = seed
        self.there, self.twin = prepared(home, name, f"{name}-twin")
        self.wanted: dict[str, Object] = {}
        self.image = 0
        self.done: Counter[str] = Counter()
        self._runtimes(self.there)
        for steady, engine in STEADY.items():
            made = service(steady, name, **engine)
            made["spec"]["runtime"]["name"] = "calm"
            self.there.apply(INFERENCE_SERVICES, made)
        until_ready(self.there, *STEADY)
        for steady in STEADY:
            until("its pods run", lambda steady=steady: len(self._life()[steady]["pods"]))  # type: ignore[misc]
        quiet(home)
        self.before = self._life()

    def _life(self) -> Object:
        return life(self.there, *STEADY)

    def _runtimes(self, where: Direct) -> None:
        made = runtime(f"engine:{self.image}")
        made["spec"]["routerConfig"] = _ROUTER
        where.apply(RUNTIMES, made)
        calm = runtime()
        calm["metadata"]["name"] = "calm"
        where.apply(RUNTIMES, calm)

    # -- what people do -----------------------------------------------------------------------

    def step(self) -> None:
        """One thing. While the API server is away it is tried again."""
        missing = [f"s{n}" for n in range(NAMES) if f"s{n}" not in self.wanted]
        what = self.dice.choices(
            ("create", "change", "delete", "recreate", "runtime", "hand"), (6, 6, 2, 2, 1, 2)
        )[0]
        if what == "create" and not missing:
            what = "change"
        if what not in ("create", "runtime") and not self.wanted:
            what = "create"
        name = self.dice.choice(missing if what == "create" else [*self.wanted, ""])
        name = name or next(iter(self.wanted), "s0")
        self.done[what] += 1
        if what in ("delete", "recreate"):
            self._insist(lambda: self.there.delete(INFERENCE_SERVICES, name))
            self.wanted.pop(name, None)
        if what in ("create", "change", "recreate"):
            made = self._service(name)
            self.wanted[name] = made
            self._insist(lambda: self.there.apply(INFERENCE_SERVICES, made))
        if what == "runtime":
            self.image += 1
            self._insist(lambda: self._runtimes(self.there))
        if what == "hand":
            self._insist(lambda: self._by_hand(name))

    def _service(self, name: str) -> Object:
        dice = self.dice
        engine: Object = {"minReplicas": dice.randint(1, 3)}
        if dice.random() < 0.3:
            engine["maxReplicas"] = 4
        if dice.random() < 0.5:
            engine["runner"] = {"env": [{"name": "TURN", "value": str(dice.randint(0, 999))}]}
        made = service(name, self.there.namespace, **engine)
        if dice.random() < 0.3:
            made["spec"]["router"] = {"minReplicas": 1}
        if dice.random() < 0.3:
            made["metadata"]["labels"] = {"team": str(dice.randint(0, 9))}
        return made

    def _by_hand(self, name: str) -> None:
        """A child that somebody deletes or takes the label of, if there is one already."""
        live = self.there.find(INFERENCE_SERVICES, name)
        found = sorted(children(self.there, name)[name]) if live is not None else []
        if not found:
            return
        kind, child = self.dice.choice(found)
        if self.dice.random() < 0.5:
            self.there.delete(kind, child)
        else:
            try:
                self.there.patch(kind, child, {"metadata": {"labels": {LABEL: None}}})
            except Refused as error:
                if error.code != 404:
                    raise

    def _insist(self, act: Any) -> None:
        end = time.monotonic() + 60
        while True:
            try:
                act()
                return
            except (Refused, OSError) as error:
                passes = not isinstance(error, Refused) or error.code in (409, 429, 500, 503, 504)
                if not passes or time.monotonic() > end:
                    raise
                time.sleep(0.1)

    # -- what must be true in the end ---------------------------------------------------------

    def check_steady(self) -> None:
        assert self._life() == self.before, f"seed {self.seed}"

    def check(self, seconds: float = 120) -> None:
        """An operator runs, and nothing goes wrong any more."""
        why = f"seed {self.seed}, {dict(self.done)}"
        self._runtimes(self.twin)
        for obj in self.twin.list(INFERENCE_SERVICES):
            if obj["metadata"]["name"] not in self.wanted:  # deleted since the last comparison
                self.twin.delete(INFERENCE_SERVICES, obj["metadata"]["name"])
        for made in self.wanted.values():
            twin = {**made, "metadata": {**made["metadata"], "namespace": self.twin.namespace}}
            self.twin.apply(INFERENCE_SERVICES, twin)
        until_ready(self.twin, *self.wanted, seconds=seconds)
        until_ready(self.there, *self.wanted, *STEADY, seconds=seconds)
        last: list[str] = []

        def same() -> bool:
            last[:] = self.differences()
            return not last

        try:
            until("children are as in the twin", same, seconds)
        except AssertionError as error:
            raise AssertionError(f"{why}: {error}\n" + "\n".join(last)[:4000]) from None
        quiet(self.home)
        assert self.differences() == [], why
        self.check_steady()

    def differences(self) -> list[str]:
        """Between this namespace and its twin, whoever owns what: duplicates and orphans too."""
        found = []
        for kind in (*CHILDREN, INFERENCE_SERVICES):
            ours, theirs = self._all(kind, self.there), self._all(kind, self.twin)
            for name in sorted({*ours, *theirs}):
                if ours.get(name) != theirs.get(name):
                    found.append(
                        f"{kind} {name}: {ours.get(name)}\nin the twin: {theirs.get(name)}"
                    )
        found += self._miscounted()
        return found

    def _all(self, kind: str, where: Direct) -> dict[str, Any]:
        scaled = {s["metadata"]["name"] for s in where.list(SCALERS)}
        owners = {s["metadata"]["uid"] for s in where.list(INFERENCE_SERVICES)}
        found: dict[str, Any] = {}
        for obj in where.list(kind):
            name = obj["metadata"]["name"]
            if name in _BY_SYSTEM or name in STEADY or _of_steady(obj):
                continue
            if kind == INFERENCE_SERVICES:
                found[name] = obj["spec"]
                continue
            owner = (obj["metadata"].get("ownerReferences") or [{}])[0].get("uid")
            bare = essence(obj)
            if kind == DEPLOYMENTS and name in scaled:
                bare["spec"].pop("replicas")  # the autoscaler's
            found[name] = {**bare, "owned": owner in owners}
        return found

    def _miscounted(self) -> list[str]:
        """Replicas outside of their bounds, and pods that no replica accounts for."""
        found = []
        bounds = {s["metadata"]["name"]: s["spec"] for s in self.there.list(SCALERS)}
        wanted: Counter[str] = Counter()
        for obj in self.there.list(DEPLOYMENTS):
            name, count = obj["metadata"]["name"], obj["spec"]["replicas"]
            wanted[_service(obj)] += count
            low, high = _bounds(bounds.get(name), count)
            if not low <= count <= high:
                found.append(f"{name} has {count} replicas, allowed are {low} to {high}")
        pods = Counter(
            _service(pod)
            for pod in self.there.list(PODS)
            if "deletionTimestamp" not in pod["metadata"]
        )
        return found if pods == wanted else [*found, f"pods: {pods}, replicas: {wanted}"]

    def close(self) -> None:
        for where in (self.there, self.twin):
            Direct(self.home.bed).delete("api/v1/namespaces", where.namespace)


def _service(obj: Object) -> str:
    name: str = obj["metadata"]["name"]
    return (obj["metadata"].get("labels") or {}).get(LABEL) or name


def _bounds(scaler: Object | None, count: int) -> tuple[int, int]:
    return (scaler["minReplicas"], scaler["maxReplicas"]) if scaler else (count, count)


def _of_steady(obj: Object) -> bool:
    owners = obj["metadata"].get("ownerReferences") or ()
    return any(owner["name"] in STEADY for owner in owners)


# -- kill -9 --------------------------------------------------------------------------------------


def kill_again_and_again(
    home: StormyHome, chaos: Chaos, kills: int, until_time: float = math.inf
) -> Counter[str]:
    """Kills the operator ``kills`` times: while it starts, before or after one of its writes, or at
    some moment. Meanwhile people go on. How often each was done, by ``until_time``."""
    dice, proxy = random.Random(chaos.seed + 1), home.proxy
    how: Counter[str] = Counter()
    for _ in range(kills):
        if time.monotonic() > until_time:
            break
        replica = home.start(*OPTIONS, config=home.stormy)
        moment = dice.choices(("start", "before", "after", "some time"), (1, 4, 4, 1))[0]
        left = dice.randint(1, 25)
        end = time.monotonic() + (dice.random() * 1.5 if moment == "start" else 20)
        if moment == "some time":
            end = time.monotonic() + 2 + dice.random() * 3
        else:
            proxy.trap = _Trap(replica, moment, left)
        while replica.process.poll() is None and time.monotonic() < end:
            chaos.step()
            time.sleep(dice.random() * 0.1)
        proxy.trap = None
        caught = replica.process.poll() is not None or moment == "start"
        how[moment if caught else "some time"] += 1
        home.end(replica)
        replica.process.wait(10)
        assert replica.process.returncode == -signal.SIGKILL, replica.lines()[-5:]
        chaos.check_steady()
    return how


class _Trap:
    """Kills the operator at one of its writes, those of the Lease and of Events aside."""

    def __init__(self, replica: Replica, moment: str, left: int) -> None:
        self._replica, self._moment, self._left = replica, moment, left

    def __call__(self, moment: str, method: str, path: str) -> None:
        if moment != self._moment or "/leases" in path or "/events" in path:
            return
        self._left -= 1
        if self._left == 0:
            os.kill(self._replica.process.pid, signal.SIGKILL)
