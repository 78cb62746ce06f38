"""``ome quickstart``: the whole way from nothing to an answer, with the time each stage took."""

from __future__ import annotations

import contextlib
import os
import shlex
import signal
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from types import FrameType

import click

from ome.apimachinery.objects import Object, condition
from ome.cli import checks, manifests, openai, prepare, waiting
from ome.cli.api import Api, LocalTransport
from ome.cli.commands import apply as applying
from ome.cli.commands import down
from ome.cli.commands.up import start_detached
from ome.cli.errors import CliError
from ome.cli.home import Home
from ome.cli.output import Output
from ome.cli.target import Context

QUESTION = "What is the capital of France? Answer in one sentence."
SERVICE = "smollm2"


@click.command()
@click.option("--once", is_flag=True, help="Stop by itself after the answer.")
@click.option("--data", metavar="DIR", help="Data folder.  [./.quickstart in a source tree]")
@click.option("--timeout", type=float, default=900.0, show_default=True, metavar="SECONDS")
@click.pass_obj
def command(context: Context, once: bool, data: str | None, timeout: float) -> None:
    """Start OME in a data folder of its own, serve a small model, ask it something.

    Shows how long each stage takes. Keeps running until Ctrl-C, or stops by itself with --once.
    An 'ome up' of yours is not touched.
    """
    home = _home(data or context.data)
    output = context.output
    _signals_as_interrupts()
    mine = not home.is_running()
    try:
        quick = _Quickstart(home, output, timeout)
        quick.run(mine)
        _finish(home, output, quick, once, mine)
    except KeyboardInterrupt:
        output.clear()
        output.say("interrupted")
        raise
    finally:
        if mine:
            _stop(home, output)


def _home(given: str | None) -> Home:
    if given or os.environ.get("OME_DATA"):
        return Home.find(given)
    if _example().is_relative_to(Path.cwd()):
        return Home(Path.cwd() / ".quickstart")
    return Home(Home.find().root.with_name("ome-quickstart"))


def _example() -> Path:
    """The example of the source tree; the same text comes with the package."""
    return prepare.catalog_dir().parent / "examples" / "quickstart.yaml"


def _signals_as_interrupts() -> None:
    """A closed terminal or a polite kill ends things as Ctrl-C does."""

    def interrupt(_number: int, _frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, interrupt)


class _Quickstart:
    """The stages, in order; ``stages`` keeps their names and seconds."""

    def __init__(self, home: Home, output: Output, timeout: float) -> None:
        self.home, self.output, self.timeout = home, output, timeout
        self.stages: list[tuple[str, float]] = []
        self.gateway = ""

    def run(self, start: bool) -> None:
        entries = _manifests()
        if start:
            with self._stage("OME is up"):
                state = start_detached(self.home, Output(quiet=True))
        else:
            state = self.home.read_state()
            self.output.say(f"using the OME that runs already on {self.home.root}")
        self.gateway = str(state["gateway"])
        api = Api(LocalTransport(self.home.socket), "default", local=True)
        began = time.monotonic()
        self._apply(api, entries)
        service = self._until_ready(api, began)
        self._ask(api, service, began)

    @contextlib.contextmanager
    def _stage(self, name: str) -> Iterator[None]:
        self.output.status(f"{name} …")
        began = time.monotonic()
        yield
        self._done(name, time.monotonic() - began)

    def _done(self, name: str, took: float) -> None:
        self.stages.append((name, took))
        self.output.say(f"✓ {name} ({took:.1f} s)")

    def _apply(self, api: Api, entries: list[manifests.Manifest]) -> None:
        for entry, resource in zip(entries, checks.check_all(entries), strict=True):
            applying.apply_one(api, entry, resource, force=True, dry_run=False)
        api.transport.warnings()

    def _until_ready(self, api: Api, began: float) -> Object:
        """Notes when the model is on disk, when the engine runs and when Ready is true."""
        seen: dict[str, float] = {}
        marks = ("model is on disk", "engine runs", "service is ready: it has really answered")
        last = began

        def note(name: str) -> None:
            nonlocal last
            if name not in seen:
                now = seen[name] = time.monotonic()
                self._done(name, now - last)
                last = now

        def tick(service: Object) -> None:
            if marks[0] not in seen:
                model = waiting.model_of(api, service)
                if ((model or {}).get("status") or {}).get("state") == "Ready":
                    note(marks[0])
            engine = condition(service, "EngineReady") or {}
            if engine.get("status") == "True":
                note(marks[1])
            if waiting.is_ready(service):
                note(marks[2])

        return waiting.until_ready(
            api, self.output, "default", SERVICE, self.timeout, tick=tick, announce=False
        )

    def _ask(self, api: Api, service: Object, began: float) -> None:
        self.output.say("")
        self.output.print(f"You: {QUESTION}")
        self.output.print(f"{SERVICE}: ", end="")
        asked = time.monotonic()
        first = 0.0
        words = 0
        messages = [{"role": "user", "content": QUESTION}]
        for piece in openai.ask(
            api, service, self.gateway, messages, max_tokens=64, temperature=0.0
        ):
            first = first or time.monotonic()
            words += 1
            self.output.raw(piece.encode())
        ended = time.monotonic()
        self.output.print()
        if not words:
            raise CliError("the model answered nothing", remedy=f"ome logs {SERVICE} shows why")
        self.stages.append(("question to first token", first - asked))
        self.stages.append((f"answer ({words} tokens)", ended - first))
        self.from_yaml = first - began


def _manifests() -> list[manifests.Manifest]:
    path = _example()
    if not path.exists():
        raise CliError("the example is missing", where=str(path), remedy="Reinstall OME")
    return manifests.read([str(path)])


def _finish(home: Home, output: Output, quick: _Quickstart, once: bool, mine: bool) -> None:
    output.print()
    rows = [(name, f"{took:.1f} s") for name, took in quick.stages]
    rows.append(("from YAML to first token", f"{quick.from_yaml:.1f} s"))
    output.table(("STAGE", "TOOK"), rows)
    output.print()
    for line in _next(home, quick.gateway, stopped=once and mine):
        output.print(line)
    if mine and not once:
        output.say("\nOME keeps running; Ctrl-C stops it, engine too.")
        _until_interrupted(home)


def _next(home: Home, gateway: str, *, stopped: bool) -> list[str]:
    ome = shlex.quote(_shown(Path(sys.argv[0]))) if Path(sys.argv[0]).name == "ome" else "ome"
    if stopped:
        return [
            "Next:",
            f"  {ome} up --detach",
            f"  {ome} apply -f {shlex.quote(_shown(_example()))} --wait",
            f"  {ome} chat {SERVICE} 'Why is the sky blue?'",
        ]
    here = f"{ome} --data {shlex.quote(_shown(home.root))}"
    body = f'{{"model": "{SERVICE}", "messages": [{{"role": "user", "content": "Hello"}}]}}'
    return [
        "Next, in another terminal:",
        f"  {here} chat {SERVICE} 'Why is the sky blue?'",
        f"  {here} describe isvc {SERVICE}",
        f"  curl {gateway}/v1/chat/completions -d '{body}'",
    ]


def _shown(path: Path) -> str:
    with contextlib.suppress(ValueError):
        return str(path.absolute().relative_to(Path.cwd()))
    return str(path)


def _until_interrupted(home: Home) -> None:
    try:
        while home.is_running():
            time.sleep(0.5)
    except KeyboardInterrupt:
        return
    raise CliError("OME has ended", where=str(home.root), remedy=f"Its log is {home.log}")


def _stop(home: Home, output: Output) -> None:
    """Whatever happens, nothing of ours is left running."""
    if home.is_running() or (home.node / "pods").is_dir():
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, signal.SIG_IGN)
        down.stop(home, output)
