"""Benchmarks from the command line: making one, following it, reading what it has measured."""

from __future__ import annotations

import json
import re
import subprocess
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from ome.api import resources as ours
from ome.apimachinery.objects import Object
from ome.apimachinery.resources import CONFIG_MAPS
from ome.benchmark import job as jobs
from ome.benchmark import plot, summary
from ome.cli import benchenv
from ome.cli.api import Api
from ome.cli.errors import CliError, usage
from ome.cli.home import Home
from ome.cli.output import Output

POLL_SECONDS = 0.3
FORMATS = ("table", "json", "csv", "md")
CONCURRENCIES = (1, 4)
_STEP = re.compile(r"(Collecting|Downloading|Installing collected|Building) ?(\S*)")


def new_name(api: Api, base: str) -> str:
    """``chat-1``, ``chat-2``, …: the first that is free."""
    taken = {o["metadata"]["name"] for o in api.list(ours.BENCHMARK_JOBS, api.namespace)}
    return next(f"{base}-{n}" for n in range(1, len(taken) + 2) if f"{base}-{n}" not in taken)


def benchmark(
    name: str,
    namespace: str,
    service: Object,
    *,
    task: str,
    scenarios: Sequence[str],
    concurrencies: Sequence[int],
    requests: int,
    minutes: int,
    output: str,
) -> Object:
    meta = service["metadata"]
    spec: Object = {
        "endpoint": {
            "inferenceService": {"name": meta["name"], "namespace": meta["namespace"]},
        },
        "task": task,
        "trafficScenarios": list(scenarios),
        "numConcurrency": list(concurrencies),
        "maxTimePerIteration": minutes,
        "maxRequestsPerIteration": requests,
        "outputLocation": {"storageUri": output},
    }
    return {
        "apiVersion": ours.BENCHMARK_JOBS.api_version,
        "kind": "BenchmarkJob",
        "metadata": {"name": name, "namespace": namespace},
        "spec": spec,
    }


def output_for(api: Api, home: Home, given: str, name: str) -> str:
    """Where the results go: on one machine into the data folder, if nothing else is said."""
    if given:
        return given
    if api.local:
        return f"local://{home.bench / 'results' / api.namespace / name}"
    raise usage(
        "say where the results go", "Give --to, for example --to pvc://results/chat or s3://…"
    )


def need_environment(home: Home, output: Output) -> None:
    """On one machine: genai-bench must be there before a benchmark is made."""
    if not benchenv.is_complete(home.bench_environment):
        output.say("genai-bench is not installed yet")
        install(home, output)


def install(home: Home, output: Output, python: str = "") -> str:
    """Makes the environment, or anew where it is another OME's; its version. Raises CliError with
    pip's own last words."""
    folder = home.bench_environment
    if not benchenv.is_complete(folder):
        base = benchenv.base_python(python)
        if base is None:
            raise CliError(
                f"genai-bench runs on Python 3.11 and 3.12, and {python or 'there'} is none",
                remedy="Name one: ome bench install --python /usr/bin/python3.12",
            )
        folder.parent.mkdir(parents=True, exist_ok=True)
        began = time.monotonic()
        for command in benchenv.commands(folder, base):
            _step(command, output, began, folder)
        benchenv.finish(folder)
        output.clear()
        output.say(f"genai-bench installed in {time.monotonic() - began:.0f} s")
    found = benchenv.version(home.bench_python)
    if found is None:
        raise CliError("genai-bench was installed and can't be found", where=str(folder))
    return found


def _step(command: Sequence[str], output: Output, began: float, folder: Path) -> None:
    """Runs one command; on a terminal the seconds go on while it says nothing."""
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    lines: list[str] = []

    def read() -> None:
        assert process.stdout is not None
        lines.extend(line.rstrip() for line in process.stdout)

    reader = threading.Thread(target=read, daemon=True)
    reader.start()
    step, seen = "preparing", 0
    while reader.is_alive():
        reader.join(POLL_SECONDS)
        for line in lines[seen:]:
            if found := _STEP.match(line):
                step = f"{found[1]} {found[2]}".strip()
        seen = len(lines)
        waited = time.monotonic() - began
        text = f"installing genai-bench ({benchenv.SIZE}): {step} [{waited:.0f} s]"
        output.status(text, fact=step.partition(" ")[0])
    if process.wait():
        said = [x for x in lines if x.lower().startswith("error")] or lines or ["no word"]
        raise CliError(
            f"genai-bench could not be installed: {said[-1]}",
            where=str(folder),
            remedy=f"It needs the package index that pip is configured for, {benchenv.SIZE} of "
            "disk, and Python 3.11 or 3.12",
        )


def follow(api: Api, output: Output, name: str, namespace: str, timeout: float) -> Object:
    """The benchmark when it has ended; says meanwhile how far it is."""
    began = time.monotonic()
    while True:
        found = api.find(ours.BENCHMARK_JOBS, name, namespace)
        if found is None:
            raise CliError(f"BenchmarkJob {name} is gone", remedy="It was deleted meanwhile")
        status = found.get("status") or {}
        ended = status.get("completionTime") or status.get("state") == "Failed"
        if ended:
            output.clear()
            return found
        waited = time.monotonic() - began
        text = f"{name}: {status.get('details') or 'not looked at yet'}"
        output.status(f"{text} [{waited:.0f} s]", fact=re.sub(r"; about .*", "", text))
        if waited > timeout:
            raise CliError(
                f"BenchmarkJob {name} has not ended after {timeout:.0f} s",
                remedy=f"It goes on; 'ome bench show {name}' shows it later",
            )
        time.sleep(POLL_SECONDS)


def runs_of(api: Api, name: str, namespace: str) -> list[Object]:
    found = api.find(CONFIG_MAPS, jobs.results_name(name), namespace)
    return summary.runs_of((found or {}).get("data"))


def runs_or_fail(api: Api, name: str, namespace: str) -> list[Object]:
    found = runs_of(api, name, namespace)
    if found:
        return found
    job = api.find(ours.BENCHMARK_JOBS, name, namespace)
    if job is None:
        raise CliError(f"there is no BenchmarkJob {name}", remedy="'ome bench list' shows them")
    status = job.get("status") or {}
    why = status.get("failureMessage") or status.get("details") or "it was not looked at yet"
    raise CliError(f"BenchmarkJob {name} has measured nothing: {why}")


def show(output: Output, headings: Sequence[str], rows: Sequence[Sequence[str]], form: str) -> None:
    """A table as text, CSV or Markdown."""
    if form == "md":
        output.print(summary.markdown(headings, rows), end="")
    elif form == "csv":
        import csv
        import io

        text = io.StringIO()
        csv.writer(text, lineterminator="\n").writerows([headings, *rows])
        output.print(text.getvalue(), end="")
    else:
        output.table(headings, rows)


def show_runs(output: Output, runs: Sequence[Object], form: str) -> None:
    if form == "json":
        output.object(list(runs), "json")
    elif form == "csv":
        output.print(summary.as_csv(runs), end="")
    else:
        show(output, *summary.table(runs), form)


# -- pictures ------------------------------------------------------------------------------------

_PNG = """
import json, sys
import matplotlib
matplotlib.use("Agg")
from matplotlib import pyplot
title, lines = json.load(sys.stdin)
figure, axes = pyplot.subplots(figsize=(9, 5.5))
for name, points in lines:
    axes.plot([p[0] for p in points], [p[1] for p in points], marker="o", label=name)
    for p in points:
        axes.annotate(p[2], p[:2], textcoords="offset points", xytext=(6, 6), fontsize=8)
axes.set(title=title, xlabel="output tokens/s", ylabel="time to first token, p50, ms")
axes.set_xlim(left=0); axes.set_ylim(bottom=0); axes.grid(alpha=0.3); axes.legend(fontsize=8)
figure.savefig(sys.argv[1], dpi=130, bbox_inches="tight")
"""


def draw(home: Home, path: str, title: str, lines: Sequence[plot.Series]) -> None:
    """SVG is drawn here, PNG by the matplotlib of genai-bench's environment."""
    target = Path(path)
    if target.suffix == ".svg":
        try:
            target.write_text(plot.svg(title, lines))
        except OSError as error:
            raise CliError(f"can't be written: {error.strerror}", where=path) from error
        return
    if target.suffix != ".png":
        raise usage(f"a picture is .svg or .png, not {target.suffix or target.name!r}")
    try:
        drawn = subprocess.run(
            [str(home.bench_python), "-c", _PNG, str(target)],
            input=json.dumps([title, lines]),
            capture_output=True,
            text=True,
        )
    except OSError as error:
        raise CliError(
            "PNG pictures need genai-bench's environment, which is not installed",
            remedy="'ome bench install' installs it; .svg needs nothing",
        ) from error
    if drawn.returncode:
        last = (drawn.stderr.strip().splitlines() or ["no word"])[-1]
        raise CliError(f"the picture could not be drawn: {last}", where=path)


# -- sweeps --------------------------------------------------------------------------------------


def parse_settings(texts: Sequence[str]) -> list[tuple[list[str], list[Any]]]:
    """Each field once, with all its values in order."""
    found: dict[str, tuple[list[str], list[Any]]] = {}
    for text in texts:
        path, values = parse_setting(text)
        _, known = found.setdefault(".".join(path), (path, []))
        known += [value for value in values if value not in known]
    return list(found.values())


def parse_setting(text: str) -> tuple[list[str], list[Any]]:
    """``engine.minReplicas=1|2``: the path below spec, and the values to try."""
    path, equals, values = text.partition("=")
    if not equals or not path or not values:
        raise usage(f"{text!r} is no setting", "Write for example --set 'engine.minReplicas=1|2'")
    return path.removeprefix("spec.").split("."), [_value(v) for v in values.split("|")]


def _value(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return text


def combinations(
    settings: Sequence[tuple[list[str], list[Any]]],
) -> Iterator[list[tuple[list[str], Any]]]:
    if not settings:
        yield []
        return
    path, values = settings[0]
    for value in values:
        for rest in combinations(settings[1:]):
            yield [(path, value), *rest]


def title_of(chosen: Sequence[tuple[list[str], Any]]) -> str:
    """As it could be written on the command line."""
    written = [
        f"{'.'.join(path)}={value if isinstance(value, str) else json.dumps(value)}"
        for path, value in chosen
    ]
    return ", ".join(written)


def patch_of(chosen: Sequence[tuple[list[str], Any]]) -> Object:
    """A merge patch of the service's spec."""
    spec: Object = {}
    for path, value in chosen:
        inner = spec
        for part in path[:-1]:
            inner = inner.setdefault(part, {})
        inner[path[-1]] = value
    return {"spec": spec}


def before(service: Mapping[str, Any], path: Sequence[str]) -> tuple[list[str], Any]:
    """What brings back what is there now: the path and its value; or the first part of the path
    that is not there, and None, with which a merge patch takes it away."""
    found: Any = service.get("spec") or {}
    for depth, part in enumerate(path, 1):
        if not isinstance(found, Mapping) or part not in found:
            return list(path[:depth]), None
        found = found[part]
    return list(path), found
