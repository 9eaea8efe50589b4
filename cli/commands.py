"""How every command reads its options."""

from collections import Counter
from typing import Any

import typer
from typer.core import TyperCommand, TyperOption

from medssm.errors import UsageError, quoted


class Command(TyperCommand):
    """A command that refuses an option given twice where it takes one value; the parser would keep the last one.

    And a NUL character, for which the parser has no sentence.
    """

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        for word in args:
            if "\0" in word:
                raise UsageError(f"{quoted(word)}: holds a NUL character, which no name does; leave it out")
        _, _, given = self.make_parser(ctx).parse_args(args=list(args))
        for option, times in Counter(given).items():
            if times > 1 and isinstance(option, TyperOption) and not (option.multiple or option.is_flag):
                raise UsageError(f"{option.opts[0]}: given {times} times, but it takes one value; give it once")
        return super().parse_args(ctx, args)


def refuse_repeats(app: typer.Typer) -> None:
    """Has every command of an application, and of the groups in it, read its options so."""
    for command in app.registered_commands:
        command.cls = Command
    for group in app.registered_groups:
        if group.typer_instance:
            refuse_repeats(group.typer_instance)
