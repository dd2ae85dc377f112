"""The spool and its files: received durably, and private."""
