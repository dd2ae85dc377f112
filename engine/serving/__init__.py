"""An engine as a server, its client, and what stands between: queue, gate, wire format, metrics.

The client loads no torch, so a worker that uses a remote engine needs none.
"""
