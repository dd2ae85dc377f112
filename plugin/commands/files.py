"""`ctscribe files`: what belongs to an installation and is no code, from the package itself.

`plugin/files` holds links to where the files lie in the repository; a wheel holds the files.
"""

from __future__ import annotations

import json
from pathlib import Path

PACKAGE = Path(__file__).parents[1]
FILES = {
    "orthanc.json": "configuration of an Orthanc beside the assistant",
    "orthanc_plugin.py": "what that Orthanc runs: it forwards CT studies",
    "ray-serve.yaml": "the model on many GPUs, by Ray Serve",
    "prometheus-alerts.yaml": "alert rules for the metrics of the service",
    "grafana-dashboard.json": "a dashboard of these metrics",
    "train.sbatch": "a training run under Slurm",
}


def content(name: str) -> str:
    """Return the text of a file of `FILES`, with the paths of this installation."""
    script = PACKAGE / "orthanc_plugin.py"
    path = script if name == script.name else PACKAGE / "files" / name
    text = path.read_text("utf-8")
    if name == "orthanc.json":  # in the repository the path is relative to it
        text = text.replace('"plugin/orthanc_plugin.py"', json.dumps(str(script)))
    return text


def listing() -> str:
    """Return one line for each file: its name and what it is."""
    return "\n".join(f"{name:<22}  {what}" for name, what in FILES.items())
