"""``ome validate``: what admission would say, with lines and exit statuses."""

from __future__ import annotations

import io
import json
from pathlib import Path

import pytest
from tests.unit.cli.conftest import Ome

BAD = """\
apiVersion: ome.io/v1beta1
kind: InferenceService
metadata:
  name: Bad_Name
  labels: {"a b": c}
spec:
  model: {name: x}
  engine:
    minReplicas: 5
    maxReplicas: 1
---
apiVersion: ome.io/v1beta1
kind: InferenceService
metadata:
  name: typos
spec:
  engine:
    minReplicas: "5"
    maxReplica: 1
---
apiVersion: keda.sh/v1alpha1
kind: ScaledObject
metadata: {name: others}
---
apiVersion: ome.io/v1
kind: InferenceService
metadata: {name: old}
---
apiVersion: ome.io/v1beta1
kind: ClusterBaseModel
metadata:
  name: q
  name: r
spec: {storage: {storageUri: "hf://a/b"}}
"""
SHOWN = """\
error: FILE:4: InferenceService Bad_Name: metadata.name: 'Bad_Name' is not a name for a service: \
lower-case letters, digits and dashes, starting with a letter and not ending with a dash
error: FILE:5: InferenceService Bad_Name: metadata.labels: Invalid value: "a b": name part must \
consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric \
character (regex used for validation is '[A-Za-z0-9](?:[-A-Za-z0-9_.]*[A-Za-z0-9])?')
error: FILE:10: InferenceService Bad_Name: spec.engine.maxReplicas: 1 is less than minReplicas \
(5); raise it
error: FILE:18: InferenceService typos: spec.engine.minReplicas: must be of type integer, this is \
of type string
error: FILE:19: InferenceService typos: spec.engine.maxReplica: there is no such field; did you \
mean maxReplicas?
error: FILE:25: InferenceService old: apiVersion: there is no kind InferenceService in ome.io/v1. \
Write apiVersion: ome.io/v1beta1
error: FILE:33: not valid YAML: the key 'name' stands twice, the first time on line 32
"""
WARNED = """\
apiVersion: ome.io/v1beta1
kind: ClusterBaseModel
metadata: {name: m}
spec:
  storage: {storageUri: "hf://a/b"}
  modelParameterSize: nonsense
"""
SIZE = (
    "FILE:6: ClusterBaseModel m: spec.modelParameterSize 'nonsense' is no size (write 7B or 500M); "
    "size ranges of runtimes are ignored for this model"
)


def written(tmp_path: Path, text: str, name: str = "x.yaml") -> Path:
    path = tmp_path / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


def test_all_problems_of_all_documents_are_shown_with_their_lines(ome: Ome, tmp_path: Path) -> None:
    path = written(tmp_path, BAD)
    answer = ome("validate", "-f", path)
    assert (answer.status, answer.out) == (1, "")
    assert answer.err.replace(str(path), "FILE") == SHOWN


def test_json_has_the_same_in_fields(ome: Ome, tmp_path: Path) -> None:
    path = written(tmp_path, BAD)
    answer = ome("validate", "-f", path, "-o", "json")
    document = json.loads(answer.out)
    findings = document.pop("findings")
    assert (answer.status, answer.err) == (1, "")
    assert document == {"valid": False, "checked": 2, "onlyRead": 1, "errors": 7, "warnings": 0}
    assert findings[2] == {
        "severity": "error",
        "file": str(path),
        "line": 10,
        "object": "InferenceService Bad_Name",
        "field": "spec.engine.maxReplicas",
        "message": "1 is less than minReplicas (5); raise it",
    }
    assert [(f["line"], f["field"]) for f in findings[5:]] == [(25, "apiVersion"), (33, "")]


def test_warnings_fail_only_when_asked_to(ome: Ome, tmp_path: Path) -> None:
    path = written(tmp_path, WARNED)
    plain = ome("validate", "-f", path)
    assert (plain.status, plain.out) == (0, "1 object(s) are valid\n")
    assert plain.err.replace(str(path), "FILE") == f"warning: {SIZE}\n"
    strict = ome("validate", "-f", path, "--strict")
    assert (strict.status, strict.out) == (1, "")
    assert strict.err.replace(str(path), "FILE") == (
        f"warning: {SIZE}\nerror: 1 warning(s), and --strict was asked for\n"
    )
    assert json.loads(ome("validate", "-f", path, "-o", "json").out)["valid"] is True
    assert json.loads(ome("validate", "-f", path, "--strict", "-o", "json").out)["valid"] is False


def test_folders_are_read_with_everything_in_them(ome: Ome, tmp_path: Path) -> None:
    written(tmp_path, WARNED, "models/a/m.yaml")
    written(tmp_path, WARNED.replace("name: m}", "name: n}"), "models/n.json")
    written(tmp_path, "not: [yaml", "models/.git/x.yaml")
    written(tmp_path, "not: [yaml", "models/notes.txt")
    (tmp_path / "models/a/loop").symlink_to(tmp_path / "models")
    answer = ome("validate", "-f", tmp_path / "models")
    assert (answer.status, answer.out) == (0, "2 object(s) are valid\n")
    assert [line.split(": ")[1].rpartition("/")[2] for line in answer.err.splitlines()] == [
        "m.yaml:6",
        "n.json:6",
    ]


def test_standard_input_is_a_file_called_dash(ome: Ome, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(WARNED.encode())))
    answer = ome("validate", "-f", "-")
    assert answer.status == 0
    assert answer.err == f"warning: {SIZE.replace('FILE', '-')}\n"
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(b"a: \xff\n")))
    answer = ome("validate", "-f", "-")
    assert (answer.status, answer.err) == (1, "error: -:1: not UTF-8 text: invalid start byte\n")


def test_what_cant_be_read_is_status_2_and_the_rest_is_still_checked(
    ome: Ome, tmp_path: Path
) -> None:
    path = written(tmp_path, BAD)
    answer = ome("validate", "-f", tmp_path / "nowhere", "-f", path)
    assert answer.status == 2
    assert f"error: {tmp_path}/nowhere: there is no such file or folder\n" in answer.err
    assert len(answer.err.splitlines()) == 1 + len(SHOWN.splitlines())
    empty = written(tmp_path, "# nothing\n", "empty.yaml")
    answer = ome("validate", "-f", empty)
    assert (answer.status, answer.err) == (2, f"error: {empty}: there is no object in it\n")
    (tmp_path / "folder").mkdir()
    answer = ome("validate", "-f", tmp_path / "folder")
    assert answer.status == 2
    assert answer.err == f"error: {tmp_path}/folder: no .yaml, .yml or .json file in this folder\n"
    assert ome("validate").status == 2


def test_an_object_that_stands_twice_is_shown_where_it_stood_first(
    ome: Ome, tmp_path: Path
) -> None:
    path = written(tmp_path, f"{WARNED}---\n{WARNED}")
    answer = ome("validate", "-f", path)
    assert answer.status == 0
    assert answer.err.replace(str(path), "FILE").splitlines()[1] == (
        "warning: FILE:8: ClusterBaseModel m: the same object stands in FILE:1 already"
    )


def test_a_model_of_another_file_is_known(ome: Ome, tmp_path: Path) -> None:
    service = written(
        tmp_path,
        "apiVersion: ome.io/v1beta1\nkind: InferenceService\nmetadata: {name: s}\n"
        "spec: {model: {name: m}, engine: {}}\n",
        "service.yaml",
    )
    alone = ome("validate", "-f", service)
    assert "model m does not exist yet" in alone.err
    both = ome("validate", "-f", service, "-f", written(tmp_path, WARNED))
    assert both.status == 0
    assert "model m does not exist yet" not in both.err


NAMED = "apiVersion: v1\nkind: A\nmetadata: {name: a}\n"
TENFOLD = "".join(
    f"{b}: &{b} [{','.join([f'*{a}'] * 10)}]\n" for a, b in zip("abcdef", "bcdefg", strict=True)
)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[" * 200_000, ":1: nested more than 128 levels deep"),
        ("a:\n  - " + "- " * 100_000, ":2: nested more than 128 levels deep"),
        ("a: &a [1]\nb: &b [*a,*a]\nc: *a\n", ":1: apiVersion is missing"),
        ("a: &a [1, *a]\n", ":1: not valid YAML: an alias contains itself"),
        (
            f"a: &a [x,x,x,x,x,x,x,x,x,x]\n{TENFOLD}",
            ":1: not valid YAML: its aliases stand for more than 2000000 values; write less",
        ),
        ("a: b\nkind: \x00\n", ":2: not valid YAML: the character U+0000 can't stand in it"),
        ("{a: 1}: 2", ":1: not valid YAML: a key must be a text, not a list or an object"),
        ("a: !!python/object:os.system x", ":1: not valid YAML: could not determine a constructor"),
        ("a: !!timestamp 2024-13-45", ": not valid YAML: month must be in 1..12"),
        (f"{NAMED}b:\n- c: .nan", ":5: b[0].c: nan is no number"),
        (f"{NAMED}b: !!binary eA==", ":4: b: a bytes is no value"),
        ('a: 1\nb: {"name": "\\ud800"}', ":2: not valid YAML: found invalid Unicode"),
    ],
)
def test_hostile_files_get_one_clear_line(ome: Ome, tmp_path: Path, text: str, said: str) -> None:
    path = written(tmp_path, text)
    answer = ome("validate", "-f", path)
    assert answer.status == 1
    assert len(answer.err.splitlines()) == 1
    assert answer.err.startswith(f"error: {path}{said}")


def test_values_are_read_as_kubernetes_reads_them(ome: Ome, tmp_path: Path) -> None:
    """No minutes, no dates, no keys but texts."""
    path = written(
        tmp_path,
        "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\n"
        "data: {a: 22:30, b: 2024-01-01, 1: x, true: z, c: 1:2.5}\n",
    )
    document = json.loads(ome("migrate", "-f", path, "-o", "json").out)
    assert document["data"] == {
        "a": "22:30",
        "b": "2024-01-01",
        "1": "x",
        "true": "z",
        "c": "1:2.5",
    }
