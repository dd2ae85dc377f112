"""The doors of the service: each is answered, or free for who will answer there."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from dataclasses import replace

from plugin.commands.doctor.finding import Finding, reachable
from plugin.sections.upkeep import Hl7, Metrics
from plugin.sections.web import Web
from plugin.settings import Settings
from plugin.state.running.pulse import processes


def check_receiver(settings: Settings) -> Finding:
    """A receiver answers C-ECHO, or its port is free for one."""
    receiver = settings.receiver
    where = f"{receiver.ae_title} at {receiver.host}:{receiver.port}"
    if not _is_free(receiver.host, receiver.port):
        return reachable("receiver", where, lambda: _echo(settings))
    if receiver.host not in ("127.0.0.1", "::1", "localhost") and not receiver.peers:
        return Finding(
            "receiver", False, f"{where}: nobody may send", "list the senders as receiver.peers"
        )
    return Finding("receiver", True, f"{where}: not running, its port is free")


def _echo(settings: Settings) -> None:
    from dicom_io.archives.dimse import Dimse
    from plugin.endpoints import certificates

    receiver = settings.receiver
    host = "127.0.0.1" if receiver.host in ("0.0.0.0", "::") else receiver.host  # noqa: S104
    tls = certificates(receiver.tls)
    if tls is not None:  # we know our own certificate, whatever name is in it
        tls = replace(tls, authorities=tls.certificate, check_name=False)
    Dimse(host, receiver.port, receiver.ae_title, tls=tls).check()


def check_listeners(settings: Settings) -> Iterator[Finding]:
    """Whoever else listens does so, or finds the port free."""
    listeners: dict[str, tuple[Hl7 | Metrics | Web, str]] = {
        "hl7": (settings.hl7, "upkeep"),
        "metrics": (settings.metrics, "upkeep"),
        "web": (settings.web, "web"),
    }
    here = [one for one in processes(settings.storage.spool) if one.host == socket.gethostname()]
    alive = {one.part for one in here if one.state == "alive"}
    for check, (section, part) in listeners.items():
        if section.enabled:
            where = f"{section.host}:{section.port}"
            yield _listener(check, where, _is_free(section.host, section.port), part in alive)


def _listener(check: str, where: str, free: bool, alive: bool) -> Finding:
    if free and not alive:
        return Finding(check, True, f"{where}: not running, its port is free")
    if alive and not free:
        return Finding(check, True, f"{where}: listens")
    if free:
        detail, advice = "nobody listens, though its process runs", "look at the end of its log"
    else:
        detail, advice = "another program listens there", f"set another port in [{check}]"
    return Finding(check, False, f"{where}: {detail}", advice)


def _is_free(host: str, port: int) -> bool:
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError:
            return False
    return True
