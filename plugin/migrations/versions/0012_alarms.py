"""Alarms and their news; alerts that no alarm counts yet are marked"""

import sqlalchemy as sa
from alembic import op

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None

_KEY = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    # Alerts of before this are nobody's alarm any more
    with op.batch_alter_table("events") as events:
        events.add_column(
            sa.Column("unnoticed", sa.Boolean(), nullable=False, server_default=sa.false())
        )
    op.create_index(
        "ix_events_unnoticed",
        "events",
        ["id"],
        sqlite_where=sa.text("unnoticed"),
        postgresql_where=sa.text("unnoticed"),
    )
    op.create_table(
        "alarms",
        sa.Column("id", _KEY, nullable=False),
        sa.Column("cause", sa.String(length=128), nullable=False),
        sa.Column("urgent", sa.Boolean(), nullable=False),
        sa.Column("count", sa.Integer(), nullable=False),
        sa.Column("message", sa.Text(), nullable=False),
        sa.Column("studies", sa.JSON(), nullable=False),
        sa.Column("first_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("last_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("over_at", sa.DateTime(timezone=True), nullable=True),
        sa.PrimaryKeyConstraint("id", name="pk_alarms"),
    )
    op.create_index(
        "uq_alarms_open",
        "alarms",
        ["cause"],
        unique=True,
        sqlite_where=sa.text("over_at IS NULL"),
        postgresql_where=sa.text("over_at IS NULL"),
    )
    op.create_table(
        "alarm_notices",
        sa.Column("id", _KEY, nullable=False),
        sa.Column("alarm_id", _KEY, nullable=False),
        sa.Column("channel", sa.String(length=64), nullable=False),
        sa.Column("news", sa.String(length=16), nullable=False),
        sa.Column("not_before", sa.DateTime(timezone=True), nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("sent_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("last_error", sa.Text(), nullable=True),
        sa.ForeignKeyConstraint(
            ["alarm_id"], ["alarms.id"], name="fk_alarm_notices_alarm_id_alarms"
        ),
        sa.PrimaryKeyConstraint("id", name="pk_alarm_notices"),
    )
    op.create_index("ix_alarm_notices_alarm_id", "alarm_notices", ["alarm_id"])
