"""The vision tower: its inference form, its trained form, and the published formulation.

All three hold the same weights and take turns within one process; on a CPU one process for each
number of threads and each setting of the C library's allocator. Run `python -m bench.encoder`; see
bench/README.md.
"""

from __future__ import annotations

import argparse
import copy
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from resource import RUSAGE_SELF, getrusage

import torch
from torch import Tensor, nn

from bench.preprocess import memory_kib
from engine.network.towers.dcformer import VARIANTS, DCFormer, DecomposedConv
from engine.network.towers.inference_form import InferenceForm

# The C library reads them once, before its first allocation
ALLOCATORS = {
    "default": {},
    "keeps freed memory": {"MALLOC_MMAP_MAX_": "0", "MALLOC_TRIM_THRESHOLD_": str(2**32)},
}


def the_forms(variant: str) -> dict[str, nn.Module]:
    """The forms of one tower; layer scale 0.5, or no error of a block would show."""
    torch.manual_seed(0)
    trained = DCFormer(replace(VARIANTS[variant], layer_scale=0.5)).eval()
    for name, buffer in trained.named_buffers():
        if name.endswith("running_var"):
            buffer.uniform_(0.5, 1.5)
        elif name.endswith("running_mean"):
            buffer.normal_(std=0.1)
    published = copy.deepcopy(trained)
    for module in published.modules():
        if isinstance(module, DecomposedConv):
            module.forward = three_convolutions(module)
    return {
        "inference": InferenceForm(trained),
        "inference in bfloat16": InferenceForm(trained, torch.bfloat16),
        "trained": trained,
        "published": published,
    }


def three_convolutions(conv: DecomposedConv) -> Callable[[Tensor], Tensor]:
    """Equations 1 to 3 as they stand: three `nn.Conv3d`, three BatchNorms, a sum."""
    return lambda x: conv.c1(x) + conv.c2(x) + conv.c3(x)


@torch.inference_mode()
def take_turns(
    variant: str, rounds: int, device: str = "cpu", size: tuple[int, int, int] | None = None
) -> dict[str, object]:
    """Times of the forms in turns, and how far the outputs are from the trained form's.

    Parameters
    ----------
    variant : str
    rounds : int
    device : str
    size : tuple of int, optional
        Of the volume; the variant's own by default.
    """
    forms = {name: form.to(device) for name, form in the_forms(variant).items()}
    volume = torch.rand(1, 1, *(size or VARIANTS[variant].input_size), device=device)
    result: dict[str, object] = {}
    if device == "cpu":
        result["peak_mib"] = {name: peak_mib(form, volume) for name, form in forms.items()}
        result["page_faults"] = {name: page_faults(form, volume) for name, form in forms.items()}
    else:
        forms["inference as a CUDA graph"] = captured(forms["inference"], volume)
    outputs = {name: [hidden.clone() for hidden in form(volume)] for name, form in forms.items()}
    result["largest_relative_difference"] = {
        name: differences(outputs[name], outputs["trained"]) for name in forms
    }
    times = [[seconds(form, volume) for form in forms.values()] for _ in range(rounds)]
    for which, middle in (("median", statistics.median), ("least", min)):
        spent = dict(zip(forms, map(middle, zip(*times, strict=True)), strict=True))
        result[f"{which}_seconds"] = {name: round(s, 4) for name, s in spent.items()}
        result[f"times_as_fast_as_trained_by_{which}"] = {
            name: round(spent["trained"] / s, 2) for name, s in spent.items()
        }
    result["seconds_by_stage"] = {
        name: by_stage(forms[name], volume) for name in ("inference", "trained")
    }
    return result


def captured(form: nn.Module, volume: Tensor) -> Callable[[Tensor], list[Tensor]]:
    """The form as one CUDA graph, whose input and outputs keep their place."""
    side = torch.cuda.Stream()
    with torch.cuda.stream(side):  # a graph wants libraries that have chosen their kernels
        form(volume)
    side.synchronize()
    given, graph = volume.clone(), torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        outputs = form(given)

    def replay(fresh: Tensor) -> list[Tensor]:
        given.copy_(fresh)
        graph.replay()
        return outputs

    return replay


def peak_mib(form: nn.Module, volume: Tensor) -> int:
    """MiB that a call adds at its peak, its outputs included; Linux."""
    form(volume[..., :32, :32, :32])  # libraries load their kernels
    Path("/proc/self/clear_refs").write_text("5")
    before = memory_kib("VmRSS")
    form(volume)
    return round((memory_kib("VmHWM") - before) / 1024)


def page_faults(form: nn.Module, volume: Tensor) -> int:
    before = getrusage(RUSAGE_SELF).ru_minflt
    form(volume)
    return getrusage(RUSAGE_SELF).ru_minflt - before


def seconds(form: Callable[[Tensor], object], volume: Tensor) -> float:
    start = time.perf_counter()
    form(volume)
    if volume.is_cuda:
        torch.cuda.synchronize()
    return time.perf_counter() - start


def differences(outputs: list[Tensor], expected: list[Tensor]) -> list[float]:
    return [
        float(f"{(a - b).abs().max() / b.abs().max():.1e}")
        for a, b in zip(outputs, expected, strict=True)
    ]


def by_stage(form: nn.Module, volume: Tensor, rounds: int = 3) -> list[float]:
    """Median seconds of the stem and of stages 1 to 4."""
    if isinstance(form, InferenceForm):
        parts, x = [form.stem, *form.stages], volume
    else:
        parts, x = list(form.encoder.children()), volume.permute(0, 1, 3, 4, 2)
    medians = []
    for part in parts:
        medians.append(round(statistics.median(seconds(part, x) for _ in range(rounds)), 4))
        x = part(x)
    return medians


def in_a_process(variant: str, rounds: int, threads: int, allocator: str) -> object:
    arguments = ["--variant", variant, "--rounds", str(rounds), "--alone"]
    environment = os.environ | {"OMP_NUM_THREADS": str(threads)} | ALLOCATORS[allocator]
    command = [sys.executable, "-m", "bench.encoder", *arguments]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, env=environment)
    return json.loads(done.stdout)


def on_cpu(variant: str, rounds: int) -> dict[str, object]:
    return {
        f"{threads} thread(s), allocator: {allocator}": in_a_process(
            variant, rounds, threads, allocator
        )
        for threads in (1, 2)
        for allocator in ALLOCATORS
    }


def on_gpu(variant: str, rounds: int) -> dict[str, object]:
    if not torch.cuda.is_available():
        raise SystemExit("no CUDA device: torch sees no GPU here, so nothing was measured")
    torch.backends.cudnn.allow_tf32 = False
    return {torch.cuda.get_device_name(): take_turns(variant, rounds, "cuda")}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--variant", choices=VARIANTS, default="small")
    parser.add_argument("--device", choices=["cpu", "cuda"], default="cpu")
    parser.add_argument("--alone", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.alone:
        print(json.dumps(take_turns(options.variant, options.rounds)))
        return
    measure = on_cpu if options.device == "cpu" else on_gpu
    about = {"variant": options.variant, "torch": torch.__version__, "cores": os.cpu_count()}
    print(json.dumps(about | measure(options.variant, options.rounds), indent=2))


if __name__ == "__main__":
    main()
