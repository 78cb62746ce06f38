from __future__ import annotations

from pathlib import Path

import pytest

from ome.apimachinery.errors import FieldError
from ome.cli import manifests
from ome.cli.errors import CliError

TWO = """\
# a comment
apiVersion: v1
kind: ConfigMap
metadata: {name: a}
---
---
apiVersion: ome.io/v1beta1
kind: InferenceService
metadata:
  name: b
  namespace: team
spec:
  engine:
    runner:
      env:
        - name: A
          value: 2024-01-01
        - name: B
"""


def parsed(tmp_path: Path, text: str) -> list[manifests.Manifest]:
    path = tmp_path / "x.yaml"
    path.write_text(text)
    return manifests.read([str(path)])


def refused(tmp_path: Path, text: str) -> str:
    with pytest.raises(CliError) as caught:
        parsed(tmp_path, text)
    return str(caught.value).replace(str(tmp_path), "DIR")


def test_every_object_knows_its_line_and_its_fields_lines(tmp_path: Path) -> None:
    first, second = parsed(tmp_path, TWO)
    assert (first.line, second.line) == (2, 7)
    assert second.title == "InferenceService team/b"
    assert second.locate("spec.engine.runner.env[1].name").endswith(":18")
    assert second.locate("spec.engine.runner.env[0].value").endswith(":17")
    assert second.locate("spec.engine.minReplicas").endswith(":13")
    assert second.locate("nothing").endswith(":7")
    problem = second.problem(FieldError("spec.engine.runner", "is wrong"))
    assert str(problem).endswith("x.yaml:14: InferenceService team/b: spec.engine.runner: is wrong")


def test_dates_stay_strings(tmp_path: Path) -> None:
    _, second = parsed(tmp_path, TWO)
    assert second.object["spec"]["engine"]["runner"]["env"][0]["value"] == "2024-01-01"


def test_lists_are_taken_apart(tmp_path: Path) -> None:
    text = """\
apiVersion: v1
kind: List
items:
  - {apiVersion: v1, kind: Secret, metadata: {name: a}}
  - apiVersion: v1
    kind: Secret
    metadata: {name: b}
"""
    assert [(m.title, m.line) for m in parsed(tmp_path, text)] == [("Secret a", 4), ("Secret b", 5)]


def test_a_folder_is_read_in_order_of_names(tmp_path: Path) -> None:
    for name in ("b.yaml", "a.yml"):
        (tmp_path / name).write_text(
            f"{{apiVersion: v1, kind: Secret, metadata: {{name: {name}}}}}"
        )
    (tmp_path / "notes.txt").write_text("not: yaml: at all")
    assert [m.object["metadata"]["name"] for m in manifests.read([str(tmp_path)])] == [
        "a.yml",
        "b.yaml",
    ]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("a: [1,\nb: 2\nc: 3", "DIR/x.yaml:3: not valid YAML: did not find expected ',' or ']'"),
        ("kind: A\n\tb: 1", "DIR/x.yaml:2: not valid YAML: found a tab character"),
        (
            "kind: A\nb: 1\nkind: B",
            "DIR/x.yaml:3: not valid YAML: the key 'kind' stands twice, the first time on line 1",
        ),
        ("- a\n- b", "DIR/x.yaml:1: a document must be an object with apiVersion, kind and "),
        ("kind: A", "DIR/x.yaml:1: apiVersion is missing"),
        ("apiVersion: v1\nmetadata: {name: a}", "DIR/x.yaml:1: kind is missing"),
        (
            "apiVersion: v1\nkind: Pod\nmetadata:\n  labels: {}",
            "DIR/x.yaml:3: Pod without metadata.name",
        ),
        ("# nothing", "DIR/x.yaml: there is no object in it"),
    ],
)
def test_what_is_wrong_is_said_with_file_and_line(tmp_path: Path, text: str, said: str) -> None:
    assert refused(tmp_path, text).startswith(said)


def test_a_missing_file_and_an_empty_folder_are_named(tmp_path: Path) -> None:
    with pytest.raises(CliError, match=r"none\.yaml: there is no such file or folder"):
        manifests.read([str(tmp_path / "none.yaml")])
    with pytest.raises(CliError, match=r"no \.yaml, \.yml or \.json file in this folder"):
        manifests.read([str(tmp_path)])
    (tmp_path / "latin.yaml").write_bytes(b"a: \xe9")
    with pytest.raises(CliError, match=r"latin\.yaml:1: not UTF-8 text"):
        manifests.read([str(tmp_path / "latin.yaml")])
