"""Keys of 64 bits: a large site's slices use up those of 32 within months"""

from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None

_FOREIGN = {
    "studies": (),
    "series": ("study_id",),
    "instances": ("study_id", "series_id"),
    "quarantine": ("study_id",),
    "absent": (),
    "holds": ("study_id",),
    "jobs": ("study_id",),
    "drafts": ("study_id", "job_id", "predecessor_id"),
    "deliveries": ("draft_id",),
    "commitments": ("delivery_id",),
    "events": ("study_id",),
}


def upgrade() -> None:
    if op.get_bind().dialect.name == "sqlite":
        return  # its integers have 64 bits
    for table, foreign in _FOREIGN.items():
        # All columns at once: each such statement writes the table anew
        changes = ", ".join(f"ALTER COLUMN {column} TYPE bigint" for column in ("id", *foreign))
        op.execute(f"ALTER TABLE {table} {changes}")
        op.execute(
            f"DO $$ BEGIN EXECUTE 'ALTER SEQUENCE ' || pg_get_serial_sequence('{table}', 'id') "
            "|| ' AS bigint'; END $$"
        )
