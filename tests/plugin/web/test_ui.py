"""The tests of the pages' own language run among all others."""

from __future__ import annotations

import os
import shutil
import subprocess

from tests.repository import ROOT
from tests.services import require

UI = ROOT / "plugin" / "web" / "ui"
# Node comes from .venv where the system has none
PATH = f"{ROOT / '.venv' / 'bin'}:{os.environ.get('PATH', '')}"


def test_vitest_passes() -> None:
    require((UI / "node_modules").is_dir(), "what `make ui` installs")
    npm = shutil.which("npm", path=PATH)
    require(npm is not None, "npm")
    ran = subprocess.run(
        [str(npm), "test", "--silent"],
        cwd=UI,
        env={**os.environ, "PATH": PATH, "NO_COLOR": "1"},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr


def test_the_lock_names_no_registry() -> None:
    assert "resolved" not in (UI / "package-lock.json").read_text("utf-8")
