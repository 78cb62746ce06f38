"""``ome model inspect``: what a model's files say, before or after it is downloaded."""

from __future__ import annotations

from typing import Any

import click

from ome.cli.options import format_option
from ome.cli.output import Output, size
from ome.cli.target import Context


@click.command(
    epilog="For example: ome model inspect hf://Qwen/Qwen3-0.6B -o json; ome model inspect ./model"
)
@click.argument("place", metavar="URI|DIR")
@format_option("text", "json", "yaml")
@click.pass_obj
def command(context: Context, place: str, form: str) -> None:
    """What the files of the model at URI, or in DIR, say about it.

    Of a model that is not here only headers and small files are read, no weights; no code of it is
    run. A folder with nothing but config.json will do: the number of parameters is then an
    estimate, and said to be one. The names are those of the fields of a model's spec.
    """
    from ome.cli.models import as_json, look

    seen = as_json(look(place))
    if form == "text":
        _text(context.output, seen)
    else:
        context.output.object(seen, form)


def _text(output: Output, seen: dict[str, Any]) -> None:
    count = seen.get("parameterCount")
    exactly = "counted in the weights" if seen.get("parameterCountExact") else "an estimate"
    source = seen["source"]
    total = f"{source['files']} files, {size(source['sizeBytes'])}"
    rows = [
        ("Architecture", seen.get("modelArchitecture")),
        ("Type", seen.get("modelType")),
        ("Parameters", f"{count:,} ({seen['modelParameterSize']}; {exactly})" if count else None),
        ("Capabilities", ", ".join(seen.get("modelCapabilities") or ())),
        ("Context", f"{seen['maxTokens']} tokens" if seen.get("maxTokens") else None),
        ("Weights", seen.get("dtype")),
        ("Quantization", seen.get("quantization")),
        ("Format", _named(seen.get("modelFormat"))),
        ("Framework", _named(seen.get("modelFramework"))),
        ("Pipeline", (seen.get("diffusionPipeline") or {}).get("className")),
        ("License", seen.get("license")),
        ("Revision", source.get("revision")),
        ("Files", total),
    ]
    for name, value in rows:
        if value:
            output.print(f"{name + ':':<14} {value}")
    for note in seen.get("notes") or ():
        output.warn(note)


def _named(value: dict[str, str] | None) -> str:
    return " ".join(filter(None, ((value or {}).get("name"), (value or {}).get("version"))))
