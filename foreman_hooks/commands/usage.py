"""How a command line that cannot be understood is answered: with help, or with where help is."""

from difflib import get_close_matches
from typing import Optional

import click


class HelpWanted(click.UsageError):
    """A group was called without a command; the message is its whole help."""


class Group(click.Group):
    """A command that has commands; alone, it raises HelpWanted.

    What click itself does then differs between its versions.
    """

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Parse the words after the group's name; raises HelpWanted if there are none."""
        if not args and not ctx.resilient_parsing:
            raise HelpWanted(ctx.get_help(), ctx)
        return super().parse_args(ctx, args)

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[Optional[str], Optional[click.Command], list[str]]:
        """As click does it; an error also names the command that was probably meant."""
        try:
            return super().resolve_command(ctx, args)
        except click.UsageError as error:
            similar = get_close_matches(args[0], self.list_commands(ctx), 1)
            if not similar or "Did you mean" in error.message:
                raise
            ctx.fail(f"{error.message} Did you mean '{similar[0]}'?")


def usage_error(message: str) -> click.UsageError:
    """The error of a command that was called with options that do not go together."""
    return click.UsageError(message, click.get_current_context(silent=True))


def bad_option(option: str, message: str) -> click.BadParameter:
    """The error of a command that was called with a wrong value; `option`: such as --log-file."""
    context = click.get_current_context(silent=True)
    return click.BadParameter(message, context, param_hint=option)


def with_hint(error: click.ClickException) -> str:
    """The message of an error, and which help to read."""
    message = error.format_message()
    context: Optional[click.Context] = getattr(error, "ctx", None)
    if context is None:
        return message
    if not message.endswith((".", "?", "!", ")")):
        message += "."
    return f"{message} See: {context.command_path} --help"
