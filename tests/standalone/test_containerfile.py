"""The Containerfile without a container engine: what of it can be held against the repository."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path
from typing import NamedTuple

import pytest

from ome.cli.install.applying import chosen
from ome.cli.main import cli

ROOT = Path(__file__).parents[2]


class Step(NamedTuple):
    verb: str
    rest: str


def steps() -> list[Step]:
    lines = (ROOT / "Containerfile").read_text().splitlines()
    found = [line.split(maxsplit=1) for line in lines if line and not line.startswith("#")]
    return [Step(verb, rest) for verb, rest in found]


def stages() -> list[list[Step]]:
    found: list[list[Step]] = []
    for step in steps():
        if step.verb == "FROM":
            found.append([])
        found[-1].append(step)
    return found


def copied() -> list[tuple[str, str]]:
    """(source, destination) of what comes from the repository."""
    pairs = []
    for step in steps():
        if step.verb == "COPY" and not step.rest.startswith("--from="):
            *sources, destination = step.rest.split()
            pairs += [(source, destination) for source in sources]
    return pairs


def last(verb: str) -> str:
    return next(step.rest for step in reversed(stages()[-1]) if step.verb == verb)


def test_bases_are_pinned_and_the_image_holds_only_what_the_build_made() -> None:
    build, image = stages()
    for stage in (build, image):
        base = stage[0].rest.split()[0]
        assert re.fullmatch(r"[\w./-]+:\d+\.\d+\.\d+[\w.-]*", base), base
    assert build[0].rest.split()[0] == image[0].rest.split()[0], "one Python for both"
    assert [step.rest for step in image if step.verb == "COPY"] == [
        "--from=build /opt/ome /opt/ome"
    ]
    assert "RUN" not in [step.verb for step in image]


def test_no_step_needs_a_shell() -> None:
    for step in steps():
        if step.verb in ("RUN", "CMD", "ENTRYPOINT"):
            words = json.loads(step.rest)
            assert not {"sh", "bash", "-c"} & set(words), step


def test_what_is_copied_exists_and_is_let_through() -> None:
    let_through = (ROOT / ".containerignore").read_text().splitlines()
    assert copied()
    for source, _ in copied():
        assert (ROOT / source).exists(), source
        assert f"!{source}" in let_through, source


@pytest.mark.timeout(180)
def test_what_is_copied_is_enough_to_build_the_package(tmp_path: Path) -> None:
    context = tmp_path / "build"
    context.mkdir()
    for source, destination in copied():
        target = context / destination
        if (ROOT / source).is_dir():
            ignored = shutil.ignore_patterns("__pycache__")
            shutil.copytree(ROOT / source, target, ignore=ignored)
        else:
            shutil.copy(ROOT / source, target)
    command = [sys.executable, "-m", "pip", "wheel", "--no-deps", "--quiet", "--wheel-dir"]
    done = subprocess.run(
        [*command, str(tmp_path / "wheels"), "."],
        cwd=context,
        capture_output=True,
        text=True,
        timeout=150,
        env={**os.environ, "PIP_DISABLE_PIP_VERSION_CHECK": "1"},
    )
    assert done.returncode == 0, done.stderr
    (wheel,) = (tmp_path / "wheels").glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        inside = archive.namelist()
        (scripts,) = (name for name in inside if name.endswith("entry_points.txt"))
        assert "ome = ome.cli.entry:main" in archive.read(scripts).decode()
    assert "ome/cli/operator.py" in inside
    assert any(name.startswith("ome/_catalog/") for name in inside)


def test_it_runs_what_the_chart_runs_and_as_whom() -> None:
    assert json.loads(last("ENTRYPOINT")) == ["ome"]
    scripts = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["scripts"]
    assert "ome" in scripts
    user, _, group = last("USER").partition(":")
    pods = [o for o in chosen("ome", {})[0] if o["kind"] in ("Deployment", "DaemonSet")]
    assert len(pods) == 2
    for workload in pods:
        pod = workload["spec"]["template"]["spec"]
        (container,) = pod["containers"]
        assert "command" not in container, "the image's entry point"
        subcommand, *options = container["args"]
        command = cli.get_command(None, subcommand)  # type: ignore[arg-type]
        assert command is not None, subcommand
        known = {option for parameter in command.params for option in parameter.opts}
        assert {option.partition("=")[0] for option in options} <= known
        if workload["kind"] == "Deployment":
            context = pod["securityContext"]
            assert (context["runAsUser"], context["runAsGroup"]) == (int(user), int(group))
            assert context["runAsNonRoot"] is True


def test_what_was_not_tried_is_said() -> None:
    assert "NOT BUILT" in (ROOT / "Containerfile").read_text()
    assert "not been built" in (ROOT / "charts" / "ome" / "README.md").read_text()
