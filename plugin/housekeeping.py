"""Settings become what looks after the service: retention, metrics, alarms, the audit trail."""

from __future__ import annotations

from contextlib import ExitStack
from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING, Any, Literal

from sqlalchemy import make_url

from dicom_io.archives.http import Bearer
from plugin.endpoints import certificates, read_secret, read_token, syslog_receiver
from plugin.sections.upkeep import Channel as ChannelSettings
from plugin.sections.upkeep import SyslogChannel as SyslogChannelSettings
from plugin.sections.upkeep import SyslogLine
from plugin.sections.upkeep import Webhook as WebhookSettings
from plugin.settings import Settings
from plugin.state.clock import now_by
from plugin.state.database import SessionFactory
from plugin.state.files.spool import Spool

if TYPE_CHECKING:
    from plugin.upkeep.alarms.channels import Channel
    from plugin.upkeep.alarms.open_alarms import Alarms
    from plugin.upkeep.audit.message import Source
    from plugin.upkeep.duties import Duty
    from plugin.upkeep.keeping.limits import Limits
    from plugin.upkeep.metrics.server import MetricsServer

# A repository gets an entry within so long
FORWARD_S = 2.0
# A disk that fills at the rate of a large site takes hours from the high mark to the floor
RETENTION_S = 300.0
# A port that somebody else has may be free later
LISTEN_S = 30.0
# An alarm is raised, and then sent, within so long
LOOK_S, NOTIFY_S = 30.0, 5.0


def duties(settings: Settings, sessions: SessionFactory, spool: Spool) -> list[Duty]:
    """Return what the process that looks after the service does from time to time.

    Parameters
    ----------
    settings : Settings
        Of the service.
    sessions : SessionFactory
        The database.
    spool : Spool
        Where the files lie.
    """
    from plugin.upkeep.duties import Duty
    from plugin.upkeep.keeping.retention import prune

    limits = limits_of(settings)

    def keep_to_the_limits() -> None:
        prune(sessions, spool, limits, now_by(sessions))

    retention = [Duty("retention", RETENTION_S, keep_to_the_limits)]
    watching = watch_duties(settings, sessions)
    return [*watching, *retention] if settings.retention.enabled else watching


def limits_of(settings: Settings) -> Limits:
    """What is kept for how long, and how much of the disk it may take."""
    from plugin.upkeep.keeping.limits import Limit, Limits

    rules = settings.retention

    def limit(days: float | Literal["never"], percent: float = 100) -> Limit:
        return Limit(None if days == "never" else timedelta(days=days), percent / 100)

    return Limits(
        images=limit(rules.images_days, rules.images_percent),
        undrafted=limit(rules.undrafted_days),
        drafts=limit(rules.drafts_days, rules.drafts_percent),
        quarantine=limit(rules.quarantine_days, rules.quarantine_percent),
        orphans=limit(rules.orphans_days, rules.orphans_percent),
        rows=limit(rules.rows_days, rules.rows_percent),
        high=rules.high_percent / 100,
        low=rules.low_percent / 100,
        floor_bytes=settings.storage.floor_mb * 2**20,
        audit=limit(rules.audit_days),
        repositories=tuple(one.name for one in settings.audit.repositories),
    )


def metrics_duties(settings: Settings, sessions: SessionFactory, stack: ExitStack) -> list[Duty]:
    """Return what answers a Prometheus server.

    Parameters
    ----------
    settings : Settings
        Of the service.
    sessions : SessionFactory
        Of its database.
    stack : ExitStack
        Closes the server at the end of the process.
    """
    from plugin.upkeep.duties import Duty

    if not settings.metrics.enabled:
        return []
    server = metrics_server(settings, sessions)
    stack.callback(server.close)
    return [Duty("metrics", LISTEN_S, server.start)]


def hl7_duties(settings: Settings, sessions: SessionFactory, stack: ExitStack) -> list[Duty]:
    """Return what hears orders and final reports.

    Parameters
    ----------
    settings : Settings
        Of the service.
    sessions : SessionFactory
        Of its database.
    stack : ExitStack
        Closes the listener at the end of the process.

    Raises
    ------
    ConfigurationError
        A certificate cannot be read.
    """
    from plugin.upkeep.duties import Duty

    chosen = settings.hl7
    if not chosen.enabled:
        return []
    from plugin.upkeep.orders.hearing import Hearing
    from plugin.upkeep.orders.listener import Listener

    tls = certificates(chosen.tls)
    hear = Hearing(sessions, chosen.accession_fields).hear
    context = tls.server() if tls else None
    listener = Listener(hear, chosen.host, chosen.port, chosen.senders, context)
    stack.callback(listener.close)
    return [Duty("HL7", LISTEN_S, listener.start)]


def metrics_server(settings: Settings, sessions: SessionFactory) -> MetricsServer:
    """Build what answers a Prometheus server; it does not listen yet.

    Raises
    ------
    ConfigurationError
        The variable that holds the token is not set, or a certificate cannot be read.
    """
    from plugin.upkeep.metrics.samples import ServiceMetrics
    from plugin.upkeep.metrics.server import MetricsServer

    storage, chosen = settings.storage, settings.metrics
    told = ServiceMetrics(sessions, storage.spool, storage.floor_mb * 2**20)
    tls = certificates(chosen.tls)
    token = read_token(chosen.token_env)
    return MetricsServer(told, chosen.host, chosen.port, token, tls.server() if tls else None)


def watch_duties(settings: Settings, sessions: SessionFactory) -> list[Duty]:
    """Return the duties: to look for alarms, and one for each repository and each channel."""
    from plugin.upkeep.alarms.notifier import Notifier
    from plugin.upkeep.audit.forwarder import AuditForwarder
    from plugin.upkeep.duties import Duty

    source, now = source_of(settings), partial(now_by, sessions)
    found = [Duty("alarms", LOOK_S, alarms_of(settings, sessions).look)]

    def forward(one: SyslogLine) -> None:
        AuditForwarder(sessions, one.name, syslog_receiver(one), source, now).forward()

    def notify(one: ChannelSettings) -> None:
        accession_numbers = settings.alarms.accession_numbers
        Notifier(sessions, channel_of(one), source.id, accession_numbers, now).notify()

    # Built at each turn: a certificate or a password that is missing stops nothing else
    for repository in settings.audit.repositories:
        name = f"audit trail to {repository.name}"
        found.append(Duty(name, FORWARD_S, partial(forward, repository)))
    for channel in settings.alarms.channels:
        found.append(Duty(f"alarms to {channel.name}", NOTIFY_S, partial(notify, channel)))
    return found


def alarms_of(settings: Settings, sessions: SessionFactory) -> Alarms:
    """Return what keeps the alarms of the service."""
    from plugin.upkeep.alarms.causes import (
        URGENT,
        channel_states,
        drift_states,
        late_states,
        spool_states,
    )
    from plugin.upkeep.alarms.open_alarms import Alarms
    from plugin.upkeep.alarms.quiet_hours import QuietHours

    chosen, storage = settings.alarms, settings.storage
    return Alarms(
        sessions,
        looks=(
            spool_states(storage.spool, storage.floor_mb * 2**20),
            late_states(timedelta(seconds=chosen.late_s)),
            channel_states,
            drift_states,
        ),
        channels=[one.name for one in chosen.channels],
        urgent=URGENT if chosen.urgent is None else chosen.urgent,
        quiet=QuietHours.parse(chosen.quiet_hours) if chosen.quiet_hours else None,
        repeat=timedelta(seconds=chosen.repeat_s),
        now=partial(now_by, sessions),
    )


def channel_of(settings: ChannelSettings) -> Channel:
    """Build whoever takes alarms; secrets are in the environment.

    Raises
    ------
    ConfigurationError
        A variable that the settings name is not set.
    """
    from plugin.upkeep.alarms.channels import Mail, SyslogChannel, Webhook

    if isinstance(settings, SyslogChannelSettings):
        return SyslogChannel(settings.name, syslog_receiver(settings))
    tls, timeout_s = certificates(settings.tls), settings.timeout_s
    if isinstance(settings, WebhookSettings):
        token = read_token(settings.token_env)
        url = settings.url or read_secret(settings.url_env or "")
        return Webhook(settings.name, url, Bearer(token) if token else None, tls, timeout_s)
    return Mail(
        settings.name,
        settings.host,
        settings.port,
        settings.sender,
        settings.to,
        settings.security,
        settings.user,
        read_secret(settings.password_env) if settings.password_env else None,
        tls,
        timeout_s,
    )


def source_of(settings: Settings) -> Source:
    """Return how the service names itself in audit messages."""
    from plugin.upkeep.audit.message import Source

    receiver = settings.receiver
    titles = receiver.ae_title, receiver.redraft_ae_title
    return Source(settings.audit.source_id, settings.audit.site_id, titles)


def audited_settings(settings: Settings) -> dict[str, Any]:
    """Return the settings as the audit trail keeps them, without a password in the URL."""
    values = settings.model_dump(mode="json", exclude_defaults=True)
    if settings.storage.database is not None:
        url = make_url(settings.storage.database)
        values["storage"]["database"] = url.render_as_string(hide_password=True)
    return values
