"""The model: vision tower, projector, language model, checkpoints, generation.

Importing this package, `engine.protocol` or `engine.fake` loads no torch.
"""

from importlib import import_module
from pathlib import Path

from wrapt import register_post_import_hook

from dicom_io.errors import EngineError
from engine.fake import FakeEngine
from engine.protocol import Generation, ModelIdentity, Quantization, ReportEngine

__all__ = ["EMBEDDED", "FakeEngine", "Generation", "ModelIdentity", "ReportEngine", "load_engine"]

EMBEDDED = Path(__file__).parent / "embedded"
"""Folder of the checkpoint that ships with the package."""

# transformers learns of native checkpoints when, and only if, its auto classes are imported
register_post_import_hook(
    lambda _: import_module("engine.checkpoints.huggingface"),
    "transformers.models.auto.modeling_auto",
)


def load_engine(
    name_or_path: str | Path = "embedded",
    device: str = "auto",
    dtype: str = "auto",
    quantization: Quantization = "none",
) -> ReportEngine:
    """Load the model that writes drafts.

    Parameters
    ----------
    name_or_path : str or Path
        "embedded" is the demonstration model of this package, "fake" the one for tests, and
        "fake:0.5" one that takes half a second for an answer; anything else is a checkpoint,
        native or published: its folder, or `OWNER/NAME@COMMIT` on the hub.
    device : str
        "auto" takes CUDA where there is one, else the CPU; or a torch device such as "cuda:1".
    dtype : str
        "auto" is bfloat16 on CUDA and float32 on the CPU; or "float32", "bfloat16", "float16". The
        vision tower runs in float32, but for bfloat16 on a CPU that has units for it.
    quantization : str
        "int8" or "nf4" (4 bit) makes the weights of the language model's layers smaller.

    Raises
    ------
    EngineError
        There is no such checkpoint or device.
    CheckpointMismatch
        The checkpoint is damaged or its tensors are not those of its model.
    """
    if (fake := str(name_or_path).partition(":"))[0] == "fake":
        return FakeEngine(delay_s=_seconds(fake[2]))
    # torch takes seconds to import; the receiver and the command line's help do without it
    from engine.inference.local import LocalEngine

    checkpoint = EMBEDDED if name_or_path == "embedded" else name_or_path
    return LocalEngine.load(checkpoint, device=device, dtype=dtype, quantization=quantization)


def _seconds(delay: str) -> float:
    try:
        seconds = float(delay or 0)
    except ValueError:
        seconds = -1.0
    if not 0 <= seconds < float("inf"):
        raise EngineError(f"fake:{delay} names no number of seconds")
    return seconds
