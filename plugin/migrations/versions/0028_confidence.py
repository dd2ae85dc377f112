"""How sure the model of a draft was, and what it left out"""

import sqlalchemy as sa
from alembic import op

revision = "0028"
down_revision = "0027"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("drafts", sa.Column("calibrated_on", sa.Text(), nullable=True))
    op.add_column("drafts", sa.Column("drift", sa.Double(), nullable=True))
    op.add_column("drafts", sa.Column("withheld", sa.JSON(), nullable=True))
