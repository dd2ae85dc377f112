"""What people make of drafts, and how the list of studies names them"""

import sqlalchemy as sa
from alembic import op

revision = "0019"
down_revision = "0018"
branch_labels = None
depends_on = None

_KEY = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
_MOMENT = sa.DateTime(timezone=True)


def upgrade() -> None:
    _reviews()
    op.create_table(
        "presence",
        sa.Column("study_id", _KEY, nullable=False),
        sa.Column("person", sa.String(length=64), nullable=False),
        sa.Column("since", _MOMENT, nullable=False),
        sa.Column("seen_at", _MOMENT, nullable=False),
        _goes_with("presence", "study_id", "studies"),
        _goes_with("presence", "person", "people", "name"),
        sa.PrimaryKeyConstraint("study_id", "person", name="pk_presence"),
    )
    op.create_index("ix_presence_seen_at", "presence", ["seen_at"])
    op.create_table(
        "templates",
        sa.Column("id", _KEY, nullable=False),
        sa.Column("owner", sa.String(length=64), nullable=False),
        sa.Column("name", sa.String(length=64), nullable=False),
        sa.Column("kind", sa.String(length=16), nullable=False),
        sa.Column("heading", sa.String(length=16), nullable=True),
        sa.Column("text", sa.Text(), nullable=False),
        sa.Column("language", sa.String(length=8), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_templates"),
        sa.UniqueConstraint("owner", "name", name="uq_templates_owner_name"),
    )
    op.create_table(
        "listings",
        sa.Column("study_id", _KEY, nullable=False),
        *(sa.Column(name, sa.Text(), nullable=True) for name in ("patient_name", "patient_id")),
        sa.Column("birth_date", sa.String(length=8), nullable=True),
        sa.Column("sex", sa.String(length=16), nullable=True),
        sa.Column("description", sa.Text(), nullable=True),
        sa.Column("study_date", sa.String(length=8), nullable=True),
        sa.Column("sought", sa.Text(), nullable=False),
        _goes_with("listings", "study_id", "studies"),
        sa.PrimaryKeyConstraint("study_id", name="pk_listings"),
    )


def _reviews() -> None:
    op.create_table(
        "reviews",
        *(sa.Column(name, _KEY, nullable=False) for name in ("id", "study_id", "draft_id")),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("state", sa.String(length=16), nullable=False),
        sa.Column("sections", sa.JSON(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=True),
        sa.Column("until", _MOMENT, nullable=True),
        sa.Column("saved_at", _MOMENT, nullable=False),
        sa.Column("saved_by", sa.String(length=128), nullable=False),
        _goes_with("reviews", "study_id", "studies"),
        _goes_with("reviews", "draft_id", "drafts"),
        sa.PrimaryKeyConstraint("id", name="pk_reviews"),
        sa.UniqueConstraint("study_id", name="uq_reviews_study_id"),
    )
    op.create_index("ix_reviews_draft_id", "reviews", ["draft_id"])
    op.create_index("ix_reviews_standing", "reviews", ["study_id", "draft_id", "state", "until"])
    op.create_table(
        "review_steps",
        *(sa.Column(name, _KEY, nullable=False) for name in ("id", "review_id")),
        sa.Column("at", _MOMENT, nullable=False),
        sa.Column("by", sa.String(length=128), nullable=False),
        sa.Column("action", sa.String(length=16), nullable=False),
        sa.Column("sections", sa.JSON(), nullable=False),
        _goes_with("review_steps", "review_id", "reviews"),
        sa.PrimaryKeyConstraint("id", name="pk_review_steps"),
    )
    op.create_index("ix_review_steps_review_id", "review_steps", ["review_id"])


def _goes_with(table: str, column: str, other: str, key: str = "id") -> sa.ForeignKeyConstraint:
    name = f"fk_{table}_{column}_{other}"
    return sa.ForeignKeyConstraint([column], [f"{other}.{key}"], name=name, ondelete="CASCADE")
