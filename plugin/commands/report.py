"""`ctscribe report` and `ctscribe volume`: a folder of DICOM files, without network."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click
from rich.console import Console

from dicom_io.cleaned import cleaned
from dicom_io.errors import CtscribeError
from dicom_io.model_input.preprocess import prepare
from dicom_io.slices.read import read_studies, read_study
from dicom_io.types import Study
from dicom_io.volume.choice import name_series
from dicom_io.volume.series import choose_series
from dicom_io.volume.volume import build_first
from engine import load_engine
from plugin.console import say
from plugin.drafting.writing.pipeline import DraftedStudy, Pipeline
from reporting.objects.render import draft_text


def report_studies(
    paths: Sequence[Path], output: Path, *, model: str, device: str, as_json: bool
) -> int:
    """Draft every study found; return 0 if all have a draft, else 1.

    Parameters
    ----------
    paths : sequence of Path
        Files and folders.
    output : Path
        Folder of the Structured Reports, made if it is missing.
    model, device : str
        As `engine.load_engine` takes them.
    as_json : bool
        Whether one JSON object is printed in place of the texts.
    """
    console = Console(stderr=True, quiet=as_json)
    with console.status("read the headers"):
        studies = read_studies(paths)
    with console.status("load the model"):
        pipeline = Pipeline(load_engine(model, device=device))
    output.mkdir(parents=True, exist_ok=True)
    results = []
    for study in studies:
        results.append(_one(study, pipeline, output, console))
        if not as_json:
            say(_shown(results[-1]), err="error" in results[-1])
    if as_json:
        click.echo(json.dumps({"studies": results}, ensure_ascii=False, indent=2))
    return int(any("error" in result for result in results))


def export_volume(paths: Sequence[Path], output: Path, *, model: str | None) -> None:
    """Write the volume of the study in `paths`, or with a model what that model sees.

    Parameters
    ----------
    paths : sequence of Path
        Files and folders of one study.
    output : Path
        The file to write, NIfTI.
    model : str, optional
        A checkpoint, whose input is written in place of the volume.
    """
    # nibabel, which a report does without
    from dicom_io.volume.nifti import write_nifti

    study = read_study(paths)
    choice, volume = build_first(choose_series(study))
    notes: Sequence[str] = (*choice.lacking, *volume.unreadable, *choice.notes, *volume.notes)
    if model is None:
        write_nifti(output, volume.hu, volume.affine_lps, "CT in HU")
    else:
        spec = load_engine(model, device="cpu").preprocess
        model_input = prepare(volume, spec, choice.stack.window)
        seen = model_input.pixels[0]
        write_nifti(output, seen, model_input.affine_lps, "model input, 0 to 1")
        notes = (*notes, *model_input.steps)
    for ignored in study.ignored:
        say(f"not read: {ignored}", err=True)
    for rejection in choice.rejected:
        say(f"not read: {name_series(rejection.series)}: {rejection.reason}", err=True)
    say(f"read {choice.reason}", err=True)
    for note in notes:
        say(f"note: {note}", err=True)
    shape = "x".join(str(n) for n in volume.hu.shape)
    spacing = "x".join(f"{mm:.3f}" for mm in volume.spacing_mm)
    say(f"{output}: built from {shape} voxels of {spacing} mm")


def _one(study: Study, pipeline: Pipeline, output: Path, console: Console) -> dict[str, Any]:
    try:
        with console.status("") as status:
            report = pipeline.report_study(study, progress=status.update)
    except CtscribeError as error:
        return {"study_instance_uid": study.study_instance_uid, "error": cleaned(str(error))}
    for line in report.selection:
        console.print(cleaned(line), highlight=False, markup=False, soft_wrap=True)
    path = output / f"{report.sr.SOPInstanceUID}.dcm"
    report.sr.save_as(path, enforce_file_format=True)
    return {**report_to_dict(report), "sr": str(path)}


def report_to_dict(report: DraftedStudy) -> dict[str, Any]:
    """Plain values of a report, for JSON."""
    draft, choice = report.draft, report.choice
    return {
        "study_instance_uid": str(report.sr.StudyInstanceUID),
        "state": draft.state,
        "text": draft_text(draft),
        "notices": list(draft.notices),
        "sections": [
            {
                "heading": str(section.heading),
                "sentences": [
                    {
                        "text": sentence.shown,
                        "token_probability": sentence.token_probability,
                        "confidence": sentence.confidence,
                    }
                    for sentence in section.sentences
                ],
            }
            for section in draft.sections
        ],
        "calibrated_on": report.confidence.calibrated_on,
        "unmentioned": list(draft.assessed.unmentioned) if draft.assessed else [],
        "series_instance_uid": choice.series.series_instance_uid,
        "reason": choice.reason,
        "rejected": [
            {"series_instance_uid": r.series.series_instance_uid, "reason": r.reason}
            for r in choice.rejected
        ],
        "ignored": list(map(cleaned, report.ignored)),
        "model": {
            "name": draft.model.name,
            "version": draft.model.version,
            "digest": draft.model.digest,
        },
    }


def _shown(result: dict[str, Any]) -> str:
    if "error" in result:
        return f"ctscribe: study {result['study_instance_uid']}: {result['error']}"
    return f"\n{result['text']}\nSR: {result['sr']}"
