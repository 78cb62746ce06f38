"""The documentation says what is so: links resolve, commands exist, generated parts are current."""

from __future__ import annotations

import importlib.util
import re
import shlex
import tomllib
import typing
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import click
import pytest
import yaml
from tests.fakes.view import FixedView
from tests.unit.api.test_catalog import load, problems
from tools.reference.intros import INTROS

from ome.admission import OmeAdmission
from ome.api import constants
from ome.api import resources as ours
from ome.api.crds import KINDS
from ome.api.fields import Field, Kubernetes
from ome.api.lens import Lens, Member, members, strip
from ome.api.meanings import ANNOTATIONS, ENVIRONMENT, LABELS
from ome.cli.main import COMMANDS, cli

ROOT = Path(__file__).parents[3]
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])
IDS = [str(page.relative_to(ROOT)) for page in PAGES]
LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
FENCE = re.compile(r"^```(\w*)\n(.*?)^```", re.MULTILINE | re.DOTALL)
CODE = re.compile(r"`([^`\n]+)`")
MODULE = re.compile(r"^[a-z_]+(?:/[a-z_]+)*\.py$")

every_page = pytest.mark.parametrize("page", PAGES, ids=IDS)


def generator() -> ModuleType:
    spec = importlib.util.spec_from_file_location("generate_docs", ROOT / "tools/generate_docs.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def prose(page: Path) -> str:
    """The page without its blocks of code."""
    return FENCE.sub("", page.read_text())


def anchors(page: Path) -> set[str]:
    """The anchors of a page's headings, as code hosts make them."""
    found = set()
    for heading in re.findall(r"^#+ (.+)$", prose(page), re.MULTILINE):
        text = re.sub(r"[^\w\- ]", "", heading.lower())
        found.add(text.strip().replace(" ", "-"))
    return found


def command_lines() -> Iterator[tuple[str, str]]:
    """Every line of a block of commands (a block without a language)."""
    for page in PAGES:
        for language, block in FENCE.findall(page.read_text()):
            if language:
                continue
            for line in block.replace("\\\n", " ").splitlines():
                line = re.sub(r"\s+#.*$", "", line).strip()
                if re.match(r"(ome|make|kubectl) ", line):
                    yield str(page.relative_to(ROOT)), line


@every_page
def test_links_lead_somewhere(page: Path) -> None:
    for target in LINK.findall(CODE.sub("", prose(page))):
        if target.startswith("https://"):
            continue
        path, _, anchor = target.partition("#")
        aimed = (page.parent / path).resolve() if path else page
        assert aimed.exists(), f"{page.name}: {target}"
        if anchor and aimed.suffix == ".md":
            assert anchor in anchors(aimed), f"{page.name}: {target}"


@every_page
def test_nothing_of_the_machine_it_was_written_on(page: Path) -> None:
    """No home folders, work trees or hosts of package indexes: they are nobody else's."""
    text = page.read_text()
    for pattern in (r"/root/", r"/home/\w", r"/work/", r"/opt/ome", r"/tmp/\w", r"/Users/"):
        assert not re.search(pattern, text), pattern
    hosts = "|".join(("py" + "pi.org", "python" + "hosted", "arti" + "factory", "go" + "proxy"))
    assert not re.search(hosts, text, re.IGNORECASE)
    assert "wt/" not in text


@pytest.mark.parametrize(("page", "line"), list(command_lines()))
def test_commands_on_the_pages_exist(page: str, line: str) -> None:
    """Every command, option and make target that a page shows is one that there is."""
    for part in re.split(r"\s*(?:&&|\|)\s*", line):
        words = shlex.split(part, comments=True)
        if words[:1] == ["ome"]:
            parse(words[1:])
        elif words[:1] == ["make"]:
            targets = [w for w in words[1:] if "=" not in w]
            known = re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE)
            assert targets, line
            assert set(targets) <= set(known), line


def parse(words: list[str]) -> None:
    """Parses a command line as ``ome`` would, without running it."""
    with cli.make_context("ome", list(words), resilient_parsing=False) as top:
        rest = [*top._protected_args, *top.args]
        name, command, arguments = cli.resolve_command(top, rest)
        assert name in COMMANDS
        assert isinstance(command, click.Command)
        command.make_context(name, arguments, parent=top)


def test_every_command_has_its_place_on_the_page_and_the_page_is_current() -> None:
    tool = generator()
    text = tool.PAGE.read_text()
    assert tool.missing(text) == []
    assert tool.renew(text) == text, "run: PYTHONPATH=src python tools/generate_docs.py"


def test_the_table_of_reasons_is_current() -> None:
    tool = generator()
    text = tool.TROUBLES.read_text()
    assert tool.reasons(text) == text, "run: PYTHONPATH=src python tools/generate_docs.py"


def test_the_reference_is_current() -> None:
    tool = generator()
    written = {path.name: path.read_text() for path in tool.REFERENCE.glob("*.md")}
    made = tool.reference_pages()
    names = sorted(written.keys() | made.keys())
    stale = [name for name in names if written.get(name) != made.get(name)]
    assert stale == [], "run: PYTHONPATH=src python tools/generate_docs.py"


def test_every_label_annotation_and_variable_has_its_meaning() -> None:
    for prefix, entries in (("A_", ANNOTATIONS), ("L_", LABELS)):
        names = {value for key, value in vars(constants).items() if key.startswith(prefix)}
        assert names == {e.name for e in entries}, "say it in src/ome/api/meanings.py"
    serving = {
        value
        for key, value in vars(constants).items()
        if key.startswith("E_") and not value.startswith(constants.AGENT_ENV_PREFIX)
    }
    of_the_operator = {constants.E_POD_NAMESPACE, constants.E_ENABLE_PREDICTOR_MIGRATION}
    assert serving - of_the_operator == {entry.name for entry in ENVIRONMENT}


def written_by_hand(cls: type[Lens], status: bool, seen: set[type[Lens]]) -> Iterator[str]:
    """Fields below a type whose description leaves a newcomer alone."""
    if cls in seen:
        return
    seen.add(cls)
    for member in members(cls):
        if member.name in ("apiVersion", "kind", "metadata"):
            continue
        facts = next(note for note in member.notes if isinstance(note, Field))
        name = f"{cls.__name__}.{member.name}"
        observed = status or member.name == "status"
        required = member.required or facts.required
        if len(facts.doc.split()) < 3 or not facts.doc.endswith("."):
            yield f"{name}: say in a sentence what it means"
        if not (observed or required or facts.default) and member.default in (None, "", (), {}):
            yield f"{name}: say what holds where it is left out"
        shown = facts.example is not None or facts.enum or facts.values or "default" in facts.schema
        if member.shape == "leaf" and not shown and not holds_kubernetes(member):
            yield f"{name}: give an example"
        if member.shape != "leaf":
            yield from written_by_hand(member.item, observed, seen)


def holds_kubernetes(member: Member) -> bool:
    """Whether it is one of Kubernetes' own types, or a list of them."""
    arguments = typing.get_args(member.type)
    notes = [*member.notes, *(strip(arguments[0])[1] if arguments else ())]
    return any(isinstance(note, Kubernetes) for note in notes)


@pytest.mark.parametrize("cls", KINDS.values(), ids=lambda cls: cls.__name__)
def test_every_field_says_what_it_means_what_holds_without_it_and_how_it_looks(
    cls: type[Lens],
) -> None:
    assert list(written_by_hand(cls, False, set())) == []


@pytest.mark.parametrize("kind", [resource.kind for resource in ours.ALL])
def test_the_smallest_manifest_of_each_kind_is_accepted(kind: str) -> None:
    obj = yaml.safe_load(INTROS[kind].example)
    resource = ours.by_kind(kind)
    assert resource is not None
    assert problems(obj) == []
    review = OmeAdmission().review("CREATE", resource, obj, None, FixedView())
    assert review.errors == []


@pytest.mark.parametrize("name", ["docs/architecture.md", "CONTRIBUTING.md"])
def test_modules_that_a_page_names_exist(name: str) -> None:
    modules = {str(p.relative_to(ROOT / "src/ome")) for p in (ROOT / "src/ome").rglob("*.py")}
    modules |= {str(p.relative_to(ROOT)) for p in ROOT.glob("t*/**/*.py")}
    named = {code for code in CODE.findall(prose(ROOT / name)) if MODULE.match(code)}
    assert named, "the page names modules"
    for code in named:
        assert any(m == code or m.endswith(f"/{code}") for m in modules), code


def test_every_room_is_on_the_map() -> None:
    house = ROOT / "src/ome"
    rooms = {p.parent for p in house.glob("*/__init__.py")} - {house / "standalone"}
    rooms |= {p.parent for p in house.glob("standalone/*/__init__.py")}
    text = (ROOT / "CONTRIBUTING.md").read_text()
    absent = [r for r in rooms if f"| `{r.relative_to(house)}/` |" not in text]
    assert not absent


def test_every_dependency_is_accounted_for() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    given = [*project["project"]["dependencies"]]
    for extra in project["project"]["optional-dependencies"].values():
        given += extra
    for group in project["dependency-groups"].values():
        given += [entry for entry in group if isinstance(entry, str)]
    text = (ROOT / "docs/development/dependencies.md").read_text().lower()
    for requirement in given:
        match = re.match(r"[\w.-]+", requirement)
        assert match is not None
        named = match[0].lower()
        assert re.search(rf"(?<![\w-]){re.escape(named)}(?![\w-])", text), named


def test_manifests_on_the_pages_are_valid(tmp_path: Path) -> None:
    seen = 0
    for page in PAGES:
        for language, block in FENCE.findall(page.read_text()):
            if language != "yaml" or "kind:" not in block:
                continue
            path = tmp_path / "block.yaml"
            path.write_text(block)
            for obj in load(path):
                if obj["kind"] == "ConfigMap":
                    continue  # the operator's configuration: tests/unit/api/test_config.py
                assert ours.by_kind(obj["kind"]) is not None
                assert problems(obj) == [], f"{page.name}: {block}"
                seen += 1
    assert seen, "there are manifests on the pages"


def test_the_changelog_has_this_version() -> None:
    from ome._version import __version__

    assert f"## [{__version__}]" in (ROOT / "CHANGELOG.md").read_text()
