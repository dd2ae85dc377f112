"""The table associations is called holds, and names no receiver any more: nothing asked for it"""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "holds",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("association", sa.String(length=64), nullable=False),
        sa.Column("study_id", sa.Integer(), nullable=False),
        sa.Column("heartbeat", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(["study_id"], ["studies.id"], name="fk_holds_study_id_studies"),
        sa.PrimaryKeyConstraint("id", name="pk_holds"),
        sa.UniqueConstraint("association", "study_id", name="uq_holds_association_study_id"),
    )
    op.create_index("ix_holds_study_id", "holds", ["study_id"])
    # All but the ids, which the sequence of the new table gives
    op.execute(
        "INSERT INTO holds (association, study_id, heartbeat) "
        "SELECT association, study_id, heartbeat FROM associations ORDER BY id"
    )
    op.drop_table("associations")
