"""Options that have a new name: the old one is taken for one release, with a hint."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import click

FIRST_RELEASE_WITHOUT = "0.3"

# The words before the options, and what is renamed there and in every command below
RENAMED: Mapping[str, Mapping[str, str]] = {
    "demo": {"--output": "--out"},
    "eval": {"--checkpoint": "--model", "--protocol": "--split"},
    "phantom": {"--output": "--out"},
    "report": {"--output": "--out"},
    "train": {"--from": "--model"},
    "volume": {"--output": "--out"},
}


def rename_options(args: Sequence[str]) -> list[str]:
    """Put new names in place of old ones, and say so on standard error.

    Parameters
    ----------
    args : sequence of str
        What stands on the command line behind `ctscribe`. Nothing behind `--` is an option.

    Returns
    -------
    list of str
        The same words, with options as they are called now.
    """
    renamed = {
        old: new
        for words, names in RENAMED.items()
        if list(args[: words.count(" ") + 1]) == words.split()
        for old, new in names.items()
    }
    end = args.index("--") if "--" in args else len(args)
    for old in sorted(renamed.keys() & {word.partition("=")[0] for word in args[:end]}):
        hint = f"{old} is now {renamed[old]}; the old name goes with {FIRST_RELEASE_WITHOUT}"
        click.echo(f"ctscribe: {hint}", err=True)
    return [*(_renamed(word, renamed) for word in args[:end]), *args[end:]]


def _renamed(word: str, renamed: Mapping[str, str]) -> str:
    name, equals, value = word.partition("=")
    return renamed.get(name, name) + equals + value
