"""Environment variables of a container that is being built."""

from __future__ import annotations

from ome.apimachinery.objects import Object


def set_env(container: Object, name: str, value: str) -> None:
    """Sets one variable, keeping its place if it is there already."""
    env = container.setdefault("env", [])
    for index, item in enumerate(env):
        if item.get("name") == name:
            env[index] = {"name": name, "value": value}
            return
    env.append({"name": name, "value": value})


def default_env(container: Object, name: str, value: str) -> None:
    """Sets one variable unless it is there already, in whatever form."""
    env = container.get("env") or []
    if all(item.get("name") != name for item in env):
        container["env"] = [*env, {"name": name, "value": value}]
