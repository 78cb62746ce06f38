"""When a pod template may change: "no surprise restarts".

Every workload carries :data:`~ome.api.constants.A_INPUT_HASH` with three short hashes,
``own-shared-output``:

* *own*: what the service itself says (spec, labels, annotations);
* *shared*: what it takes from others (runtime, model, accelerator, configuration);
* *output*: the template that came of it.

From these, :func:`decide` tells what happens to the live template:

=========================== =================================================================
live state                  what is applied
=========================== =================================================================
no workload                 the rendered template
no hash, or the manager of  the live template; only the service's next own change rolls it
before has written it
same inputs, same output    the rendered template, which heals edits made by hand
same inputs, other output   the live template: OME renders differently now, nobody asked to roll
own inputs changed          the rendered template
only shared inputs changed  the rendered template if the service's turn has come and nothing
                            holds it, else the live template and a sentence that says what waits
=========================== =================================================================
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ome.api import constants as c
from ome.apimachinery.objects import Object, annotations_of, metadata
from ome.rendering.facts import ADOPTED


def digest(value: Any) -> str:
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:12]


@dataclass(frozen=True)
class Inputs:
    """The two input hashes of one component, and names for the sentence about a pending change."""

    own: str
    shared: str
    shared_names: str

    @classmethod
    def of(cls, own: Object, shared: Object, shared_names: str) -> Inputs:
        """What is absent is left out, so that a later kind of input changes no hash by itself."""
        return cls(digest(_present(own)), digest(_present(shared)), shared_names)

    def and_shared(self, settings: Object | None) -> Inputs:
        """With a part of the configuration as one more shared input."""
        if settings is None:
            return self
        names = f"{self.shared_names.removesuffix(' changed')} or the configuration changed"
        return Inputs(self.own, digest([self.shared, settings]), names)


def _present(inputs: Object) -> Object:
    return {key: value for key, value in inputs.items() if value is not None}


@dataclass(frozen=True)
class Decision:
    template: Object
    annotation: str
    pending: str = ""


def decide(
    rendered: Object,
    live: Object | None,
    inputs: Inputs,
    *,
    may_roll: bool,
    held: bool,
    path: tuple[str, ...] = ("spec", "template"),
) -> Decision:
    """Which template to apply. ``live`` is the live workload, ``path`` leads to its template."""
    output = digest(rendered)
    fresh = Decision(rendered, f"{inputs.own}-{inputs.shared}-{output}")
    if live is None:
        return fresh
    live_template = live
    for key in path:
        live_template = live_template.get(key) or {}
    recorded = annotations_of(live).get(c.A_INPUT_HASH)
    if recorded is None or _by_manager_of_before(live, path):
        return Decision(live_template, f"{inputs.own}-{inputs.shared}-{ADOPTED}")
    own, _, rest = recorded.partition("-")
    shared, _, recorded_output = rest.partition("-")
    if own != inputs.own:
        return fresh
    if shared == inputs.shared:
        return fresh if recorded_output == output else Decision(live_template, recorded)
    if recorded_output == output or (may_roll and not held):
        return fresh
    waits = f"held by annotation {c.A_HOLD_ROLLOUT}" if held else "other services roll before it"
    return Decision(live_template, recorded, f"update pending: {inputs.shared_names} ({waits})")


def _by_manager_of_before(live: Object, path: tuple[str, ...]) -> bool:
    """True where it has written to the template and we have not taken over since: also after a
    time in which people had gone back to it."""
    for entry in metadata(live).get("managedFields") or ():
        if entry.get("manager") != c.MANAGER_BEFORE or entry.get("operation") != "Update":
            continue
        node = entry.get("fieldsV1") or {}
        for key in path:
            node = node.get(f"f:{key}")
            if node is None:
                break
        else:
            return not entry.get("subresource")
    return False


def relevant_spec(obj: Object | None) -> Any:
    """What of a shared object may reach a template: its spec, name and annotations."""
    if obj is None:
        return None
    annotations: Mapping[str, str] = annotations_of(obj)
    return {
        "name": metadata(obj).get("name"),
        "annotations": {k: v for k, v in annotations.items() if k != c.A_LAST_APPLIED},
        "spec": obj.get("spec"),
    }
