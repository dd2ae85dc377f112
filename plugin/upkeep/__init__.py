"""What keeps a service running for years, in a process of its own: `ctscribe upkeep`.

It reads and changes state like any other process. Receiver, worker and delivery never wait for it.
"""
