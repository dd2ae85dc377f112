"""People of a directory, and the language that a person reads"""

import sqlalchemy as sa
from alembic import op

revision = "0021"
down_revision = "0020"
branch_labels = None
depends_on = None


def upgrade() -> None:
    with op.batch_alter_table("people") as table:
        table.add_column(sa.Column("subject", sa.String(length=320), nullable=True))
        table.add_column(sa.Column("language", sa.String(length=8), nullable=True))
        table.create_unique_constraint("uq_people_subject", ["subject"])
