import pytest
from hypothesis import given
from hypothesis import strategies as st

from ome.apimachinery import selectors as s
from ome.apimachinery.errors import BadRequest

LABELS = {"app": "web", "tier": "front", "size": "10", "empty": ""}


@pytest.mark.parametrize(
    ("text", "matches"),
    [
        ("", True),
        ("app=web", True),
        ("app==web", True),
        ("app = web , tier != back", True),
        ("app!=web", False),
        ("gone!=x", True),
        ("gone=x", False),
        ("app in (web, api)", True),
        ("app in (api)", False),
        ("app notin (api)", True),
        ("gone notin (api)", True),
        ("app", True),
        ("!app", False),
        ("!gone", True),
        ("empty=", True),
        ("app=,tier", False),
        ("empty in (,x)", True),
        ("size>9", True),
        ("size>10", False),
        ("size<11", True),
        ("app>1", False),
        ("gone<1", False),
        ("in=web", False),
        ("example.com/a.b_c=1", False),
    ],
)
def test_label_selector_text(text, matches):
    selector = s.parse_label_selector(text)
    assert selector.matches(LABELS) is matches
    assert s.parse_label_selector(str(selector)).matches(LABELS) is matches


@pytest.mark.parametrize(
    "text",
    ["=x", "a==b==c", "a in", "a in (b", "a in b", "a b", ",", "a,", "a=b=c", "a=b,,c", "-a=b",
     "a=-b-", "a in ()x", "a=(b)", "a>b", "a in (b c)", "!a=b", "/a=b", "a/b/c=d", "a=" + "x" * 64],
)  # fmt: skip
def test_malformed_label_selectors_are_bad_requests(text):
    with pytest.raises(BadRequest):
        s.parse_label_selector(text)


def test_label_selector_object():
    assert not s.label_selector(None).matches(LABELS)
    assert s.label_selector({}).matches({})
    selector = s.label_selector(
        {
            "matchLabels": {"app": "web"},
            "matchExpressions": [
                {"key": "tier", "operator": "NotIn", "values": ["back"]},
                {"key": "gone", "operator": "DoesNotExist"},
                {"key": "app", "operator": "Exists"},
            ],
        }
    )
    assert selector.matches(LABELS)
    assert not selector.matches({"app": "web", "tier": "back"})
    assert selector.matches({"app": "web"})
    for bad in (
        {"key": "a", "operator": "Gt", "values": ["1"]},
        {"key": "a", "operator": "In"},
        {"key": "a", "operator": "Exists", "values": ["x"]},
        {"key": "", "operator": "Exists"},
    ):
        with pytest.raises(BadRequest):
            s.label_selector({"matchExpressions": [bad]})


@given(st.dictionaries(st.from_regex(r"\A[a-z]{1,5}\Z"), st.from_regex(r"\A[a-z]{0,3}\Z")))
def test_labels_match_the_selector_made_of_them(labels):
    selector = s.from_labels(labels)
    assert selector.matches(labels)
    assert s.parse_label_selector(str(selector)).matches(labels)


def test_field_selectors():
    obj = {"metadata": {"name": "a"}, "spec": {"n": 3, "on": True, "text": "x,y=z"}}
    for text, expected in [
        ("metadata.name=a", True),
        ("metadata.name==a,spec.n=3", True),
        ("metadata.name!=a", False),
        ("spec.nodeName=", True),
        ("spec.nodeName!=", False),
        ("spec.on=true", True),
        (r"spec.text=x\,y\=z", True),
        ("", True),
        ("metadata.name.deeper=", True),
    ]:
        selector = s.parse_field_selector(text)
        assert selector.matches(obj) is expected, text
        assert s.parse_field_selector(str(selector)) == selector
    assert s.parse_field_selector("metadata.name=a,x!=b").exact("metadata.name") == "a"
    assert s.parse_field_selector("x!=b").exact("x") is None
    for bad in ("a", "=b", r"a=b\c", "a=b=c"):
        with pytest.raises(BadRequest):
            s.parse_field_selector(bad)


NODE = {"metadata": {"name": "n1", "labels": {"zone": "a", "gpus": "8", "text": "x"}}}


@pytest.mark.parametrize(
    ("term", "matches"),
    [
        ({}, False),
        ({"matchExpressions": []}, False),
        ({"matchExpressions": [{"key": "zone", "operator": "In", "values": ["a", "b"]}]}, True),
        ({"matchExpressions": [{"key": "gone", "operator": "NotIn", "values": ["a"]}]}, True),
        ({"matchExpressions": [{"key": "gone", "operator": "DoesNotExist"}]}, True),
        ({"matchExpressions": [{"key": "gpus", "operator": "Gt", "values": ["7"]}]}, True),
        ({"matchExpressions": [{"key": "gpus", "operator": "Lt", "values": ["8"]}]}, False),
        ({"matchExpressions": [{"key": "text", "operator": "Gt", "values": ["7"]}]}, False),
        ({"matchExpressions": [{"key": "gone", "operator": "Lt", "values": ["7"]}]}, False),
        ({"matchExpressions": [{"key": "gpus", "operator": "Gt", "values": ["x"]}]}, False),
        ({"matchExpressions": [{"key": "gpus", "operator": "Nope", "values": ["x"]}]}, False),
        ({"matchFields": [{"key": "metadata.name", "operator": "In", "values": ["n1"]}]}, True),
        ({"matchFields": [{"key": "metadata.name", "operator": "NotIn", "values": ["n1"]}]}, False),
        ({"matchFields": [{"key": "metadata.uid", "operator": "In", "values": ["n1"]}]}, False),
        (
            {
                "matchExpressions": [{"key": "zone", "operator": "Exists"}],
                "matchFields": [{"key": "metadata.name", "operator": "In", "values": ["n2"]}],
            },
            False,
        ),
    ],
)
def test_node_selector_terms(term, matches):
    assert s.node_selector_matches(NODE, [term]) is matches
    assert s.node_selector_matches(NODE, [{}, term]) is matches


def test_no_terms_match_no_node_but_no_affinity_matches_every_node():
    assert not s.node_selector_matches(NODE, [])
    assert not s.node_selector_matches(NODE, None)
    assert s.node_affinity_matches(NODE, {})
    assert s.node_affinity_matches(NODE, {"nodeSelector": {"zone": "a"}})
    assert not s.node_affinity_matches(NODE, {"nodeSelector": {"zone": "b"}})
    required = {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": []}}
    assert not s.node_affinity_matches(NODE, {"affinity": {"nodeAffinity": required}})
