"""All deliveries of a draft are found by an index, those of its accepted report too"""

from alembic import op

revision = "0024"
down_revision = "0023"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_index("ix_deliveries_draft_id", "deliveries", ["draft_id"])
