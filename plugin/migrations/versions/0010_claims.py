"""Only rows that wait are indexed for being claimed; a job names who works on it"""

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("jobs", sa.Column("worker", sa.String(length=80), nullable=True))
    for table in ("jobs", "deliveries"):
        op.drop_index(f"ix_{table}_state", table)
    _index("ix_jobs_urgent", "jobs", ["urgency", "deadline", "id"], "state = 'pending'")
    _index("ix_jobs_waiting", "jobs", ["deadline", "id"], "state = 'pending'")
    _index("ix_jobs_running", "jobs", ["lease_until"], "state = 'running'")
    open_ones = "state IN ('pending', 'sent')"
    _index("ix_deliveries_open", "deliveries", ["destination", "not_before"], open_ones)


def _index(name: str, table: str, columns: list[str], where: str) -> None:
    condition = sa.text(where)
    op.create_index(name, table, columns, sqlite_where=condition, postgresql_where=condition)
