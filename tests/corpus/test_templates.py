"""An upgrade of OME restarts nothing: the pod templates of all samples, against a committed file.

Every sample with the corpus' models and runtimes is decided about as the operator would, with
everything installed. What can't be rendered from the corpus alone is in the file with its reason.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import yaml
from tests.corpus import corpus
from tests.fakes import templates

from ome.api import external as x
from ome.apimachinery import resources as r
from ome.controllers.decide import World, decide
from ome.controllers.settings import read
from ome.rendering import Capabilities
from ome.selection import compile_runtimes

GOLDEN = Path(__file__).parent / "templates.json"
SECTION = {"disableIngressCreation": True, "ingressDomain": "svc.cluster.local"}


def samples() -> dict[str, dict[str, Any]]:
    found = {}
    for path in sorted((corpus.ROOT / "samples").rglob("*.yaml")):
        for document in yaml.safe_load_all(path.read_text()):
            if document and document.get("kind") == "InferenceService":
                meta = document["metadata"]
                meta.setdefault("namespace", "default")
                meta["uid"] = "sample"
                where = path.relative_to(corpus.ROOT / "samples")
                found[f"{where} {meta['namespace']}/{meta['name']}"] = document
    return found


def test_no_pod_template_of_any_sample_changes_with_an_upgrade() -> None:
    settings = read({"data": {"ingress": json.dumps(SECTION)}})
    runtimes = compile_runtimes(list(corpus.runtimes().values()))
    everything = Capabilities(frozenset({r.INGRESSES, *x.ALL}))
    found: dict[str, dict[str, str]] = {}
    for name, service in samples().items():
        decision = decide(
            World(
                service=service,
                settings=settings,
                runtimes=runtimes,
                model=lambda _kind, wanted: corpus.models().get(wanted),
                capabilities=everything,
            )
        )
        if decision.rendered is not None:
            found[name] = templates.hashes(decision.rendered)
            assert found[name], name
        else:
            assert decision.problem is not None
            found[name] = {"problem": decision.problem.code}
    rendered = [name for name, hashes in found.items() if "problem" not in hashes]
    assert len(rendered) > 40, f"only {len(rendered)} of {len(found)} samples could be rendered"
    templates.check(GOLDEN, found)
