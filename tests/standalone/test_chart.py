"""The Helm chart against `ome install`, with the real helm."""

from __future__ import annotations

import functools
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from tests.tools import helm

from ome.cli.install import SETTINGS, applying, chart, settings

__all__ = ["helm"]

ROOT = Path(__file__).parents[2]
CHART = ROOT / "charts" / "ome"
Object = dict[str, Any]

LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


def run(helm: Path, *arguments: str) -> str:
    done = subprocess.run([str(helm), *arguments], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr or done.stdout
    return done.stdout


def documents(text: str) -> list[Object]:
    parts = re.split(r"^---\s*$", text, flags=re.MULTILINE)
    return [doc for part in parts if (doc := _document(re.sub(r"(?m)^# Source: .*$", "", part)))]


@functools.cache
def _document(text: str) -> Object:
    """The CRDs are the same each time, and take seconds."""
    return yaml.load(text.strip(), Loader=LOADER) or {}


def by_title(objects: list[Object]) -> dict[str, Object]:
    found = {applying.title(obj): obj for obj in objects}
    assert len(found) == len(objects), "an object is there twice"
    return found


def rendered(helm: Path, namespace: str, *assignments: str) -> dict[str, Object]:
    sets = [part for a in assignments for part in ("--set-json", a)]
    # The CRDs are long and no templates: once is enough.
    crds = [] if assignments else ["--include-crds"]
    text = run(helm, "template", "ome", str(CHART), *crds, "--namespace", namespace, *sets)
    return by_title(documents(text))


def installed(namespace: str, *assignments: str) -> dict[str, Object]:
    wanted, _ = applying.chosen(namespace, settings.parse(assignments))
    left_out = ["Namespace", *(["CustomResourceDefinition"] if assignments else [])]
    return by_title([obj for obj in wanted if obj["kind"] not in left_out])


def test_the_committed_chart_is_what_the_manifests_give() -> None:
    wanted = chart.files()
    present = {str(p.relative_to(CHART)) for p in CHART.rglob("*") if p.is_file()}
    assert present == set(wanted), "run python tools/chart.py"
    for path, text in wanted.items():
        assert (CHART / path).read_text() == text, f"{path}: run python tools/chart.py"


def test_helm_finds_nothing_wrong_with_the_chart(helm: Path) -> None:
    assert "0 chart(s) failed" in run(helm, "lint", "--strict", str(CHART))


CASES: dict[str, tuple[str, ...]] = {
    "defaults": (),
    "no agent": ("agent.enabled=false",),
    "few rights, no network policy": (
        "agent.readSecretsEverywhere=false",
        "networkPolicy.enabled=false",
    ),
    "prometheus": ("serviceMonitor.enabled=true", 'serviceMonitor.labels={"release":"prom"}'),
    "catalog": ("catalog.enabled=true", 'catalog.models=["qwen3-0-6b","qwen3-8b"]'),
    "everything else": (
        "operator.replicas=3",
        'operator.extraEnv=[{"name":"HTTPS_PROXY","value":"http://proxy:3128"}]',
        'operator.tolerations=[{"key":"a","operator":"Exists"}]',
        'operator.nodeSelector={"pool":"system"}',
        'imagePullSecrets=[{"name":"pull"}]',
        'agent.extraArgs=["--host-path=/mnt/a=/mnt/a"]',
        'agent.extraVolumes=[{"name":"a","hostPath":{"path":"/mnt/a"}}]',
        'agent.extraVolumeMounts=[{"name":"a","mountPath":"/mnt/a"}]',
        "config.ingress.disableIngressCreation=false",
        'config.ingress.additionalIngressDomains=["a.example","b.example"]',
        "config.kedaConfig.enableKeda=false",
    ),
}


@pytest.mark.parametrize("namespace", ["ome", "123"])
@pytest.mark.parametrize("assignments", CASES.values(), ids=CASES)
def test_helm_renders_what_ome_install_applies(
    helm: Path, namespace: str, assignments: tuple[str, ...]
) -> None:
    ours, theirs = installed(namespace, *assignments), rendered(helm, namespace, *assignments)
    assert set(ours) == set(theirs)
    for title, wanted in ours.items():
        assert theirs[title] == wanted, title


def test_a_dry_run_prints_what_helm_renders(helm: Path) -> None:
    command = [sys.executable, "-m", "ome.cli", "install", "--dry-run", "--namespace", "here"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    printed = by_title(documents(done.stdout))
    assert printed.pop("Namespace here")
    assert printed == rendered(helm, "here")


def test_helm_refuses_a_setting_of_the_wrong_type(helm: Path) -> None:
    done = subprocess.run(
        [str(helm), "template", str(CHART), "--set", "operator.replicas=many"],
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode != 0
    assert "replicas" in done.stderr


def test_every_setting_has_an_effect(helm: Path) -> None:
    """Each one is used somewhere in the templates."""
    templates = "".join(p.read_text() for p in (CHART / "templates").glob("*.yaml"))
    for setting in SETTINGS:
        assert f".Values.{setting.path}" in templates, setting.path
