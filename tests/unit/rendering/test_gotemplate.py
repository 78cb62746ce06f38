from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ome.rendering.gotemplate import TemplateError, render

DATA = {"Name": "chat", "Namespace": "ns", "Labels": {"a/b": "<1 & 2>", "x": "y"}}


@pytest.mark.parametrize(
    ("text", "result"),
    [
        ("{{ .Name }}.{{.Namespace}}", "chat.ns"),
        ('{{ index .Labels "a/b" }}', "<1 & 2>"),  # values are not escaped
        ("{{ index .Labels `x` }}", "y"),
        ("{{ .Labels.x }}{{ .Labels.none }}", "y"),
        ("a {{- .Name -}} b", "achatb"),
        ("{{/* nothing */}}x", "x"),
        ("$(MODEL_PATH) {json: {}}", "$(MODEL_PATH) {json: {}}"),
    ],
)
def test_fields_and_keys_are_filled_in(text: str, result: str) -> None:
    assert render(text, DATA) == result


@pytest.mark.parametrize(
    "text",
    ["{{ .Nope }}", "{{ printf .Name }}", "{{ .Name | upper }}", "{{ .Labels }}", "{{ .Name.x }}"],
)
def test_anything_else_is_an_error_that_shows_the_text(text: str) -> None:
    with pytest.raises(TemplateError, match=r"\{\{"):
        render(text, DATA)


@given(st.text())
def test_text_without_actions_is_left_alone(text: str) -> None:
    if "{{" not in text:
        assert render(text, DATA) == text
