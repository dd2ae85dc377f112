"""Runs inside Orthanc (Python plugin): forwards stable CT studies to the assistant, once.

Orthanc executes this file in its own interpreter, so it imports nothing but the standard library
and Orthanc's `orthanc` module, and does nothing heavy: Orthanc's own jobs send the instances.

What was forwarded is kept as metadata on the study; what is on its way, and since when studies
count, in a global property. Both survive a restart of Orthanc, however it ended.
"""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import orthanc

MODALITY = "ctscribe"
# What arrives under the AE title of this modality, the assistant drafts again
MODALITY_AGAIN = "ctscribe-again"
# Numbers from 1024 on are the users'; Orthanc shows the name that its configuration gives
METADATA = "4201"
METADATA_NAME = "ctscribe"
PROPERTY = 4201
# A restart of the assistant costs one pause; a longer outage is asked for once an hour
FIRST_PAUSE_S = 10.0
LONGEST_PAUSE_S = 3600.0
ALERT_AFTER = 5  # failures: five minutes, longer than any restart
# The pauses of so many refusals are a day: a full disk is noticed and emptied within it
MOST_REFUSALS = 30
# Says with every instance how many there are of the study. The assistant looks for this title as
# Move Originator AE Title, with the number as Move Originator Message ID (PS3.7 9.1.1.1)
WHOLE = "CTSCRIBE_WHOLE"
LARGEST_NUMBER = 0xFFFF  # a Message ID is an unsigned short
ECHO_TIMEOUT_S = 10
# What is remembered of a study before anything was tried
BEFORE: dict[str, Any] = {
    "job": "",
    "again": False,
    "attempts": 0,
    "answered": False,
    "singly": False,
    "left": [],
    "refusals": 0,
}
PAGE = 100  # studies in an answer: Orthanc holds its database no longer than for these


def get(uri: str) -> Any:
    return json.loads(orthanc.RestApiGet(uri))


def now() -> str:
    """Return the present as Orthanc writes it, so that the two compare as text."""
    return datetime.now(UTC).strftime("%Y%m%dT%H%M%S")


def exists(study: str) -> bool:
    try:
        get(f"/studies/{study}")
    except orthanc.OrthancException:
        return False
    return True


def ct_series(study: str) -> dict[str, list[str]]:
    """Map the CT series of a study to their instances: the assistant's own SR stays behind."""
    return {
        series["ID"]: series["Instances"]
        for series in get(f"/studies/{study}/series")
        if series["MainDicomTags"].get("Modality") == "CT"
    }


def instances_of(study: str) -> list[str]:
    return sorted(instance for group in ct_series(study).values() for instance in group)


def digest(series: dict[str, list[str]]) -> str:
    """Return what changes when, and only when, the CT instances of a study change."""
    instances = sorted(instance for group in series.values() for instance in group)
    return hashlib.sha256("\n".join(instances).encode()).hexdigest()


def forwarded(study: str) -> dict[str, Any]:
    """Return the record of the last forwarding that succeeded; empty if there was none."""
    values = get(f"/studies/{study}/metadata?expand")
    record: dict[str, Any] = json.loads(values.get(METADATA_NAME) or values.get(METADATA) or "{}")
    return record


def touched_since(moment: str) -> Iterator[str]:
    """Yield the studies that received an instance at or after `moment`."""
    position = 0
    while page := get(f"/studies?expand&since={position}&limit={PAGE}"):
        yield from (study["ID"] for study in page if study["LastUpdate"] >= moment)
        position += len(page)


def pause_s(attempts: int) -> float:
    """Return how long to wait after so many failures; after weeks of them a power overflows."""
    return min(FIRST_PAUSE_S * (1 << min(attempts, 16)), LONGEST_PAUSE_S)


def answers() -> bool:
    """Whether the assistant answers C-ECHO; it may take `ECHO_TIMEOUT_S`."""
    try:
        request = json.dumps({"Timeout": ECHO_TIMEOUT_S})
        orthanc.RestApiPost(f"/modalities/{MODALITY}/echo", request)
    except orthanc.OrthancException:
        return False
    return True


def store(entry: dict[str, Any], resources: list[str], *, synchronous: bool) -> dict[str, Any]:
    """Ask Orthanc to send resources.

    Parameters
    ----------
    entry : dict
        What is remembered of the study: how many instances it has, and who is asked for what.
    resources : list of str
        Orthanc's identifiers of series or instances.
    synchronous : bool
        Whether to wait for the end.

    Raises
    ------
    orthanc.OrthancException
        There is no such resource or modality; where synchronous, the sending failed.
    """
    request: dict[str, Any] = {"Resources": resources, "Synchronous": synchronous}
    if entry["instances"] <= LARGEST_NUMBER:
        request |= {"MoveOriginatorAet": WHOLE, "MoveOriginatorID": entry["instances"]}
    modality = MODALITY_AGAIN if entry["again"] else MODALITY
    job: dict[str, Any] = json.loads(
        orthanc.RestApiPost(f"/modalities/{modality}/store", json.dumps(request))
    )
    return job


def is_refused(entry: dict[str, Any], instance: str) -> bool:
    try:
        store(entry, [instance], synchronous=True)
    except orthanc.OrthancException:
        return True
    return False


def described(instance: str) -> str:
    """Name an instance for a person: Orthanc's identifier and the SOP class."""
    try:
        sop_class = orthanc.RestApiGet(f"/instances/{instance}/metadata/SopClassUid")
    except orthanc.OrthancException:
        return f"{instance} (deleted)"
    # as it stands in the object: no log may obey it
    return f"{instance} (SOP class {ascii(sop_class.decode('latin-1'))[1:-1]})"


class Forwarder:
    """Sends each set of CT instances of a study once, until the assistant has it.

    A job ends with the first instance that fails. If the assistant answers an echo and a job fails
    all the same, an instance is refused: then they are sent one by one, and those that are refused
    again for a day at most.
    """

    def __init__(self) -> None:
        self.lock = threading.RLock()
        self.pending: dict[str, dict[str, Any]] = {}
        self.since = now()
        self.timers: dict[str, threading.Timer] = {}

    def load(self) -> None:
        """Read what an earlier run of Orthanc left behind."""
        stored = json.loads(orthanc.GetGlobalProperty(PROPERTY, "") or "{}")
        with self.lock:
            self.since = stored.get("since", self.since)
            self.pending = {
                study: {**BEFORE, **entry} for study, entry in stored.get("pending", {}).items()
            }

    def catch_up(self) -> None:
        """Send what is unfinished, and what came too late in the earlier run to become stable."""
        started = now()
        for study, entry in list(self.pending.items()):
            if exists(study):
                self.retry(study, entry["job"])
            else:
                self.forget(study)
        for study in touched_since(self.since):
            self.consider(study)
        with self.lock:
            self.since = started
            self.save()

    def stop(self) -> None:
        with self.lock:
            for timer in self.timers.values():
                timer.cancel()

    def consider(self, study: str) -> None:
        """Forward a study unless its present CT instances were, or are being, forwarded."""
        with self.lock:
            series = ct_series(study)
            seen = self.pending.get(study) or forwarded(study)
            if series and seen.get("digest") != digest(series):
                self.send(study)

    def send(
        self, study: str, *, again: bool = False, attempts: int = 0, answered: bool = False
    ) -> dict[str, Any]:
        """Hand the CT series of a study to a job of Orthanc, and remember it until it is done.

        Parameters
        ----------
        study : str
            Orthanc's identifier.
        again : bool
            Whether the assistant is asked for a new draft.
        attempts : int
            How many failed before.
        answered : bool
            Whether the assistant is known to be up: if the job fails, an instance is refused.
        """
        with self.lock:
            series = ct_series(study)
            self.pending[study] = entry = {
                **BEFORE,
                "digest": digest(series),
                "instances": sum(map(len, series.values())),
                "again": again,
                "attempts": attempts,
                "answered": answered,
            }
            try:
                entry["job"] = store(entry, list(series), synchronous=False)["ID"]
            except orthanc.OrthancException:  # something was deleted, or the modality is unknown
                self.retry_later(study)
            self.save()
            return entry

    def finish(self, job: str, *, success: bool) -> None:
        """Record the end of a job of ours; after a failure the study is sent again later."""
        with self.lock:
            study = next((key for key, at in self.pending.items() if at["job"] == job), None)
            if study is None:
                return
            if success:
                self.done(study)
                return
            entry = self.pending[study]
            entry["singly"] = entry["answered"]
            self.retry_later(study)

    def send_singly(self, study: str, job: str) -> None:
        """Send one instance after the other; what is refused keeps no other out.

        Permissive jobs of Orthanc would do the same, but 1.10 does not tell which instances failed,
        and says of a job that left some out that none did.
        """
        entry = self.pending.get(study, BEFORE)
        left = []
        for instance in entry["left"] or instances_of(study):
            if is_refused(entry, instance):
                if not answers():
                    break
                left.append(instance)
        else:
            with self.lock:
                if self.pending.get(study, BEFORE)["job"] == job:
                    self.refused(study, left)
            return
        with self.lock:
            if self.pending.get(study, BEFORE)["job"] == job:
                self.retry_later(study)

    def refused(self, study: str, left: list[str]) -> None:
        """Take note of what is left behind, if anything came through; it is sent again."""
        entry = self.pending[study]
        if len(left) < entry["instances"]:
            if left and not entry["left"]:
                number, names = f"{len(left)} of {entry['instances']}", map(described, left)
                orthanc.LogError(
                    f"ctscribe: {number} instances of {study} are refused: {', '.join(names)}"
                )
            entry["left"] = left
            entry["refusals"] += 1
        if not left or entry["refusals"] >= MOST_REFUSALS:
            self.done(study)
        else:
            self.retry_later(study)

    def done(self, study: str) -> None:
        """Record on the study what the assistant has, and what was left behind."""
        entry = self.pending.pop(study)
        kept = {key: entry[key] for key in ("digest", "instances", "left")}
        record = json.dumps({**kept, "at": now()})
        orthanc.RestApiPut(f"/studies/{study}/metadata/{METADATA}", record)
        self.save()

    def retry_later(self, study: str) -> None:
        entry = self.pending[study]
        pause = pause_s(entry["attempts"])
        entry["attempts"] += 1
        self.save()
        orthanc.LogWarning(f"ctscribe: forwarding study {study} failed, again in {pause:.0f} s")
        if entry["attempts"] == ALERT_AFTER and not entry["left"]:
            orthanc.LogError(f"ctscribe: study {study} cannot be forwarded: is the assistant up?")
        self.timers[study] = threading.Timer(pause, self.retry, [study, entry["job"]])
        self.timers[study].daemon = True
        self.timers[study].start()

    def retry(self, study: str, failed_job: str) -> None:
        """Send a study again; one instance after the other would wait for a silent assistant."""
        ready = answers()
        with self.lock:
            entry = self.pending.get(study)
            if entry is None or entry["job"] != failed_job:
                return
            if not ready:
                self.retry_later(study)
                return
            if not entry["singly"]:
                self.send(study, again=entry["again"], attempts=entry["attempts"], answered=True)
                return
        self.send_singly(study, failed_job)

    def forget(self, study: str) -> None:
        with self.lock:
            self.pending.pop(study, None)
            self.save()

    def save(self) -> None:
        state = {"since": self.since, "pending": self.pending}
        orthanc.SetGlobalProperty(PROPERTY, json.dumps(state))

    def state(self, study: str) -> dict[str, Any]:
        """Return what the REST route tells about a study."""
        with self.lock:
            if entry := self.pending.get(study):
                return {"state": "forwarding", **entry}
            if record := forwarded(study):
                return {"state": "forwarded", **record}
            return {"state": "not forwarded"}


forwarder = Forwarder()


def on_change(change: int, level: int, resource: str) -> None:
    """Follow Orthanc's life; see `OrthancPluginChangeType` in its SDK."""
    if change == orthanc.ChangeType.ORTHANC_STARTED:
        forwarder.load()
        # Off this thread: Orthanc reports every change on it
        threading.Thread(target=forwarder.catch_up, daemon=True).start()
    elif change == orthanc.ChangeType.ORTHANC_STOPPED:
        forwarder.stop()
    elif change == orthanc.ChangeType.STABLE_STUDY:
        forwarder.consider(resource)
    elif change == orthanc.ChangeType.JOB_SUCCESS:
        forwarder.finish(resource, success=True)
    elif change == orthanc.ChangeType.JOB_FAILURE:
        forwarder.finish(resource, success=False)
    elif change == orthanc.ChangeType.DELETED and level == orthanc.ResourceType.STUDY:
        forwarder.forget(resource)


def draft(output: Any, uri: str, **request: Any) -> None:
    """Answer /ctscribe/studies/{id}/draft: GET tells the state, POST asks for a draft again."""
    study = request["groups"][0]
    if request["method"] not in ("GET", "POST"):
        output.SendMethodNotAllowed("GET,POST")
    elif not exists(study):
        _refuse(output, 404, "No such study")
    elif request["method"] == "GET":
        answer(output, forwarder.state(study))
    elif not ct_series(study):
        _refuse(output, 409, "The study holds no CT series")
    else:
        forwarder.send(study, again=True)
        answer(output, forwarder.state(study))


def answer(output: Any, value: dict[str, Any]) -> None:
    output.AnswerBuffer(json.dumps(value), "application/json")


def _refuse(output: Any, status: int, reason: str) -> None:
    output.SendHttpStatus(status, reason, len(reason))


orthanc.RegisterOnChangeCallback(on_change)
orthanc.RegisterRestCallback("/ctscribe/studies/([0-9a-f-]{44})/draft", draft)
