"""``ome chat``: one question, or a conversation."""

from __future__ import annotations

import contextlib
import sys

import click

from ome.api import resources as ours
from ome.apimachinery.objects import Object
from ome.cli import openai, views
from ome.cli.api import Api
from ome.cli.commands.get import not_found
from ome.cli.errors import INTERRUPTED, CliError
from ome.cli.openai import Message
from ome.cli.options import target
from ome.cli.output import Output
from ome.cli.target import Context


@click.command()
@click.argument("service", required=False)
@click.argument("prompt", required=False)
@click.option("--system", metavar="TEXT", help="A system message.")
@click.option("--max-tokens", type=click.IntRange(1), default=512, show_default=True, metavar="N")
@click.option("--temperature", type=float, metavar="T")
@target
def command(
    context: Context,
    service: str | None,
    prompt: str | None,
    system: str | None,
    max_tokens: int,
    temperature: float | None,
) -> None:
    """Ask SERVICE something; without PROMPT, talk to it (or read the prompt from a pipe).

    SERVICE may be left out where there is only one.
    """
    api = context.api()
    chosen = _choose(api, service)
    talk = _Talk(context, api, chosen, system, max_tokens, temperature)
    if prompt is None and not sys.stdin.isatty():
        prompt = sys.stdin.read().strip()
        if not prompt:
            raise CliError("the prompt is empty", remedy="Say: ome chat SERVICE 'your question'")
    if prompt is not None:
        talk.say(prompt)
    else:
        talk.converse()


def _choose(api: Api, name: str | None) -> Object:
    if name is not None:
        namespace, slash, plain = name.rpartition("/")
        where = namespace if slash else api.namespace
        found = api.find(ours.INFERENCE_SERVICES, plain, where)
        if found is None:
            there = [views.name_of(s) for s in api.list(ours.INFERENCE_SERVICES)]
            raise not_found(ours.INFERENCE_SERVICES, plain, where, there)
        return found
    services = api.list(ours.INFERENCE_SERVICES)
    if len(services) == 1:
        return services[0]
    names = ", ".join(views.name_of(s) for s in services)
    if services:
        raise CliError("which service?", remedy=f"There are: {names}")
    raise CliError(
        "there is no service yet", remedy="Make one: ome apply -f examples/quickstart.yaml"
    )


class _Talk:
    def __init__(
        self,
        context: Context,
        api: Api,
        service: Object,
        system: str | None,
        max_tokens: int,
        temperature: float | None,
    ) -> None:
        self._api = api
        self._output: Output = context.output
        self._service = service
        self._gateway = str(context.home.read_state().get("gateway") or "") if api.local else ""
        self._messages: list[Message] = []
        if system:
            self._messages.append({"role": "system", "content": system})
        self._max_tokens = max_tokens
        self._temperature = temperature

    def say(self, prompt: str) -> None:
        """Asks, prints the answer as it comes, and remembers both."""
        asked = [*self._messages, {"role": "user", "content": prompt}]
        pieces = openai.ask(
            self._api,
            self._service,
            self._gateway,
            asked,
            max_tokens=self._max_tokens,
            temperature=self._temperature,
        )
        answer = []
        try:
            for piece in pieces:
                answer.append(piece)
                self._output.raw(piece.encode())
        finally:
            if answer:
                self._output.print()
        self._messages = [*asked, {"role": "assistant", "content": "".join(answer)}]

    def converse(self) -> None:
        with contextlib.suppress(ImportError):
            import readline  # noqa: F401 - editing and history for input()
        name = views.name_of(self._service)
        self._output.say(f"talking to {name}; an empty line or Ctrl-D ends, Ctrl-C breaks off")
        while True:
            try:
                prompt = input("> ").strip()
            except EOFError:
                self._output.say("")
                return
            except KeyboardInterrupt:
                raise SystemExit(INTERRUPTED) from None
            if not prompt:
                return
            try:
                self.say(prompt)
            except KeyboardInterrupt:
                self._output.say("[broken off]")
            except CliError as error:
                self._output.error(str(error))
