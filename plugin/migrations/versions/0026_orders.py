"""What a RIS has told of studies"""

import sqlalchemy as sa
from alembic import op

_UID = sa.String(70).with_variant(sa.String(64), "sqlite")

revision = "0026"
down_revision = "0025"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "orders",
        sa.Column("accession_number", sa.String(length=64), nullable=False),
        sa.Column("study_instance_uid", _UID, nullable=True),
        sa.Column("urgency", sa.Integer(), nullable=True),
        sa.Column("reported_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("told_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("accession_number", name="pk_orders"),
    )
    op.create_index("ix_orders_told_at", "orders", ["told_at"])
