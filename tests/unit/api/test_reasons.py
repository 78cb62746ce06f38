"""The list of reasons is closed: what the code writes is in it, and each entry can be used."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from ome.api.reasons import KUBERNETES, REASONS, Outlook, reason, remedy

SOURCE = Path(__file__).parents[3] / "src" / "ome"
POSITION = {"Reason": 0, "RenderError": 0, "Problem": 1, "_Finding": 1, "Verdict": 1, "add": 0}
"""Which argument of a call is a reason code."""


def _codes() -> Iterator[tuple[str, str]]:
    """(code, place) of every literal code in the rooms that write conditions."""
    for room in ("selection", "rendering", "controllers"):
        for path in sorted((SOURCE / room).rglob("*.py")):
            for call in ast.walk(ast.parse(path.read_text())):
                if not isinstance(call, ast.Call):
                    continue
                function = call.func
                attribute = isinstance(function, ast.Attribute)
                name = function.attr if isinstance(function, ast.Attribute) else ""
                name = function.id if isinstance(function, ast.Name) else name
                index = POSITION.get(name)
                if attribute and name == "set" and len(call.args) == 4:
                    index = 2
                if name == "set_condition":
                    index = 3
                if index is None or (attribute and name == "add") or len(call.args) <= index:
                    continue
                argument = call.args[index]
                for node in _values(argument):
                    if isinstance(node, ast.Constant) and isinstance(node.value, str):
                        yield node.value, f"{path.name}:{call.lineno}"


def _values(node: ast.expr) -> Iterator[ast.expr]:
    """The expressions that ``node`` may evaluate to, as far as they are literal."""
    if isinstance(node, ast.IfExp):
        yield from _values(node.body)
        yield from _values(node.orelse)
    elif isinstance(node, ast.BoolOp):
        for part in node.values:
            yield from _values(part)
    elif (
        isinstance(node, ast.Call)
        and isinstance(node.func, ast.Attribute)
        and isinstance(node.func.value, ast.Dict)
    ):
        for value in [*node.func.value.values, *node.args[1:]]:
            yield from _values(value)
    else:
        yield node


def test_every_reason_that_code_writes_is_in_the_list() -> None:
    written = [(code, where) for code, where in _codes() if code]
    assert len(written) > 30, "the search found too little to prove anything"
    unknown = {(c, w) for c, w in written if c not in REASONS and c not in KUBERNETES}
    assert not unknown


@pytest.mark.parametrize("code", sorted(REASONS))
def test_a_reason_is_one_word_and_its_sentence_can_be_made(code: str) -> None:
    entry = REASONS[code]
    assert code.isalnum() and code[0].isupper() and len(code) <= 128
    facts = {name: f"<{name}>" for name in entry.facts}
    text = entry.message(**facts)
    assert all(fact in text for fact in facts.values())
    assert not text.endswith(".") and text[0] != " "
    assert entry.meaning


def test_what_is_stuck_says_what_to_do() -> None:
    parts_of_a_sentence = {
        "NoFormats", "ModelFormat", "FormatVersion", "ModelFramework", "FrameworkVersion",
        "Architecture", "Quantization", "DiffusionPipeline", "ModelSize", "Protocol",
        "AcceleratorClass",
    }  # fmt: skip
    silent = {
        code
        for code, entry in REASONS.items()
        if entry.outlook is Outlook.STUCK and not entry.remedy
    }
    assert silent == parts_of_a_sentence


def test_a_missing_fact_is_an_error_and_an_unknown_code_is_not() -> None:
    with pytest.raises(KeyError):
        REASONS["BaseModelNotFound"].message()
    assert reason("NobodyWritesThis") is None
    assert remedy("NobodyWritesThis") == ""
    assert remedy("NameTaken")
