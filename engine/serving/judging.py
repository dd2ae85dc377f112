"""What a server is asked of the sentences of a report, as calls of its engine."""

from __future__ import annotations

import time
from collections.abc import Callable

from dicom_io.errors import EngineError
from dicom_io.model_input.preprocess import ModelInput
from engine.judgement.protocol import Assesses, Assessment, Evidence, Explains
from engine.protocol import ReportEngine
from engine.serving.wire import ConfidenceTask, EvidenceTask


def explains(engine: ReportEngine) -> Explains | None:
    """Return an engine that can say where its sentences come from; else None."""
    return engine if isinstance(engine, Explains) and engine.can_explain else None


def assesses(engine: ReportEngine) -> Assesses | None:
    """Return an engine that can say how sure it is of its sentences; else None."""
    return engine if isinstance(engine, Assesses) and engine.can_assess else None


def looking(
    engine: ReportEngine, model_input: ModelInput, task: EvidenceTask
) -> Callable[[float], tuple[Evidence, ...]]:
    """Return what finds evidence, told how many seconds are left.

    Parameters
    ----------
    engine : ReportEngine
    model_input : ModelInput
    task : EvidenceTask

    Raises
    ------
    EngineError
        This engine names none.
    """
    able, report = explains(engine), task.report(engine.identity)
    if able is None:
        raise EngineError("this model cannot say where its sentences come from")

    def look(left_s: float) -> tuple[Evidence, ...]:
        if not left_s:
            return ()
        return able.explain(model_input, report, task.spans, within_s=left_s)

    return look


def judging(
    engine: ReportEngine, model_input: ModelInput, task: ConfidenceTask
) -> Callable[[], Assessment]:
    """Return what assesses sentences in the time that is then left of the task's.

    Parameters
    ----------
    engine : ReportEngine
    model_input : ModelInput
    task : ConfidenceTask

    Raises
    ------
    EngineError
        This engine is not calibrated.
    """
    able, report = assesses(engine), task.report(engine.identity)
    if able is None:
        raise EngineError("nobody has calibrated this model")
    until = time.monotonic() + task.within_s

    def judge() -> Assessment:
        left_s = max(0.0, until - time.monotonic())
        return able.assess(model_input, report, task.spans, within_s=left_s)

    return judge
