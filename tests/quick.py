"""What `make quick` leaves out.

Services, other processes, the network, training and whole models; tests for any input (`given`);
and tests with the mark `slow`.
"""

from pathlib import Path

import pytest
from hypothesis import is_hypothesis_test

from tests.repository import ROOT

SLOW = (
    "test_end_to_end.py",
    "test_extras.py",
    "test_viewer.py",
    "test_wheel.py",
    "dicom_io/archives",
    "dicom_io/phantoms/test_dicom_study.py",
    "dicom_io/phantoms/test_focal.py",
    "dicom_io/pixel_data/test_decoder.py",
    "dicom_io/slices/test_tolerance.py",
    "dicom_io/volume/test_real_series.py",
    "engine/checkpoints",
    "engine/inference",
    "engine/judgement/test_assessing.py",
    "engine/judgement/test_explaining.py",
    "engine/judgement/test_scoring.py",
    "engine/network",
    "engine/serving",
    "engine/sizes",
    "engine/test_load_engine.py",
    "engine/test_protocol.py",
    "plugin/commands/test_ask.py",
    "plugin/commands/test_doctor.py",
    "plugin/commands/test_model.py",
    "plugin/commands/test_model_sizes.py",
    "plugin/commands/test_report.py",
    "plugin/commands/administrator/test_service_unit.py",
    "plugin/delivery",
    "plugin/drafting/test_corrections.py",
    "plugin/reception/association/test_handshakes.py",
    "plugin/reception/test_receiver.py",
    "plugin/reception/association/test_upper_layer.py",
    "plugin/state/running/test_outage.py",
    "plugin/test_backup.py",
    "plugin/test_engine_command.py",
    "plugin/test_engine_outage.py",
    "plugin/test_hostile_folder.py",
    "plugin/test_hostile_text.py",
    "plugin/test_kill.py",
    "plugin/test_orthanc_plugin.py",
    "plugin/test_receiver_hostile.py",
    "plugin/test_supervisor.py",
    "plugin/test_watchdog.py",
    "plugin/test_without_torch.py",
    "reporting/forms",
    "training/ablation",
    "training/commands",
    "training/data/test_prepare.py",
    "training/data/test_store.py",
    "training/evaluation/metrics/test_bertscore.py",
    "training/evaluation/metrics/test_nltk_data.py",
    "training/export",
    "training/learner",
    "training/memory",
    "training/run/test_slurm.py",
    "training/site/redaction/test_recognizer.py",
    "training/site/sources",
    "training/site/test_prepare.py",
    "training/site/test_proof.py",
    "training/site/test_proof_real.py",
    "training/site/test_real_studies.py",
    "training/site/test_verify.py",
    "training/stages",
    "training/test_embedded.py",
    "training/test_phantom_recipe.py",
)
"""Files and folders below tests/."""


def is_slow(path: Path) -> bool:
    """Whether a file or a folder is listed, or lies in a folder that is."""
    return any(path.is_relative_to(ROOT / "tests" / listed) for listed in SLOW)


def is_left_out(item: pytest.Function) -> bool:
    parameters = item.callspec.params if hasattr(item, "callspec") else {}
    databases = [parameters.get(name) for name in ("database_url", "bare_database_url")]
    needs_a_service = "_orthanc" in item.fixturenames or "postgresql" in databases
    marked = item.get_closest_marker("slow") is not None
    return needs_a_service or marked or is_hypothesis_test(item.function)
