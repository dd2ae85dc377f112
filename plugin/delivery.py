"""Delivery: every draft to every destination, until it is proved to stand there.

Sent is not delivered. A delivery ends when the report was found again on the destination by its
SOP Instance UID, under the study and the patient that it names. Deliveries, attempts and the next
moment to try live in the database; an attempt that dies between sending and recording is simply
made again, because a report with the same UID changes nothing at the destination.
"""

from __future__ import annotations

import logging
import random
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from pydicom import dcmread
from sqlalchemy import select, update
from sqlalchemy.orm import Session, sessionmaker

from dicom_io.errors import AssociationRejected, PeerUnreachable
from dicom_io.proof import Verdict, identity_of, judge, reference_of
from plugin.destinations import Destination

LOGGER = logging.getLogger(__name__)
FIRST_PAUSE_S = 10.0
LONGEST_PAUSE_S = 3600.0
# An attempt that takes longer has died, and another process may make it again
ATTEMPT_S = 300.0
# A destination that takes reports in may need so many looks before it shows one
LOOKS_BEFORE_SENDING_AGAIN = 5
