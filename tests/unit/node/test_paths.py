"""Paths of pods and of the machine."""

from __future__ import annotations

from pathlib import Path

import pytest

from ome.standalone.node.paths import (
    HostPathMap,
    Mount,
    PathError,
    PodFiles,
    Rewriting,
    clean_absolute,
    contained,
    make_links,
    plan_links,
)

PLACE = Path("/data/root/mnt/models")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("/mnt/models", "{}"),
        ("/mnt/models/llama", "{}/llama"),
        ("--model=/mnt/models/llama", "--model={}/llama"),
        ("file:///mnt/models/a", "file://{}/a"),
        ("/mnt/models:/mnt/models/b", "{}:{}/b"),
        ("sh -c 'ls /mnt/models; cat \"/mnt/models/x\"'", "sh -c 'ls {}; cat \"{}/x\"'"),
        ("@/mnt/models/prompt", "@{}/prompt"),
        ("/mnt/models-2/x", "/mnt/models-2/x"),
        ("/mnt/models.bak", "/mnt/models.bak"),
        ("/srv/mnt/models/x", "/srv/mnt/models/x"),
        ("http://hub/mnt/models/x", "http://hub/mnt/models/x"),
        ("${HOME}/mnt/models", "${HOME}/mnt/models"),
        ("mnt/models", "mnt/models"),
        ("no path at all", "no path at all"),
    ],
)
def test_a_mount_path_is_rewritten_only_as_whole_segments(text: str, expected: str) -> None:
    rewrite = Rewriting({"/mnt/models": PLACE})
    assert rewrite(text) == expected.replace("{}", str(PLACE))


def test_the_longest_mount_path_wins_and_nothing_is_rewritten_twice() -> None:
    rewrite = Rewriting({"/a": Path("/x/a"), "/a/b": Path("/y/a/b"), "/x": Path("/nowhere")})
    assert rewrite("/a/b/c /a/c /x/q") == "/y/a/b/c /x/a/c /nowhere/q"


@pytest.mark.parametrize("path", ["relative", "", "/a/../b", "..", "/..", "/a\0b"])
def test_paths_that_are_not_clean_and_absolute_are_refused(path: str) -> None:
    with pytest.raises(PathError):
        clean_absolute(path)


def test_redundant_slashes_are_no_reason_to_refuse() -> None:
    assert clean_absolute("//raid//models/./x/") == "/raid/models/x"


def test_host_paths_map_by_the_longest_known_prefix(tmp_path: Path) -> None:
    models, special = tmp_path / "models", tmp_path / "special"
    models.mkdir()
    special.mkdir()
    mapping = HostPathMap({"/raid/models": models, "/raid/models/special/": special})
    assert mapping.resolve("/raid/models/a/b") == models / "a/b"
    assert mapping.resolve("/raid/models") == models
    assert mapping.resolve("/raid/models/special/x") == special / "x"
    assert mapping.resolve("/raid/models2/x") == Path("/raid/models2/x")
    assert mapping.resolve("/elsewhere") == Path("/elsewhere")


def test_a_link_out_of_the_models_folder_is_refused(tmp_path: Path) -> None:
    models = tmp_path / "models"
    models.mkdir()
    (models / "escape").symlink_to("/etc")
    (models / "inside").symlink_to(models)
    mapping = HostPathMap({"/raid/models": models})
    with pytest.raises(PathError, match="symbolic link"):
        mapping.resolve("/raid/models/escape/passwd")
    assert mapping.resolve("/raid/models/inside/x") == models / "inside/x"


def test_a_sub_path_may_not_leave_its_volume(tmp_path: Path) -> None:
    (tmp_path / "out").symlink_to("/")
    for bad in ("../x", "/abs", "out/etc"):
        with pytest.raises(PathError):
            contained(tmp_path, bad, "subPath")
    assert contained(tmp_path, "a/b", "subPath") == tmp_path / "a/b"


def test_mounts_become_links_and_an_identical_host_path_is_left_alone(tmp_path: Path) -> None:
    files = PodFiles(tmp_path / "pod")
    volume = tmp_path / "volume"
    volume.mkdir()
    mounts = {"main": [Mount("/mnt/data", volume), Mount("/etc", Path("/etc"))]}
    links, rewritings = plan_links(files, mounts)
    make_links(links)
    make_links(links)
    assert links == {files.root / "mnt/data": volume}
    assert (files.root / "mnt/data").resolve() == volume.resolve()
    assert rewritings["main"]("/mnt/data/x /etc/hosts") == f"{files.root}/mnt/data/x /etc/hosts"


def test_containers_share_links_unless_they_mount_different_things_at_one_path(
    tmp_path: Path,
) -> None:
    files = PodFiles(tmp_path)
    one, two = tmp_path / "one", tmp_path / "two"
    links, rewritings = plan_links(
        files, {"a": [Mount("/d", one)], "b": [Mount("/d", one)], "c": [Mount("/d", two)]}
    )
    assert rewritings["a"]("/d") == rewritings["b"]("/d") == str(files.root / "d")
    assert rewritings["c"]("/d") == str(tmp_path / "root.c" / "d")
    assert len(links) == 2


def test_a_nested_mount_writes_nothing_into_the_outer_volume(tmp_path: Path) -> None:
    files = PodFiles(tmp_path / "pod")
    outer, inner = tmp_path / "outer", tmp_path / "inner"
    outer.mkdir()
    inner.mkdir()
    links, rewritings = plan_links(files, {"m": [Mount("/a", outer), Mount("/a/b", inner)]})
    make_links(links)
    assert list(outer.iterdir()) == []
    assert Path(rewritings["m"]("/a/b")).resolve() == inner.resolve()
    assert Path(rewritings["m"]("/a")).resolve() == outer.resolve()


def test_a_corrected_link_replaces_the_old_one_but_never_a_real_file(tmp_path: Path) -> None:
    link = tmp_path / "root" / "x"
    make_links({link: Path("/old")})
    make_links({link: Path("/new")})
    assert str(link.readlink()) == "/new"
    link.unlink()
    link.write_text("mine")
    with pytest.raises(PathError):
        make_links({link: Path("/new")})
