"""What may stand in the timeline: every kind of event, by the word that programs look for.

docs/missing-draft.md says of each what it means and what to do next.
"""

from __future__ import annotations

from enum import StrEnum


class Kind(StrEnum):
    """A kind of event; the words stand in databases, so they stay."""

    # Reception
    RECEIVED = "received"
    CAME_AGAIN = "came again"
    OUTDATED = "outdated"
    REFUSED = "refused"
    ABSENT = "absent"
    NOT_RECORDED = "not-recorded"
    DAMAGED = "damaged"
    # Drafting
    RULES_CHANGED = "rules changed"
    RULES_REFUSED = "rules refused"
    JUDGED = "judged"
    REOPENED = "reopened"
    BEGUN = "begun"
    NOT_COUNTED = "not-counted"
    NOT_LOOKED_FOR = "not-looked-for"
    MISSING = "missing"
    WAITING = "waiting"
    POSTPONED = "postponed"
    CANCELLED = "cancelled"
    COMPARED = "compared"
    SELECTED = "selected"
    DRAFTED = "drafted"
    UNCHANGED = "unchanged"
    FAILED = "failed"
    RETRACTED = "retracted"
    # Reading
    REVIEWED = "reviewed"
    DECIDED = "decided"
    # Delivery
    SENT = "sent"
    FORM = "form"
    DELIVERED = "delivered"
    DELIVERY_POSTPONED = "delivery postponed"
    DELIVERY_FAILED = "delivery failed"
    DELIVERY_CANCELLED = "delivery cancelled"
    DELIVERY_QUEUED = "delivery queued"
    # The service itself
    ENGINE_UP = "engine_up"
    ENGINE_DOWN = "engine_down"
    PROMOTED = "promoted"
    MODEL_RETRACTED = "model retracted"
    MODEL_CHANGED = "model_changed"
    REPLACED = "replaced"
    CLOCK_WRONG = "clock wrong"
    CLOCK_RIGHT = "clock right"
    # Retention
    PRUNED = "pruned"
    DRAFT_PRUNED = "draft pruned"
    DISK_FILLING = "disk filling"
    DISK_EASED = "disk eased"
