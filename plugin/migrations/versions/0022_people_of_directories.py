"""People of a directory, and the language that a person reads"""

import sqlalchemy as sa
from alembic import op

revision = "0022"
down_revision = "0021"
branch_labels = None
depends_on = None


def upgrade() -> None:
    # Not as a batch: SQLite would write `people` anew, and the sessions would go with the old one
    op.add_column("people", sa.Column("subject", sa.String(length=320), nullable=True))
    op.add_column("people", sa.Column("language", sa.String(length=8), nullable=True))
    op.create_index("ix_people_subject", "people", ["subject"], unique=True)
