"""Addresses and devices."""

from __future__ import annotations

import ipaddress
from pathlib import Path

import pytest

from ome.standalone.node import addresses, machine
from ome.standalone.node.context import Devices


def test_every_pod_has_an_address_of_its_own() -> None:
    taken: set[str] = set()
    for number in range(500):
        address = addresses.allocate(f"uid-{number}", taken, "linux")
        assert address not in taken
        assert ipaddress.ip_address(address).is_loopback
        taken.add(address)


def test_an_address_is_the_same_for_the_same_pod_and_the_next_free_one_if_taken() -> None:
    first = addresses.allocate("u", (), "linux")
    assert addresses.allocate("u", (), "linux") == first
    assert addresses.allocate("u", {first}, "linux") != first


def test_elsewhere_than_on_linux_pods_share_one_address() -> None:
    assert addresses.allocate("u", {"127.0.0.1"}, "darwin") == "127.0.0.1"


def test_devices_are_lent_to_one_container_at_a_time_and_come_back() -> None:
    devices = Devices(["0", "1", "2"])
    assert devices.claim("a", "c", 2) == ["0", "1"]
    assert devices.claim("a", "c", 2) == ["0", "1"]
    with pytest.raises(LookupError, match="1 of 3 free"):
        devices.claim("b", "c", 2)
    devices.release("a")
    assert devices.claim("b", "c", 2, known=["1", "2"]) == ["1", "2"]
    assert devices.claim("d", "c", 0) == []


def test_only_devices_that_we_may_use_ourselves_are_handed_out() -> None:
    assert machine.visible_gpus(4, None) == ["0", "1", "2", "3"]
    assert machine.visible_gpus(4, "2,3") == ["2", "3"]
    assert machine.visible_gpus(4, "") == []
    assert machine.visible_gpus(0, "0") == []


def test_a_machine_that_is_renamed_keeps_its_node_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("socket.gethostname", lambda: "My_Laptop.local.")
    assert machine.default_name(tmp_path) == "my-laptop.local"
    monkeypatch.setattr("socket.gethostname", lambda: "dhcp-17")
    assert machine.default_name(tmp_path) == "my-laptop.local"
    assert machine.default_name() == "dhcp-17"
