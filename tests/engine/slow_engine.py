"""An engine's server as a process of its own, to be killed: `python -m … PORT DELAY_S`."""

from __future__ import annotations

import sys

from engine.fake import FakeEngine
from engine.serving.server import make_app, serve

if __name__ == "__main__":
    serve(make_app(FakeEngine(delay_s=float(sys.argv[2]))), "127.0.0.1", int(sys.argv[1]))
