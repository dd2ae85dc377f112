"""What the images of a study take on the disk, and what is being deleted"""

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None

KEY = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
WITH_IMAGES = sa.text("image_bytes IS NULL OR image_bytes > 0")

WITH_FILES = sa.text("path <> ''")


def upgrade() -> None:
    op.add_column("studies", sa.Column("image_bytes", sa.BigInteger(), nullable=True))
    op.create_index(
        "ix_studies_with_images",
        "studies",
        ["id"],
        sqlite_where=WITH_IMAGES,
        postgresql_where=WITH_IMAGES,
    )
    op.create_index("ix_studies_first_received_at", "studies", ["first_received_at"])
    op.create_index(
        "ix_drafts_with_files",
        "drafts",
        ["created_at"],
        sqlite_where=WITH_FILES,
        postgresql_where=WITH_FILES,
    )
    op.create_index("ix_drafts_predecessor_id", "drafts", ["predecessor_id"])
    op.create_table(
        "removals",
        sa.Column("id", KEY, nullable=False),
        sa.Column("study_id", KEY, nullable=False),
        sa.Column("path", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(["study_id"], ["studies.id"], name="fk_removals_study_id_studies"),
        sa.PrimaryKeyConstraint("id", name="pk_removals"),
    )
    op.create_index("ix_removals_study_id", "removals", ["study_id"])
