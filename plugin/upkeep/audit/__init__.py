"""The audit trail once it is written: read, proved unbroken, and sent to an audit repository."""
