"""The public tools that judge a report, and what of their output counts."""

import subprocess
from pathlib import Path

from tests.services import require

# DCMTK 3.6.7 says so of every object in UTF-8, whatever it holds
_UTF8_NOTE = "W: The VR checker does not support this Specific Character Set: ISO_IR 192"


def _run(tool: str, *arguments: str | Path) -> subprocess.CompletedProcess[str]:
    require(Path("/usr/bin", tool).is_file(), tool)
    command = [f"/usr/bin/{tool}", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


def dciodvfy(path: Path, iod: str = "EnhancedSR") -> list[str]:
    """Errors and warnings of dciodvfy; its only other line names the IOD."""
    lines = _run("dciodvfy", path).stderr.splitlines()
    return [line for line in lines if line.strip() and line.strip() != iod]


def dsr(tool: str, path: Path) -> tuple[list[str], str]:
    """Complaints of dsrdump or dsr2html, and what it made of the report."""
    options = ["+Pl"] if tool == "dsrdump" else []
    done = _run(tool, *options, path)
    complaints = [line for line in done.stderr.splitlines() if line.strip() not in ("", _UTF8_NOTE)]
    if done.returncode:
        complaints.append(f"{tool} ended with {done.returncode}")
    return complaints, done.stdout
