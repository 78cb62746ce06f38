import pytest

from ome.apimachinery import names


@pytest.mark.parametrize(
    ("check", "good", "bad"),
    [
        (names.dns_label, ["a", "a-b", "0a", "a" * 63], ["", "A", "-a", "a-", "a.b", "a" * 64]),
        (names.dns_label_1035, ["a", "a-1"], ["1a", "", "a_"]),
        (names.dns_subdomain, ["a", "a.b-c.d", "1.2"], ["", "a..b", ".a", "a.", "a" * 254]),
        (names.label_key, ["a", "a.b/c", "A_b.c", "x.y/Z"],
         ["", "/a", "a/", "a/b/c", "-a", "A.b/c", "a" * 64]),
        (names.label_value, ["", "a", "A-b_c.1"], ["-a", "a b", "a" * 64, "a/b"]),
        (names.config_key, ["a", ".a", "A.b-c_d", "..."[:1] + "x"], ["", ".", "..", "..a", "a/b"]),
        (names.env_name, ["A", "a.b", "1"], ["", "a=b", "ä"]),
        (names.port_name, ["http", "h2-c"], ["", "80", "a" * 16, "A", "a--b", "-a"]),
        (names.path_segment, ["system:node", "a b"], [".", "..", "a/b", "a%b"]),
    ],
)  # fmt: skip
def test_names(check, good, bad):
    for value in good:
        assert check(value) == [], value
    for value in bad:
        assert check(value), value


def test_labels_and_annotations_are_checked_at_their_path():
    assert names.check_labels({"a": "b"}, "metadata.labels") == []
    (problem,) = names.check_labels({"a": "b c"}, "metadata.labels")
    assert problem.path == "metadata.labels"
    assert '"b c"' in problem.message
    assert names.check_annotations({"Example.com/a": "any thing"}, "x") == []
    assert names.check_annotations({"a b": ""}, "x")
    assert names.check_annotations({"a": "x" * 300_000}, "x")
