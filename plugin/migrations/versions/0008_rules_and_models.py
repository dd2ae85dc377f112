"""Rules: urgency and decision of a job, sender of a study; models: who wrote, in the shadow too"""

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None

_KEY = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
_TIME = sa.DateTime(timezone=True)
_ROUTINE = "2"


def upgrade() -> None:
    _rules()
    _models()


def _rules() -> None:
    op.add_column("studies", sa.Column("sender", sa.String(length=16), nullable=True))
    op.add_column("studies", sa.Column("quiet_s", sa.Float(), nullable=True))
    op.add_column("deliveries", sa.Column("forms", sa.JSON(), nullable=True))
    for column in (
        sa.Column("urgency", sa.SmallInteger(), nullable=False, server_default=_ROUTINE),
        sa.Column("judged_at", _TIME, nullable=True),
        sa.Column("decision", sa.JSON(), nullable=True),
        sa.Column("wanted_until", _TIME, nullable=True),
        sa.Column("begun_at", _TIME, nullable=True),
    ):
        op.add_column("jobs", column)


def _models() -> None:
    op.add_column("drafts", sa.Column("model_name", sa.String(length=128), nullable=True))
    op.add_column("drafts", sa.Column("model_digest", sa.String(length=64), nullable=True))
    op.create_index("ix_drafts_model_digest", "drafts", ["model_digest"])
    op.create_table(
        "shadows",
        sa.Column("id", _KEY, nullable=False),
        sa.Column("draft_id", _KEY, nullable=False),
        sa.Column("model_name", sa.String(length=64), nullable=False),
        sa.Column("model_digest", sa.String(length=64), nullable=True),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("not_before", _TIME, nullable=False),
        sa.Column("text", sa.Text(), nullable=True),
        sa.Column("error", sa.Text(), nullable=True),
        sa.Column("created_at", _TIME, nullable=False),
        sa.ForeignKeyConstraint(
            ["draft_id"], ["drafts.id"], name="fk_shadows_draft_id_drafts", ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name="pk_shadows"),
        sa.UniqueConstraint("draft_id", "model_name", name="uq_shadows_draft_id_model_name"),
    )
    op.create_index("ix_shadows_state", "shadows", ["state"])
    op.create_table(
        "promotions",
        sa.Column("id", _KEY, nullable=False),
        sa.Column("time", _TIME, nullable=False),
        sa.Column("model_name", sa.String(length=64), nullable=True),
        sa.Column("before", sa.String(length=64), nullable=True),
        sa.PrimaryKeyConstraint("id", name="pk_promotions"),
    )
