"""One step of decoding as one compiled graph, for each shape of its cache."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from engine.protocol import Compilation

LOGGER = logging.getLogger(__name__)

# A shape is compiled once. A second graph may follow where torch guards what changes once, such as
# the first use of a cache; more would be a mistake of ours, which the count of fallbacks shows
_GRAPHS_OF_A_SHAPE = 2

HOW: dict[str, Any] = {
    "mode": "reduce-overhead",  # one CUDA graph: at batch 1 launches cost most
    "fullgraph": True,
    "dynamic": False,
    # limits of its own: nothing process-wide changes, and no other shape uses them up
    "recompile_limit": _GRAPHS_OF_A_SHAPE,
    "isolate_recompiles": True,
}

Step = Callable[..., Tensor]


class CompiledStep:
    """A step that is compiled when it is first called, for one shape of its arguments.

    Where it cannot be compiled (a host without compiler), the step runs as it is; that is logged
    and counted, since it costs most of the speed.

    Parameters
    ----------
    step : callable
    compilation : Compilation
        Where graphs and fallbacks are counted.
    """

    def __init__(self, step: Step, compilation: Compilation):
        self._step = step
        self._compilation = compilation
        self._graph: Step | None = torch.compile(step, **HOW)

    def __call__(self, *arguments: Any) -> Tensor:
        if self._graph is None:
            return self._step(*arguments)
        # half a second to import, and a CPU needs none of it
        from torch._dynamo.exc import TorchDynamoException
        from torch._dynamo.utils import counters

        torch.compiler.cudagraph_mark_step_begin()  # type: ignore[no-untyped-call]
        before = counters["stats"]["unique_graphs"]
        try:
            made = self._graph(*arguments).clone()  # the next replay overwrites its output
        except TorchDynamoException as error:
            LOGGER.warning("a step of decoding is not compiled: %s", type(error).__name__)
            self._compilation.fallbacks += 1
            self._graph = None
            return self._step(*arguments)
        self._compilation.graphs += counters["stats"]["unique_graphs"] - before
        return made
