"""What `make quick` leaves out: services, training, whole programs, comparisons of networks."""

from pathlib import Path

import pytest

from tests.repository import ROOT

SLOW = (
    "test_end_to_end.py",
    "test_wheel.py",
    "dicom_io/phantoms/test_dicom_study.py",
    "dicom_io/volume/test_real_series.py",
    "engine/checkpoints",
    "engine/network",
    "engine/serving",
    "plugin/commands/test_demo.py",
    "plugin/delivery",
    "plugin/reception/test_receiver.py",
    "plugin/reception/test_upper_layer.py",
    "plugin/test_engine_command.py",
    "plugin/test_engine_outage.py",
    "plugin/test_hostile_folder.py",
    "plugin/test_kill.py",
    "plugin/test_orthanc_plugin.py",
    "plugin/test_receiver_hostile.py",
    "plugin/test_supervisor.py",
    "plugin/test_without_torch.py",
    "training/ablation",
    "training/commands",
    "training/evaluation/metrics/test_bertscore.py",
    "training/export",
    "training/learner",
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
    return str(path.relative_to(ROOT / "tests")) in SLOW


def needs_a_service(item: pytest.Function) -> bool:
    parameters = item.callspec.params if hasattr(item, "callspec") else {}
    databases = [parameters.get(name) for name in ("database_url", "bare_database_url")]
    return "_orthanc" in item.fixturenames or "postgresql" in databases
