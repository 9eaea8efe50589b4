"""The `medssm` command: assembles the sub-commands and turns exceptions into one sentence and an exit code."""

from importlib import import_module
from typing import Annotated

import typer

from medssm import __version__
from medssm.cli.address_space import watch_limit
from medssm.cli.commands import refuse_repeats
from medssm.cli.errors import run, tame_threads
from medssm.waiting import let_threads_sleep

# Each module defines register(app), which adds its command; heavy imports sit inside the commands.
COMMANDS: tuple[str, ...] = (
    # one line each
    "evaluate",
    "data",
    "doctor",
    "demo",
    "plan",
    "train",
    "validate",
    "predict",
    "view",
    "classify",
    "detect",
    "segment",
    "models",
    "weights",
    "bench",
    "cache",
)


def build_app() -> typer.Typer:
    """The Typer application with every command registered."""
    app = typer.Typer(
        name="medssm",
        help="Train and run 3-D medical segmentation on state-space (Mamba) models.",
        epilog="With --debug, anywhere in a command, an error shows its traceback.",
        no_args_is_help=True,
        pretty_exceptions_enable=False,
        context_settings={"help_option_names": ["-h", "--help"]},
    )
    app.callback()(_options)
    for name in COMMANDS:
        import_module(f"medssm.cli.{name}").register(app)
    refuse_repeats(app)
    return app


def _print_version(asked: bool) -> None:
    if asked:
        typer.echo(f"medssm {__version__}")
        raise typer.Exit


def _options(
    version: Annotated[
        bool, typer.Option("--version", is_eager=True, callback=_print_version, help="Print the version and end.")
    ] = False,
) -> None:
    pass


def main() -> None:
    """Entry point of the console script."""
    let_threads_sleep()
    watch_limit()
    tame_threads()
    run(build_app())
