"""The pages on names, conditions and values."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from tools.reference.kinds import file_name
from tools.reference.markdown import listed, page, table

from ome.api import constants as c
from ome.api import names as n
from ome.api import storage_uri
from ome.api.crds import KINDS
from ome.api.fields import Field
from ome.api.lens import Lens, members
from ome.api.meanings import ANNOTATIONS, CONDITIONS, ENVIRONMENT, LABELS, Meaning
from ome.api.reasons import KUBERNETES, REASONS, Outlook

SHORT, LONG = "chat", "a-service-with-a-name-that-is-much-longer-than-dns-allows-to-be"


def labels_page() -> str:
    return page(
        "Labels, annotations and environment",
        "What OME reads from objects and writes onto them. *By* says who writes it: what OME "
        "writes itself is not to be changed by hand.",
        "## Annotations",
        _meanings(ANNOTATIONS),
        "Annotations of a service reach its objects and pods, except "
        f"{listed(sorted(c.NOT_PROPAGATED_ANNOTATIONS))} and `{c.A_HOLD_ROLLOUT}`. Services "
        f"(Kubernetes' own) get none of {listed(sorted(c.POD_ONLY_ANNOTATIONS))} and none that "
        f"begin with {listed(c.POD_ONLY_ANNOTATION_PREFIXES)}.",
        "## Labels",
        _meanings(LABELS),
        "## Node labels of models",
        "The model agent labels its node for each model; pods select the label with the value "
        f"`{c.NODE_MODEL_READY}`. Its values are "
        f"{listed((c.NODE_MODEL_READY, c.NODE_MODEL_UPDATING, c.NODE_MODEL_FAILED))}, and "
        f"`{c.NODE_MODEL_DELETED}` in the node's ConfigMap. How the label is called: see "
        "[derived names](names.md#models-on-nodes).",
        "## Environment of containers",
        _meanings(ENVIRONMENT),
    )


def _meanings(entries: Iterable[Meaning]) -> str:
    rows = (
        (
            f"`{e.name}`",
            e.on,
            e.by,
            e.text + (f" Values: {listed(e.values)}." if e.values else ""),
        )
        for e in entries
    )
    return table(("name", "on", "by", "meaning"), rows)


# --- conditions -----------------------------------------------------------------------------------

_OUTLOOKS = {
    Outlook.FINE: "All is well",
    Outlook.PASSES: "It passes by itself, or is tried again",
    Outlook.STUCK: "It stays until somebody acts",
}


def conditions_page() -> str:
    parts = [
        "The status of an object says what it is doing in conditions: `type` is what is observed, "
        "`status` whether it holds, `reason` one word from the list below, `message` a sentence "
        "that says what is waited for and what you can do. `lastTransitionTime` changes only when "
        "`status` does.",
        "## Conditions",
        table(("type", "on", "meaning"), ((f"`{e.name}`", e.on, e.text) for e in CONDITIONS)),
        "## Reasons",
        "The message usually knows more than the template: the nearest runtime, the last line of a "
        "log. The remedy is part of the message.",
    ]
    for outlook, words in _OUTLOOKS.items():
        mine = sorted((r for r in REASONS.values() if r.outlook is outlook), key=lambda r: r.code)
        titles = ("reason", "meaning", "message", "what to do")
        rows = ((f"`{r.code}`", r.meaning, r.template, r.remedy) for r in mine)
        parts += [f"### {words}", table(titles, rows)]
    parts += [
        "### Kubernetes' own",
        "These are handed through as they come from pods, workloads and routes: "
        f"{listed(sorted(KUBERNETES))}.",
    ]
    return page("Conditions and reasons", *parts)


# --- derived names --------------------------------------------------------------------------------


def names_page() -> str:
    return page(
        "Derived names",
        "Which names OME gives to what it makes. Where a name would be too long for its use it is "
        "shortened to a hash and its end: eight hexadecimal digits of SHA-256, a dash, and as many "
        "last characters as fit. Two services never share a name by being cut. An object that "
        "exists under a name that an earlier OME gave keeps it.",
        "## Names of services",
        f"The name of an InferenceService matches `{n.SERVICE_NAME_PATTERN}`. Beyond "
        f"{n.MAX_SERVICE_NAME} characters the names of its Services are shortened, and a warning "
        "says so.",
        "## Children of a service",
        table(("what", f"of `{SHORT}`", f"of `{LONG}`"), _children()),
        "## Models on nodes",
        table(("what", "example", "limit"), _models()),
        "A pod's volume for a model has the model's name where that is a DNS label, else a hashed "
        f"form of it: `{n.volume_name('llama-3.1')}` for `llama-3.1`.",
        "## Label values",
        "What becomes the value of a label (names of models, runtimes, vendors) is cleaned of what "
        f"no label may hold and shortened to {n.MAX_LABEL_VALUE} characters: "
        f"`{n.label_value('meta/llama')}` for `meta/llama`.",
    )


def _children() -> list[tuple[str, str, str]]:
    def base(service: str) -> str:
        return n.component_name(service, c.ENGINE)

    rows: list[tuple[str, Callable[[str], str]]] = [
        ("Deployment, autoscaler, disruption budget, Knative Service of the engine", base),
        ("Service of the engine", lambda s: n.component_service_name(s, c.ENGINE)),
        ("the same of the decoder", lambda s: n.component_service_name(s, c.DECODER)),
        ("the same of the router", lambda s: n.component_service_name(s, c.ROUTER)),
        ("label `app` of the engine's pods", lambda s: n.app_label(s, c.ENGINE)),
        ("LeaderWorkerSet of the engine", lambda s: n.lws_name(base(s))),
        ("ScaledObject of the engine", lambda s: n.scaled_object_name(base(s))),
        ("first RayCluster of the engine", lambda s: n.ray_cluster_name(base(s), 0)),
        ("ServiceAccount, Role, RoleBinding of the router", n.router_account_name),
        ("ConfigMap that describes the model", n.model_config_name),
        ("Service that requests enter by, Ingress, routes", n.truncate_dns),
    ]
    return [(what, f"`{make(SHORT)}`", f"`{make(LONG)}`") for what, make in rows]


def _models() -> list[tuple[str, str, str]]:
    long = "llama-4-maverick-17b-128e-instruct-fp8"
    return [
        ("node label of a BaseModel", f"`{n.model_label('default', 'llama-3-8b')}`",
         "49 characters after the slash"),
        ("the same, shortened", f"`{n.model_label('prod', long)}`", ""),
        ("node label of a ClusterBaseModel", f"`{n.model_label('', 'llama-3-8b')}`", "the same"),
        ("key in the node's ConfigMap", f"`{n.model_config_map_key('default', 'llama-3-8b')}`",
         "253 characters"),
        ("default folder of a BaseModel",
         f"`{n.default_model_path('BaseModel', 'default', 'llama-3-8b')}`", ""),
        ("default folder of a ClusterBaseModel",
         f"`{n.default_model_path('ClusterBaseModel', '', 'llama-3-8b')}`", ""),
    ]  # fmt: skip


# --- values ---------------------------------------------------------------------------------------


def values_page() -> str:
    enforced, known = _enumerations(lambda f: f.enum), _enumerations(lambda f: f.values)
    return page(
        "Values",
        "Fields with a fixed set of values, and where they are used.",
        "## Enforced",
        "Another value is refused.",
        table(("values", "fields"), enforced),
        "## Known",
        "Another value is accepted; OME, or the tools around it, know these.",
        table(("values", "fields"), known),
        "## Deployment modes",
        f"The values of the annotation `{c.A_DEPLOYMENT_MODE}`: {listed(c.DEPLOYMENT_MODES)}.",
        "## Storage",
        "Where files come from: `storageUri` in one of these forms.",
        table(("scheme", "form"), ((f"`{s}`", f"`{f}`") for s, f in storage_uri.FORMS.items())),
    )


def _enumerations(pick: Callable[[Field], tuple[str, ...]]) -> list[tuple[str, str]]:
    """(values, fields) by the set of values; a field is named with its type and a page of it."""
    found: dict[tuple[str, ...], dict[str, str]] = {}

    def walk(kind: str, cls: type[Lens], seen: set[type[Lens]]) -> None:
        if cls in seen:
            return
        seen.add(cls)
        for member in members(cls):
            facts = next((note for note in member.notes if isinstance(note, Field)), None)
            if facts is not None and pick(facts):
                values = tuple(value for value in pick(facts) if value)
                name = f"{cls.__name__}.{member.name}"
                link = f"[{name}]({file_name(kind)}#{cls.__name__.lower()})"
                found.setdefault(values, {}).setdefault(name, link)
            if member.shape != "leaf":
                walk(kind, member.item, seen)

    for resource, cls in KINDS.items():
        walk(resource.kind, cls, set())
    rows: list[tuple[Any, ...]] = [
        (listed(values), ", ".join(fields.values())) for values, fields in found.items()
    ]
    return sorted(rows, key=lambda row: row[1])
