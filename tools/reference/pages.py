"""All pages of ``docs/reference``, by file name."""

from __future__ import annotations

from tools.reference.intros import INTROS
from tools.reference.kinds import file_name, kind_page
from tools.reference.markdown import page, table
from tools.reference.names import conditions_page, labels_page, names_page, values_page
from tools.reference.settings import configuration_page

from ome.api import resources as o
from ome.api.crds import KINDS

OTHERS = {
    "conditions.md": ("Conditions and reasons", "what a status says, and what to do about it"),
    "labels.md": ("Labels, annotations, environment", "what OME reads and writes beside the spec"),
    "values.md": ("Values", "enumerations and storage URIs"),
    "names.md": ("Derived names", "how OME calls what it makes"),
    "configuration.md": ("Configuration", "the operator's ConfigMaps"),
}


def pages() -> dict[str, str]:
    """Every page as it should be. Deterministic: the same code gives the same bytes."""
    found = {file_name(resource.kind): kind_page(resource) for resource in o.ALL}
    return {
        "README.md": index(),
        **found,
        "conditions.md": conditions_page(),
        "labels.md": labels_page(),
        "values.md": values_page(),
        "names.md": names_page(),
        "configuration.md": configuration_page(),
    }


def index() -> str:
    kinds = (
        (
            f"[{resource.kind}]({file_name(resource.kind)})",
            "a namespace" if resource.namespaced else "the cluster",
            (KINDS[resource].__doc__ or "").strip().split("\n")[0],
        )
        for resource in o.ALL
    )
    others = ((f"[{title}]({name})", text) for name, (title, text) in OTHERS.items())
    assert set(INTROS) == {resource.kind for resource in o.ALL}
    return page(
        "Reference",
        f"Everything that can be written in `{o.ALL[0].api_version}`, made out of the code. Each "
        "page of a kind begins with the smallest manifest that works and then lists every field. "
        "The same texts are in the CRDs, so `kubectl explain` shows them too.",
        "## Kinds",
        table(("kind", "belongs to", "what it is"), kinds),
        "## Beside the kinds",
        table(("page", "what it says"), others),
    )
