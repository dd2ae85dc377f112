"""The duties of the process that looks after the service: each in its own thread, again and again.

A duty that fails is tried again at its next turn, and keeps no other from its own.
"""

from __future__ import annotations

import logging
import threading
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial

from sqlalchemy.exc import DBAPIError

from dicom_io.errors import CtscribeError
from plugin.state.background import in_background
from plugin.state.database import reason_of

LOGGER = logging.getLogger(__name__)


@dataclass(frozen=True)
class Duty:
    """Something that is done from time to time.

    Parameters
    ----------
    name : str
        How the log calls it.
    pause_s : float
        Between the end of one turn and the beginning of the next.
    do : callable
        One turn.
    """

    name: str
    pause_s: float
    do: Callable[[], object]


@contextmanager
def done(duties: Sequence[Duty]) -> Iterator[None]:
    """Do duties in the background for the length of a `with` block, the first turn at once."""
    with in_background(*((duty.name, partial(_do_until, duty)) for duty in duties)):
        yield


def _do_until(duty: Duty, ended: threading.Event) -> None:
    told = ""
    while not ended.is_set():
        problem = _problem(duty)
        if problem != told:  # once, however often it comes again
            LOGGER.log(logging.ERROR if problem else logging.INFO, "%s", problem or duty.name)
        told = problem
        ended.wait(duty.pause_s)


def _problem(duty: Duty) -> str:
    """Do it once; return in one line what went wrong, empty if nothing did."""
    try:
        duty.do()
    except DBAPIError as error:
        return f"{duty.name}: the database does not answer: {reason_of(error)}"
    except OSError as error:
        return f"{duty.name}: {error.filename or ''}: {error.strerror}"
    except CtscribeError as error:
        return f"{duty.name}: {error}"
    except Exception as error:  # noqa: BLE001  a fault of ours must not end the process
        frame = traceback.extract_tb(error.__traceback__)[-1]
        return f"{duty.name}: internal error: {type(error).__name__} at {frame.name}:{frame.lineno}"
    return ""
