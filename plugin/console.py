"""What the service says to a person: on the terminal, and in its log."""

from __future__ import annotations

import logging

import click

from dicom_io.cleaned import cleaned, cleaned_lines


def say(text: str, *, err: bool = False) -> None:
    """Print lines that may quote something from outside."""
    click.echo(cleaned_lines(text), err=err)


class LogLine(logging.Formatter):
    """One line an event, whatever it quotes; a traceback is part of the line."""

    def format(self, record: logging.LogRecord) -> str:
        return cleaned(super().format(record))
