"""A delivery counts what it met: accepted, looked for in vain, refused, not answered"""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    with op.batch_alter_table("deliveries") as table:
        for counter in ("sends", "misses", "refusals"):
            table.add_column(sa.Column(counter, sa.Integer(), nullable=False, server_default="0"))
        table.add_column(sa.Column("away", sa.Boolean(), nullable=False, server_default=sa.false()))
        table.add_column(sa.Column("sent_at", sa.DateTime(timezone=True), nullable=True))
    op.execute("UPDATE deliveries SET sends = 1 WHERE state IN ('sent', 'proved')")
