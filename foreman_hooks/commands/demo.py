"""demo: see it all on loopback."""

import click

from ..sandbox.demo import show


@click.command()
@click.option(
    "--keep",
    is_flag=True,
    help="Leave both servers running until Ctrl-C, to try other commands on them.",
)
def demo(keep: bool) -> int:
    """Show it all on a simulated Satellite and OpenStack.

    Starts both on loopback, with every kind of host that matters, and cleans up there. Nothing real
    is asked.
    """
    return show(click.echo, keep)
