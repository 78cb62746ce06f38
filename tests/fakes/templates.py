"""The pod templates that this version renders, as hashes in a committed file.

One line for each workload of each sample: ``own-shared-output``, the annotation by which the
operator decides whether a running workload's template may change (``rendering/rollout.py``).
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path

from ome.api import constants as c
from ome.api import external as x
from ome.apimachinery import resources as r
from ome.apimachinery.objects import annotations_of
from ome.rendering import Rendered

WORKLOADS = (r.DEPLOYMENTS, x.LEADER_WORKER_SETS, x.KNATIVE_SERVICES, x.RAY_CLUSTERS)

INPUTS_CHANGED = """
The INPUT hashes changed: {names}

An upgrade of OME with this change would take every running service for edited and RESTART ITS
PODS. Input hashes (rendering/inputs.py) are fixed: new kinds of input are added so that they are
absent (None) where they say nothing, and nothing is renamed or taken away. Change that, not the
file."""
OUTPUT_CHANGED = """
Other pod templates come out of the same inputs: {names}

Running services keep the template that they have (rendering/rollout.py: same inputs, other output)
until their own next change; new services get the new one. If that is what you want, write the file
anew with OME_WRITE_GOLDEN=1, and say in the commit which templates change and why. If it is not,
the change of the renderer was not meant to reach pods."""


def hashes(rendered: Rendered) -> dict[str, str]:
    return {
        f"{child.resource.kind} {child.key.name}": annotations_of(child.object)[c.A_INPUT_HASH]
        for child in rendered.children
        if child.resource in WORKLOADS and c.A_INPUT_HASH in annotations_of(child.object)
    }


def check(path: Path, found: Mapping[str, Mapping[str, str]]) -> None:
    """Compares with the committed file; says what an upgrade would do where they differ."""
    if os.environ.get("OME_WRITE_GOLDEN"):
        path.write_text(json.dumps(found, indent=1, sort_keys=True) + "\n")
    known: dict[str, dict[str, str]] = json.loads(path.read_text())
    inputs, output = [], []
    for sample, workloads in known.items():
        for name, was in workloads.items():
            now = found.get(sample, {}).get(name, "")
            if now.rpartition("-")[0] != was.rpartition("-")[0]:
                inputs.append(f"{sample}: {name}")
            elif now != was:
                output.append(f"{sample}: {name}")
    assert not inputs, INPUTS_CHANGED.format(names=", ".join(inputs))
    assert not output, OUTPUT_CHANGED.format(names=", ".join(output))
    new = sorted(set(found) - set(known))
    assert not new, f"not in {path.name} yet: {', '.join(new)}; OME_WRITE_GOLDEN=1 adds them"
