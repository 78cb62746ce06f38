"""Entry point of ``ome`` and ``kubectl ome``: options, lazy subcommands, one place for errors."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from typing import Any

import click

from ome.cli.errors import INTERRUPTED, USAGE, CliError
from ome.cli.lazy import LazyGroup
from ome.cli.output import Output
from ome.cli.target import Context

# name -> (module, help): the help stands here so that `ome --help` imports nothing.
COMMANDS: dict[str, tuple[str, str]] = {
    "up": ("up", "Start OME on this machine, and keep it running until Ctrl-C"),
    "down": ("down", "Stop OME on this machine, engines too"),
    "status": ("status", "Is OME running here, and what does it use"),
    "quickstart": ("quickstart", "Serve a small model and ask it something"),
    "apply": ("apply", "Create or change objects from YAML"),
    "get": ("get", "Show models, runtimes and services, or any kind of object"),
    "describe": ("describe", "Everything about one object, and why it is as it is"),
    "events": ("events", "What happened, newest last"),
    "logs": ("logs", "What a service's engine writes"),
    "chat": ("chat", "Ask a service something"),
    "model": ("model", "Look at models, add, download, verify and copy them"),
    "wait": ("wait", "Wait until a service is ready"),
    "delete": ("delete", "Delete objects"),
    "explain": ("explain", "Which runtime a service would get, and why not the others"),
    "bench": ("bench", "Measure services, and compare what was measured"),
    "plan": ("plan", "The objects that OME would make for a service"),
    "validate": ("validate", "Check files as admission does, without any server"),
    "migrate": ("migrate", "Print the new form of services that use deprecated fields"),
    "crds": ("crds", "Print the CustomResourceDefinitions"),
    "install": ("install", "Install OME on a cluster, or print what that would be"),
    "uninstall": ("uninstall", "Remove OME from a cluster; services and CRDs stay"),
    "operator": ("operator", "Run the controllers and webhooks for a cluster"),
    "agent": ("agent", "Keep models on this node's disk, for a cluster"),
    "doctor": ("doctor", "Has this machine what 'ome up' needs"),
    "kubeconfig": ("kubeconfig", "Print the path of the kubeconfig for kubectl"),
    "version": ("version", "Print the version"),
}


@click.group(
    cls=LazyGroup,
    lazy=COMMANDS,
    package="ome.cli.commands",
    path="ome",
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog="First steps: ome up --detach; ome apply -f examples/quickstart.yaml --wait; ome chat",
)
@click.option("--data", metavar="DIR", help="Data folder of 'ome up'.")
@click.option("--kubeconfig", metavar="FILE", help="Speak to a cluster instead of 'ome up'.")
@click.option("--context", metavar="NAME", help="A context of the kubeconfig.")
@click.option("-n", "--namespace", metavar="NAME", help="Namespace; 'default' if not given.")
@click.option("-q", "--quiet", is_flag=True, help="Say nothing but results and errors.")
@click.pass_context
def cli(
    ctx: click.Context,
    data: str | None,
    kubeconfig: str | None,
    context: str | None,
    namespace: str | None,
    quiet: bool,
) -> None:
    """OME, the Open Model Engine: serve language models, here or on Kubernetes."""
    ctx.obj = Context(
        data=data,
        kubeconfig=kubeconfig,
        context=context,
        namespace=namespace,
        output=Output(quiet=quiet),
        plugin=os.path.basename(sys.argv[0]).startswith("kubectl"),  # noqa: PTH119
    )


_NO_ARGUMENTS: Any = getattr(click.exceptions, "NoArgsIsHelpError", ())
"""A group called by its name alone: its help is shown (older clicks show it themselves)."""


def run(arguments: Sequence[str] | None = None) -> int:
    """Runs a command line; returns its exit status and prints its errors."""
    try:
        result: Any = cli.main(args=arguments, prog_name=_name(), standalone_mode=False)
    except CliError as error:
        Output().error(str(error))
        return error.code
    except click.exceptions.Exit as done:
        return done.exit_code
    except click.UsageError as error:
        if isinstance(error, _NO_ARGUMENTS):
            Output().print(error.format_message())
            return USAGE
        said = error.format_message().rstrip(".")
        Output().error(f"{said}{'' if said[-1:] == '?' else '.'} See '{_path(error)} --help'")
        return USAGE
    except click.ClickException as error:
        Output().error(error.format_message())
        return error.exit_code
    except (KeyboardInterrupt, click.Abort):
        Output().say("stopped")
        return INTERRUPTED
    except BrokenPipeError:
        # The reader has gone (`ome get | head`): that is no failure of ours.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except Exception as error:
        return _unexpected(error)
    return result if isinstance(result, int) else 0


def _unexpected(error: Exception) -> int:
    from ome.apimachinery.errors import StatusError
    from ome.cli.errors import FAILURE

    if isinstance(error, StatusError):
        from ome.cli.forbidden import explained

        Output().error(f"the API server refused: {explained(error.message)}")
    elif "OME_DEBUG" in os.environ:
        raise error
    else:
        Output().error(
            f"this should not have happened: {type(error).__name__}: {error}. "
            f"Run it again with OME_DEBUG=1 for the whole story, and report it"
        )
    return FAILURE


def _name() -> str:
    return "kubectl ome" if "kubectl" in sys.argv[0] else "ome"


def _path(error: click.UsageError) -> str:
    return error.ctx.command_path if error.ctx else _name()


def main() -> None:
    sys.exit(run())
