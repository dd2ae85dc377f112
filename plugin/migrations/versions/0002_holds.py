"""The table associations is called holds, and names no receiver any more: nothing asked for it"""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    _make("holds")
    _copy("associations", "holds")
    op.drop_table("associations")


def downgrade() -> None:
    receiver = sa.Column("receiver", sa.String(length=64), nullable=False, server_default="")
    _make("associations", receiver)
    op.create_index("ix_associations_receiver", "associations", ["receiver"])
    _copy("holds", "associations")
    op.drop_table("holds")


def _make(table: str, *more: sa.Column) -> None:
    op.create_table(
        table,
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("association", sa.String(length=64), nullable=False),
        sa.Column("study_id", sa.Integer(), nullable=False),
        sa.Column("heartbeat", sa.DateTime(timezone=True), nullable=False),
        *more,
        sa.ForeignKeyConstraint(["study_id"], ["studies.id"], name=f"fk_{table}_study_id_studies"),
        sa.PrimaryKeyConstraint("id", name=f"pk_{table}"),
        sa.UniqueConstraint("association", "study_id", name=f"uq_{table}_association_study_id"),
    )
    op.create_index(f"ix_{table}_study_id", table, ["study_id"])


def _copy(source: str, target: str) -> None:
    """Copy all but the ids, which the target's own sequence gives."""
    columns = "association, study_id, heartbeat"
    op.execute(f"INSERT INTO {target} ({columns}) SELECT {columns} FROM {source} ORDER BY id")  # noqa: S608
