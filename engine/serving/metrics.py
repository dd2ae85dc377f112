"""What a Prometheus server can ask of an engine's server."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, Info, generate_latest

from engine.judgement.protocol import Assessment, Evidence
from engine.protocol import Answer, Compilation, Generation, ModelIdentity

# A token takes milliseconds, a report of a large model on a busy CPU minutes
SECONDS = (0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 20.0, 60.0, 120.0, 300.0, 600.0)
Result = Generation | Answer | Assessment | tuple[Generation, ...] | tuple[Evidence, ...]

BATCHES = (1, 2, 4, 8, 16, 32)


class ServingMetrics:
    """The figures of one server, in a registry of their own."""

    def __init__(self, identity: ModelIdentity):
        self._registry = registry = CollectorRegistry()
        self.requests = Counter(
            "ctscribe_engine_requests",
            "Requests by path and HTTP status.",
            ["path", "status"],
            registry=registry,
        )
        self.request_seconds = Histogram(
            "ctscribe_engine_request_seconds",
            "From the request's first byte to the answer's last, by path.",
            ["path"],
            buckets=SECONDS,
            registry=registry,
        )
        self.in_flight = Gauge(
            "ctscribe_engine_requests_in_flight",
            "Requests that are uploaded, wait, or are at work.",
            registry=registry,
        )
        self.device_seconds = Histogram(
            "ctscribe_engine_device_seconds",
            "Time of the device for one run of the model.",
            buckets=SECONDS,
            registry=registry,
        )
        self.batch_size = Histogram(
            "ctscribe_engine_batch_size",
            "Requests that were served by one run of the model.",
            buckets=BATCHES,
            registry=registry,
        )
        self.tokens = Counter(
            "ctscribe_engine_tokens", "Tokens that the model wrote.", registry=registry
        )
        self.abstentions = Counter(
            "ctscribe_engine_abstentions",
            "Volumes unlike those the model was trained on.",
            registry=registry,
        )
        self.graphs = Gauge(
            "ctscribe_engine_compiled_steps",
            "Steps of decoding that were compiled since the start, one for each shape.",
            registry=registry,
        )
        self.fallbacks = Gauge(
            "ctscribe_engine_uncompiled_steps",
            "Shapes that could not be compiled, and run several times slower.",
            registry=registry,
        )
        model = Info("ctscribe_engine_model", "Which model is served.", registry=registry)
        model.info({"name": identity.name, "version": identity.version, "digest": identity.digest})

    def follow(self, compilation: Compilation) -> None:
        """Show what an engine compiles."""
        self.graphs.set_function(lambda: compilation.graphs)
        self.fallbacks.set_function(lambda: compilation.fallbacks)

    def observe_request(self, path: str, status: int, seconds: float) -> None:
        """Count a request that was answered.

        Parameters
        ----------
        path : str
            What was asked for.
        status : int
            HTTP status of the answer.
        seconds : float
            How long it took.
        """
        self.requests.labels(path, status).inc()
        self.request_seconds.labels(path).observe(seconds)

    def observe_run(self, results: Sequence[Result], seconds: float) -> None:
        """Count a run of the model, and what it wrote."""
        self.batch_size.observe(len(results))
        self.device_seconds.observe(seconds)
        for generation in chain.from_iterable(map(_generations, results)):
            self.tokens.inc(len(generation.token_ids))
            if generation.abstained is not None:
                self.abstentions.inc()

    def exposition(self) -> bytes:
        """Return every figure in Prometheus' text format."""
        return generate_latest(self._registry)


def _generations(result: Result) -> tuple[Generation, ...]:
    if isinstance(result, Answer):
        return (result.generation,)
    several = result if isinstance(result, tuple) else (result,)
    return tuple(one for one in several if isinstance(one, Generation))
