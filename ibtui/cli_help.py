"""How the help of commands looks; see `cli`."""

from __future__ import annotations

import inspect

import click


class _Example:
    """The example stands on a line of its own, whole, so that it can be copied."""

    help: str | None

    def format_help_text(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """What it does, then the example."""
        text, _, example = inspect.cleandoc(self.help or "").partition("Example: ")
        for paragraph in text.strip().split("\n\n"):
            formatter.write_paragraph()
            with formatter.indentation():
                formatter.write_text(paragraph)
        if example:
            formatter.write_paragraph()
            formatter.write(f"  Example: {' '.join(example.split())}\n")


class Command(_Example, click.Command):
    """A command of ours."""


class Group(_Example, click.Group):
    """Lists its commands in the order written."""

    command_class = Command

    def list_commands(self, ctx: click.Context) -> list[str]:
        """As they were added."""
        return list(self.commands)
