"""``ome bench``: measure services, keep the results, compare them."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, TypeVar

import click

from ome.benchmark.scenarios import TASKS as KNOWN_TASKS
from ome.benchmark.scenarios import TYPICAL
from ome.cli.errors import FAILURE
from ome.cli.options import format_option, target
from ome.cli.target import Context

TASKS = tuple(KNOWN_TASKS)
FORMATS = ("table", "json", "csv", "md")
F = TypeVar("F", bound=Callable[..., Any])


@click.group()
def command() -> None:
    """Measure services with genai-bench, and compare what was measured."""


def measuring(function: F) -> F:
    """The options of whatever measures."""
    for option in reversed(
        (
            click.option(
                "--scenario",
                "scenarios",
                multiple=True,
                metavar="SHAPE",
                help="D(IN,OUT), N(MEAN,DEV)/(MEAN,DEV), U(LOW,HIGH)/(LOW,HIGH), E(TOKENS), "
                "R(DOCUMENT,QUERY), I(WIDTH,HEIGHT); may be repeated.  [by the task]",
            ),
            click.option(
                "--concurrency",
                "concurrencies",
                type=click.IntRange(min=1),
                multiple=True,
                metavar="N",
                help="Requests at a time (or in a batch); may be repeated.  [1, 4]",
            ),
            click.option(
                "--requests",
                type=click.IntRange(min=1),
                default=50,
                show_default=True,
                metavar="N",
                help="A run ends after so many, or a few more.",
            ),
            click.option(
                "--minutes",
                type=click.IntRange(min=1),
                default=5,
                show_default=True,
                metavar="N",
                help="A run ends after so many.",
            ),
            click.option("--task", type=click.Choice(TASKS), default=TASKS[0], show_default=True),
            click.option(
                "--to",
                "uri",
                default="",
                metavar="URI",
                help="Where genai-bench's files go.  [a folder of the data folder; on a cluster "
                "pvc://CLAIM/PATH or a bucket must be named]",
            ),
            click.option(
                "--timeout", type=float, default=7200.0, metavar="SECONDS", help="Longest wait."
            ),
            click.option("--plot", default="", metavar="FILE", help="A picture, .svg or .png."),
            format_option(*FORMATS),
        )
    ):
        function = option(function)
    return function


@command.command("install")
@click.option("--python", default="", metavar="PYTHON", help="A Python 3.11 or 3.12 to use.")
@target
def install(context: Context, python: str) -> None:
    """Install genai-bench in an environment of its own, below the data folder (1.5 GB)."""
    from ome.cli import benching

    found = benching.install(context.home, context.output, python)
    context.output.print(f"genai-bench {found}: {context.home.bench_environment}")


@command.command("isvc")
@click.argument("service")
@click.option("--name", default="", help="Of the BenchmarkJob; SERVICE-1, -2, … if not given.")
@click.option("--wait/--no-wait", default=True, help="Follow it to its end.  [wait]")
@measuring
@target
def isvc(context: Context, service: str, name: str, wait: bool, **options: Any) -> int:
    """Measure SERVICE: each --scenario with each --concurrency, --requests each."""
    from ome.cli import benching

    api = context.api()
    found = _service(context, service)
    if api.local:
        benching.need_environment(context.home, context.output)
    made = name or benching.new_name(api, found["metadata"]["name"])
    _create(context, found, made, options)
    if not wait:
        context.output.print(f"BenchmarkJob {api.namespace}/{made} created")
        return 0
    return _finish(context, made, options)


@command.command("list")
@format_option("table", "json")
@target
def list_(context: Context, form: str) -> None:
    """Benchmarks, with their state and what came of them."""
    from ome.api import resources as ours
    from ome.cli import views

    api = context.api()
    found = api.list(ours.BENCHMARK_JOBS, api.namespace)
    if form == "json":
        context.output.object(found, "json")
        return
    rows = []
    for job in found:
        status = job.get("status") or {}
        endpoint = (job.get("spec") or {}).get("endpoint") or {}
        named = endpoint.get("inferenceService") or {}
        what = named.get("name") or (endpoint.get("endpoint") or {}).get("url") or ""
        age = views.age(job, time.time())
        text = str(status.get("details") or "")
        rows.append((job["metadata"]["name"], what, str(status.get("state") or ""), age, text))
    context.output.table(("NAME", "MEASURES", "STATE", "AGE", "WHY"), rows)


@command.command("show")
@click.argument("name")
@click.option("--plot", default="", metavar="FILE", help="A picture, .svg or .png.")
@format_option(*FORMATS)
@target
def show(context: Context, name: str, plot: str, form: str) -> None:
    """What the benchmark NAME has measured (so far)."""
    from ome.api import resources as ours
    from ome.cli import benching

    api = context.api()
    runs = benching.runs_or_fail(api, name, api.namespace)
    job = api.find(ours.BENCHMARK_JOBS, name, api.namespace) or {}
    status = job.get("status") or {}
    context.output.say(f"{name}: {status.get('state')}: {status.get('details')}")
    benching.show_runs(context.output, runs, form)
    _draw(context, plot, name, [("", runs)])


@command.command("compare")
@click.argument("a")
@click.argument("b")
@click.option("--plot", default="", metavar="FILE", help="A picture, .svg or .png.")
@format_option(*FORMATS)
@target
def compare(context: Context, a: str, b: str, plot: str, form: str) -> None:
    """Benchmark B against benchmark A: ratios, and whether a difference is more than chance.

    A and B may each be several benchmarks of the same thing, separated by commas; from three on
    each side, throughput gets a verdict too.
    """
    from ome.benchmark import compare as comparing
    from ome.cli import benching
    from ome.cli.errors import CliError

    api = context.api()
    left, right = (
        comparing.together(
            [benching.runs_or_fail(api, name, api.namespace) for name in side.split(",")]
        )
        for side in (a, b)
    )
    lines = comparing.compare(left, right)
    for text in comparing.unmatched(left, right):
        context.output.warn(text)
    if not lines:
        raise CliError(
            f"{a} and {b} have no run in common",
            remedy="Measure both with the same --scenario and --concurrency",
        )
    if form == "json":
        context.output.object(
            [
                {
                    "scenario": x.scenario,
                    "concurrency": x.concurrency,
                    "figure": x.figure,
                    "a": x.a,
                    "b": x.b,
                    "ratio": x.ratio,
                    "verdict": x.verdict,
                }
                for x in lines
            ],
            "json",
        )
    else:
        benching.show(context.output, comparing.HEADINGS, comparing.rows(lines), form)
    _draw(context, plot, f"{a} and {b}", [(a, left), (b, right)])


@command.command("sweep")
@click.argument("service")
@click.option(
    "--set",
    "settings",
    multiple=True,
    required=True,
    metavar="PATH=VALUE",
    help="A field below spec, and a value to try (several: 'PATH=V1|V2'); may be repeated, also "
    "for the same field. Several fields are combined.",
)
@measuring
@target
def sweep(context: Context, service: str, settings: tuple[str, ...], **options: Any) -> int:
    """Measure SERVICE under each combination of settings, and show which are worth having.

    The service is changed for each and gets its own values back at the end, also after Ctrl-C.
    """
    from ome.api import resources as ours
    from ome.cli import benching, waiting

    api = context.api()
    found = _service(context, service)
    meta = found["metadata"]
    parsed = benching.parse_settings(settings)
    if api.local:
        benching.need_environment(context.home, context.output)
    before = [benching.before(found, path) for path, _ in parsed]
    name = ""
    measured: list[tuple[str, list[dict[str, Any]]]] = []
    failures = 0
    try:
        for chosen in benching.combinations(parsed):
            title = benching.title_of(chosen)
            context.output.say(f"measuring {title}")
            patch = benching.patch_of(chosen)
            api.patch(ours.INFERENCE_SERVICES, meta["name"], patch, meta["namespace"])
            waiting.until_ready(
                api, context.output, meta["namespace"], meta["name"], float(options["timeout"])
            )
            new = benching.new_name(api, meta["name"])
            _create(context, found, new, options)
            name = new
            job = benching.follow(api, context.output, name, api.namespace, options["timeout"])
            if job["status"]["state"] != "Completed":
                failures += 1
                context.output.warn(f"{title}: {job['status'].get('failureMessage')}")
            measured.append((title, benching.runs_of(api, name, api.namespace)))
            name = ""
    finally:
        if name:  # it would go on and measure something else
            api.delete(ours.BENCHMARK_JOBS, name, api.namespace)
        back = benching.patch_of(before)
        api.patch(ours.INFERENCE_SERVICES, meta["name"], back, meta["namespace"])
    _show_sweep(context, measured, options)
    return FAILURE if failures else 0


def _show_sweep(
    context: Context, measured: list[tuple[str, list[dict[str, Any]]]], options: dict[str, Any]
) -> None:
    """All runs, and which of one scenario no other one beats in throughput and latency at once."""
    from ome.benchmark import compare as comparing
    from ome.benchmark.summary import number
    from ome.cli import benching

    entries = [
        (title, run)
        for title, runs in measured
        for run in runs
        if run.get("outputTokensPerSecond") and (run.get("e2e_latency") or {}).get("p50")
    ]
    front: dict[int, bool] = {}
    for scenario in {run["scenario"] for _, run in entries}:
        own = [i for i, (_, run) in enumerate(entries) if run["scenario"] == scenario]
        points = [
            (entries[i][1]["outputTokensPerSecond"], entries[i][1]["e2e_latency"]["p50"])
            for i in own
        ]
        front |= dict(zip(own, comparing.pareto(points), strict=True))
    headings = ("settings", "scenario", "at a time", "out tok/s", "E2E ms p50", "Pareto front")
    rows = [
        (
            title,
            str(run["scenario"]),
            str(run["concurrency"]),
            number(run["outputTokensPerSecond"]),
            number(run["e2e_latency"]["p50"] * 1000),
            "yes" if front[i] else "",
        )
        for i, (title, run) in enumerate(entries)
    ]
    if options["form"] == "json":
        listed = [
            {"settings": title, "paretoFront": front[i], **run}
            for i, (title, run) in enumerate(entries)
        ]
        context.output.object(listed, "json")
    else:
        benching.show(context.output, headings, rows, options["form"])
    _draw(context, options["plot"], "sweep", measured)


def _service(context: Context, name: str) -> dict[str, Any]:
    from ome.api import resources as ours
    from ome.cli.commands.get import not_found

    api = context.api()
    namespace, slash, short = name.rpartition("/")
    where = namespace if slash else api.namespace
    found = api.find(ours.INFERENCE_SERVICES, short, where)
    if found is None:
        there = [o["metadata"]["name"] for o in api.list(ours.INFERENCE_SERVICES, where)]
        raise not_found(ours.INFERENCE_SERVICES, short, where, there)
    return found


def _create(context: Context, service: dict[str, Any], name: str, options: dict[str, Any]) -> None:
    from ome.api import resources as ours
    from ome.apimachinery.errors import StatusError
    from ome.cli import benching
    from ome.cli.errors import CliError, from_status

    api = context.api()
    if api.find(ours.BENCHMARK_JOBS, name, api.namespace) is not None:
        raise CliError(
            f"BenchmarkJob {name} exists already, and what it has measured stays",
            remedy=f"Choose another --name, or 'ome delete benchmarkjob {name}' first",
        )
    obj = benching.benchmark(
        name,
        api.namespace,
        service,
        task=options["task"],
        scenarios=options["scenarios"] or (TYPICAL[options["task"]],),
        concurrencies=options["concurrencies"] or benching.CONCURRENCIES,
        requests=options["requests"],
        minutes=options["minutes"],
        output=benching.output_for(api, context.home, options["uri"], name),
    )
    try:
        api.apply(ours.BENCHMARK_JOBS, obj, force=False, dry_run=False)
    except StatusError as error:
        raise from_status(error, f"BenchmarkJob {name}") from error
    for text in api.transport.warnings():
        context.output.warn(text)


def _finish(context: Context, name: str, options: dict[str, Any]) -> int:
    from ome.cli import benching

    api = context.api()
    try:
        job = benching.follow(api, context.output, name, api.namespace, options["timeout"])
    except KeyboardInterrupt:
        context.output.say(
            f"{name} goes on: 'ome bench show {name}' shows it, 'ome delete benchmarkjob {name}' "
            "ends it"
        )
        raise
    status = job["status"]
    runs = benching.runs_of(api, name, api.namespace)
    if runs:
        benching.show_runs(context.output, runs, options["form"])
        _draw(context, options["plot"], name, [("", runs)])
    if status["state"] != "Completed":
        context.output.error(str(status.get("failureMessage") or status.get("details")))
        return FAILURE
    context.output.say(f"{name}: {status['details']}")
    return 0


def _draw(
    context: Context, path: str, title: str, measured: list[tuple[str, list[dict[str, Any]]]]
) -> None:
    if not path:
        return
    from ome.benchmark import plot
    from ome.cli import benching

    lines = [line for name, runs in measured for line in plot.series(name, runs)]
    benching.draw(context.home, path, title, lines)
    context.output.say(f"picture: {path}")
