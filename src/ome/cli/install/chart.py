"""The Helm chart, made from the builders of :mod:`parts`: files by path.

The builders are given a lookup that answers with placeholders instead of values. In the YAML of
what they build, placeholders become expressions: a whole scalar is ``{{ toJson .Values.x }}`` (JSON
is YAML, so maps and lists need no indentation), a part of a string ``{{ .Values.x }}``, the items
of a list a ``range``. Since builders use values only as they are, what Helm renders is what
``ome install`` applies; a test compares the two object by object.
"""

from __future__ import annotations

import json
import re
from typing import Any, Final

import yaml

from ome import __version__
from ome.apimachinery.objects import Object, metadata
from ome.cli.install.parts import Part, crds, parts
from ome.cli.install.settings import SETTINGS, Setting, tree

NAME: Final = "ome"
_PLAIN, _JSON, _SPREAD, _NAMESPACE = "OMEVALUE", "OMEJSON", "OMESPREAD", "OMENAMESPACE"
_PATH: Final = r"\.([A-Za-z.]+)\.OMEEND"
_WHOLE: Final = re.compile(rf"^(\s*(?:- )*(?:[^\s:]+: |))({_PLAIN}|{_JSON}){_PATH}$")
_LIST_ITEM: Final = re.compile(rf"^(\s*)- {_SPREAD}{_PATH}$")
_WHOLE_NAMESPACE: Final = re.compile(rf"(: |- ){_NAMESPACE}$")
_INSIDE: Final = re.compile(rf"{_PLAIN}{_PATH}")

_HEAD: Final = "{{/* Made by tools/chart.py from src/ome/cli/install: change it there. */}}\n"
_NOTES: Final = """\
OME {{ .Chart.AppVersion }} is installed in namespace {{ .Release.Namespace }}.

  kubectl -n {{ .Release.Namespace }} rollout status deployment/ome-controller-manager
  kubectl get inferenceservices,basemodels,clusterbasemodels -A

Helm never changes or deletes CRDs. After an upgrade of the chart bring them up to date:

  ome crds | kubectl apply --server-side -f -
{{- if .Values.agent.enabled }}

The model agent uses folders of its nodes. Where pod security is enforced, allow that:

  kubectl label namespace {{ .Release.Namespace }} pod-security.kubernetes.io/enforce=privileged
{{- end }}
"""


class _Expressions:
    """The lookup that answers with placeholders."""

    namespace = _NAMESPACE

    def __init__(self) -> None:
        self._known = {setting.path for setting in SETTINGS}

    def __call__(self, path: str) -> Any:
        return self._placeholder(_PLAIN, path)

    def spread(self, path: str) -> list[Any]:
        return [self._placeholder(_SPREAD, path)]

    def json(self, path: str) -> str:
        return self._placeholder(_JSON, path)

    def _placeholder(self, kind: str, path: str) -> str:
        if path not in self._known:
            raise KeyError(path)
        return f"{kind}.{path}.OMEEND"


def files() -> dict[str, str]:
    """Path in the chart -> content."""
    found = {
        "Chart.yaml": _chart(),
        "values.yaml": _values(),
        "values.schema.json": _schema(),
        "README.md": _readme(),
        "templates/NOTES.txt": _NOTES,
    }
    for crd in crds():
        # Compact JSON, which is YAML too: as indented YAML they would be 5.5 MB, not to be read.
        found[f"crds/{metadata(crd)['name']}.yaml"] = _compact(crd)
    groups: dict[str, list[Part]] = {}
    for part in parts(_Expressions()):
        groups.setdefault(part.file, []).append(part)
    for name, members in groups.items():
        found[f"templates/{name}.yaml"] = _HEAD + "".join(map(_template, members))
    return found


def _template(part: Part) -> str:
    lines = [_line(line) for line in _yaml(part.object).splitlines()]
    text = "---\n" + "\n".join(lines) + "\n"
    if not part.when:
        return text
    tests = [f".Values.{path}" for path in part.when]
    test = tests[0] if len(tests) == 1 else f"and {' '.join(tests)}"
    return f"{{{{- if {test} }}}}\n{text}{{{{- end }}}}\n"


def _line(line: str) -> str:
    if item := _LIST_ITEM.match(line):
        indent, path = item.groups()
        return (
            f"{indent}{{{{- range .Values.{path} }}}}\n{indent}- {{{{ toJson . }}}}\n"
            f"{indent}{{{{- end }}}}"
        )
    if whole := _WHOLE.match(line):
        before, kind, path = whole.groups()
        quoted = " | quote" if kind == _JSON else ""
        return f"{before}{{{{ toJson .Values.{path}{quoted} }}}}"
    line = _WHOLE_NAMESPACE.sub(r"\1{{ toJson .Release.Namespace }}", line)
    line = line.replace(_NAMESPACE, "{{ .Release.Namespace }}")
    line = _INSIDE.sub(r"{{ .Values.\1 }}", line)
    if "OMEEND" in line or _NAMESPACE in line:
        raise ValueError(f"a placeholder is left in {line!r}")
    return line


def _chart() -> str:
    return _yaml(
        {
            "apiVersion": "v2",
            "name": NAME,
            "description": "OME, the Open Model Engine: operator, webhooks and model agent",
            "type": "application",
            "version": __version__,
            "appVersion": __version__,
            "kubeVersion": ">=1.28.0-0",
        }
    )


def _values() -> str:
    """values.yaml with what each setting is for."""
    lines = ["# Made by tools/chart.py from src/ome/cli/install/settings.py: change it there."]
    opened: list[str] = []
    for setting in SETTINGS:
        *folders, last = setting.path.split(".")
        for depth, folder in enumerate(folders):
            if opened[depth : depth + 1] != [folder]:
                opened = [*opened[:depth], folder]
                lines.append(f"{'  ' * depth}{folder}:")
        opened = opened[: len(folders)]
        indent = "  " * len(folders)
        lines.append(f"{indent}# {setting.text}")
        block = _yaml({last: setting.default}).splitlines()
        lines += [indent + line for line in block]
    return "\n".join(lines) + "\n"


def _schema() -> str:
    def described(node: Any, prefix: str) -> Object:
        if prefix in types:
            return types[prefix]
        return {
            "type": "object",
            "additionalProperties": False,
            "properties": {
                name: described(child, f"{prefix}.{name}".lstrip("."))
                for name, child in node.items()
            },
        }

    types = {s.path: {"type": _type(s), "description": s.text} for s in SETTINGS}
    schema = described(tree(), "")
    # Helm puts these in for charts that are part of others.
    schema["properties"]["global"] = {"type": "object"}
    schema["$schema"] = "https://json-schema.org/draft-07/schema#"
    return json.dumps(schema, indent=2) + "\n"


def _type(setting: Setting) -> str:
    kinds = {bool: "boolean", int: "integer", str: "string", list: "array", dict: "object"}
    return kinds[type(setting.default)]


def _readme() -> str:
    rows = [
        f"| `{s.path}` | {s.text} | `{_short(s.default)}` |".replace("{{", "{ {") for s in SETTINGS
    ]
    return "\n".join(
        [
            "# OME on Kubernetes",
            "",
            "    helm install ome charts/ome --namespace ome --create-namespace",
            "",
            "Any namespace will do; cert-manager is not needed. `ome install` applies the same "
            "objects without Helm. Uninstalling leaves CRDs, models and services where they are.",
            "",
            "A cluster on which the earlier OME serves already is taken over without restarting an "
            "engine: docs/takeover.md.",
            "",
            "The image is yours to build: `podman build -t REGISTRY/ome:TAG .` in the repository, "
            "then `image.repository` and `image.tag`. The Containerfile has not been built where "
            "this chart was made: there was no container engine.",
            "",
            "The operator runs in a namespace with pod security *restricted*. The agent does not: "
            "it writes models to a folder of its node (hostPath, as root without capabilities), so "
            "its namespace needs `pod-security.kubernetes.io/enforce: privileged`, or "
            "`agent.enabled=false`.",
            "",
            "| setting | what for | default |",
            "| --- | --- | --- |",
            *rows,
            "",
        ]
    )


def _short(value: Any) -> str:
    text = json.dumps(value)
    return text if len(text) <= 60 else "see values.yaml"


def _compact(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")) + "\n"


def _yaml(value: Any) -> str:
    text: str = yaml.dump(value, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=100_000)
    return text


class _Dumper(getattr(yaml, "CSafeDumper", yaml.SafeDumper)):  # type: ignore[misc]
    """Without anchors: the same value may stand in several places."""

    def ignore_aliases(self, _data: Any) -> bool:
        return True
