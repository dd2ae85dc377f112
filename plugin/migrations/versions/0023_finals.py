"""Accepted reports, and their deliveries"""

from collections.abc import Iterator
from contextlib import contextmanager

import sqlalchemy as sa
from alembic import op

revision = "0023"
down_revision = "0022"
branch_labels = None
depends_on = None

_KEY = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
_UID = sa.String(length=70).with_variant(sa.String(length=64), "sqlite")


def upgrade() -> None:
    op.create_index("ix_reviews_saved_at", "reviews", ["saved_at"])
    op.create_table(
        "finals",
        *(sa.Column(name, _KEY, nullable=False) for name in ("id", "draft_id")),
        sa.Column("is_current", sa.Boolean(), nullable=False),
        sa.Column("text", sa.Text(), nullable=False),
        sa.Column("edited", sa.Boolean(), nullable=False),
        sa.Column("accepted_by", sa.String(length=128), nullable=False),
        sa.Column("sop_instance_uid", _UID, nullable=True),
        sa.Column("path", sa.Text(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(
            ["draft_id"], ["drafts.id"], name="fk_finals_draft_id_drafts", ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name="pk_finals"),
        sa.UniqueConstraint("sop_instance_uid", name="uq_finals_sop_instance_uid"),
    )
    op.create_index("ix_finals_draft_id", "finals", ["draft_id"])
    with _commitments_kept(), op.batch_alter_table("deliveries") as table:
        table.add_column(sa.Column("final_id", _KEY, nullable=True))
        table.create_foreign_key(
            "fk_deliveries_final_id_finals", "finals", ["final_id"], ["id"], ondelete="CASCADE"
        )
        table.drop_constraint("uq_deliveries_draft_id_destination_retracts", type_="unique")
    of_drafts = sa.text("final_id IS NULL")
    op.create_index(
        "uq_deliveries_of_drafts",
        "deliveries",
        ["draft_id", "destination", "retracts"],
        unique=True,
        sqlite_where=of_drafts,
        postgresql_where=of_drafts,
    )
    op.create_index(
        "uq_deliveries_of_finals", "deliveries", ["final_id", "destination"], unique=True
    )


@contextmanager
def _commitments_kept() -> Iterator[None]:
    """SQLite writes a table anew to drop a constraint, and not while rows refer to the old one."""
    if op.get_bind().dialect.name != "sqlite":
        yield
        return
    op.execute("CREATE TEMPORARY TABLE kept AS SELECT * FROM commitments")
    op.execute("DELETE FROM commitments")
    yield
    op.execute("INSERT INTO commitments SELECT * FROM kept")
    op.execute("DROP TABLE kept")
