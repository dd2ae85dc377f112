"""Write the options of every command into docs/command-line.md; with --check only compare.

The words are those of `--help`. A block stands between `<!-- ctscribe COMMAND -->` and
`<!-- end -->`; the prose around it is written by hand.
"""

import re
import sys
from collections.abc import Iterator
from pathlib import Path

import click

from plugin.cli import main

PAGE = Path(__file__).with_name("command-line.md")
BLOCK = re.compile(r"<!-- (ctscribe[\w -]*) -->\n.*?<!-- end -->", re.DOTALL)


def commands(
    command: click.Command, name: str, parent: click.Context | None = None
) -> Iterator[click.Context]:
    """Walk the tree of commands, those of the entry points among them."""
    settings = command.context_settings
    context = click.Context(command, info_name=name, parent=parent, **settings)
    if not command.hidden:
        yield context
    if isinstance(command, click.Group):
        for child in command.list_commands(context):
            yield from commands(command.get_command(context, child), child, context)


def block(context: click.Context) -> str:
    """Write one command: its usage, and a table of its options."""
    usage = " ".join([context.command_path, *context.command.collect_usage_pieces(context)])
    lines = ["```", usage, "```", ""]
    records = [record for record in options(context) if record]
    if records:
        lines += ["| option | meaning |", "| --- | --- |"]
        lines += [f"| {code(names)} | {' '.join(meaning.split())} |" for names, meaning in records]
        lines.append("")
    return "\n".join(lines)


def options(context: click.Context) -> Iterator[tuple[str, str] | None]:
    for parameter in context.command.get_params(context):
        if not isinstance(parameter, click.Option) or "--help" in parameter.opts:
            continue
        if not parameter.help:
            sys.exit(f"{context.command_path} {parameter.opts[-1]} has no help text")
        yield parameter.get_help_record(context)


def code(text: str) -> str:
    """Show a text as it is typed; a bar would end the cell, and is written as an entity."""
    return f"`{text}`" if "|" not in text else f"<code>{text.replace('|', '&#124;')}</code>"


def written(page: str) -> str:
    """Return the page with every block as the commands are now."""
    blocks = {context.command_path: block(context) for context in commands(main, "ctscribe")}
    named = BLOCK.findall(page)
    if missing := blocks.keys() - set(named):
        sys.exit(f"{PAGE.name} lacks blocks: {', '.join(sorted(missing))}")
    if unknown := set(named) - blocks.keys():
        sys.exit(f"{PAGE.name} has blocks of no command: {', '.join(sorted(unknown))}")
    return BLOCK.sub(lambda found: f"<!-- {found[1]} -->\n{blocks[found[1]]}<!-- end -->", page)


if __name__ == "__main__":
    page = PAGE.read_text("utf-8")
    if "--check" not in sys.argv:
        PAGE.write_text(written(page), "utf-8")
    elif written(page) != page:
        sys.exit(f"{PAGE.name} is not what --help says: run `make docs`")
