"""Disk, database, processes of the service, and certificates: what this host needs."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

from dicom_io.errors import CtscribeError
from plugin.commands.doctor.finding import Finding, not_installed
from plugin.settings import Settings
from plugin.state.files.file_system import file_system_of
from plugin.state.files.private import make_private
from plugin.state.running.pulse import processes

# What a hospital's own authority takes to issue a certificate, and a change of software its date
RENEWAL = timedelta(days=30)


_SAFE = "use a file system that is safe for the spool, see docs/scaling.md"
_PROCESS_ADVICE = {
    "hangs": "serve replaces it; if you started the part alone, end it and start it again",
    "dead": "look at the end of its log, and start it again",
}


def check_disk(settings: Settings) -> Finding:
    """The spool can be written and is above its floor."""
    spool, floor_mb = settings.storage.spool, settings.storage.floor_mb
    try:
        make_private(spool)
        probe = spool / ".doctor"
        probe.write_bytes(b"")
        link = spool / ".doctor-link"
        link.hardlink_to(probe)
        link.unlink()
        probe.unlink()
    except OSError as error:
        advice = "make the folder writable, on a file system with hard links"
        return Finding("spool", False, f"{spool}: {error.strerror}", advice)
    free_mb = shutil.disk_usage(spool).free // 2**20
    detail = f"{spool}, {free_mb} MB free, floor {floor_mb} MB"
    if free_mb < floor_mb:
        return Finding("spool", False, detail, "free disk space, or lower storage.floor_mb")
    lies_on = file_system_of(spool)
    if lies_on is not None and lies_on.fault:
        return Finding("spool", False, f"{spool} lies on {lies_on.fault}", _SAFE)
    return Finding("spool", True, detail)


def check_database(settings: Settings) -> Iterator[Finding]:
    """The database answers, has the current tables, and its clock goes as this host's."""
    from plugin.state.clock import skew_s
    from plugin.state.database import open_database, session_factory

    try:
        engine = open_database(settings.storage.database_url)
        with session_factory(engine)() as session:
            skew = skew_s(session)
        engine.dispose()
    except ModuleNotFoundError as error:
        yield not_installed("database", error)
    except CtscribeError as error:
        yield Finding("database", False, *str(error).split(": ", 1))
    except OSError as error:  # of the folder of SQLite's file
        detail = f"{error.filename}: {error.strerror}"
        yield Finding("database", False, detail, "make the folder writable for the service")
    except Exception as error:  # noqa: BLE001  every driver raises its own; the answer is the same
        cause = type(error).__name__
        yield Finding("database", False, cause, "check storage.database and that it is running")
    else:
        yield Finding("database", True, engine.dialect.name)
        if engine.dialect.name != "sqlite":
            yield _clock(skew)


def _clock(skew: float) -> Finding:
    from plugin.state.running.skew import MOST_S, told

    ok = abs(skew) <= MOST_S
    advice = "" if ok else "have NTP keep the clocks of this host and of the database's"
    return Finding("clock", ok, told(skew), advice)


def check_processes(settings: Settings) -> Iterator[Finding]:
    """Every process of the service that began and did not end in order is alive."""
    for one in processes(settings.storage.spool):
        advice = "" if one.state == "alive" else _PROCESS_ADVICE[one.state]
        yield Finding("process", one.state == "alive", str(one), advice)


def check_certificates(settings: Settings) -> Iterator[Finding]:
    """No certificate of ours expires soon."""
    from plugin.commands.administrator.certificates import certificates_of, valid_until

    advice = "renew the certificate, and the file"
    for line, files in certificates_of(settings):
        try:
            for path, end in valid_until(files):
                lasts = end - datetime.now(UTC) > RENEWAL
                detail = f"{path}: valid until {end:%Y-%m-%d}"
                yield Finding(f"certificate {line}", lasts, detail, "" if lasts else advice)
        except OSError as error:
            yield Finding(
                f"certificate {line}", False, f"{error.filename}: {error.strerror}", advice
            )
        except ValueError:
            yield Finding(f"certificate {line}", False, "no certificates in PEM", advice)
