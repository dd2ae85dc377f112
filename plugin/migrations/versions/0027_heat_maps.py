"""Where in the images the sentences of a draft come from"""

import sqlalchemy as sa
from alembic import op

revision = "0027"
down_revision = "0026"
branch_labels = None
depends_on = None

_KEY = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    op.create_table(
        "heat_maps",
        sa.Column("id", _KEY, nullable=False),
        sa.Column("draft_id", _KEY, nullable=False),
        sa.Column("sentence", sa.Text(), nullable=False),
        sa.Column("grid", sa.JSON(), nullable=False),
        sa.Column("values", sa.LargeBinary(), nullable=False),
        sa.ForeignKeyConstraint(
            ["draft_id"], ["drafts.id"], name="fk_heat_maps_draft_id_drafts", ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name="pk_heat_maps"),
    )
    op.create_index("ix_heat_maps_draft_id", "heat_maps", ["draft_id"])
