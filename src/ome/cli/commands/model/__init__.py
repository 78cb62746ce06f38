"""``ome model``: models from where they are published to where they are used."""

from __future__ import annotations

import click

from ome.cli.lazy import LazyGroup

COMMANDS: dict[str, tuple[str, str]] = {
    "add": ("add", "Make a model object with everything that its files say"),
    "list": ("list", "The models, where they are and how far"),
    "describe": ("describe", "All about one model, node by node"),
    "inspect": ("inspect", "What a model's files say, here or at a storage URI"),
    "download": ("download", "Bring a model to a folder, verified"),
    "verify": ("verify", "Compare every byte with its hash again"),
    "prune": ("prune", "Delete downloads that no model wants any more"),
    "copy": ("copy", "Copy a model from one storage to another"),
}


@click.group(
    cls=LazyGroup,
    lazy=COMMANDS,
    package="ome.cli.commands.model",
    path="ome model",
    epilog="For example: ome model inspect hf://Qwen/Qwen3-0.6B; ome model add hf://Qwen/Qwen3-0.6B",
)
def command() -> None:
    """Look at models, add, download, verify and copy them.

    A storage URI says where a model is: hf://ORG/MODEL[@REVISION], s3://BUCKET/PREFIX, gs://, az://,
    oci://, github://, vendor://, pvc://CLAIM/PATH or local:///PATH. HF_TOKEN opens gated models.
    """
