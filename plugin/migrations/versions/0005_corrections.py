"""What came again is compared and may take the first one's place; drafts can be retracted"""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    _compare_what_came_again()
    _note_what_is_absent()
    _retract_drafts()


def _compare_what_came_again() -> None:
    with op.batch_alter_table("quarantine") as table:
        table.add_column(sa.Column("study_id", sa.Integer(), nullable=True))
        table.add_column(
            sa.Column("verdict", sa.String(length=16), nullable=False, server_default="waiting")
        )
        table.create_foreign_key("fk_quarantine_study_id_studies", "studies", ["study_id"], ["id"])
        table.create_index("ix_quarantine_study_id", ["study_id"])
    # What was set aside before is compared when its study is drafted the next time
    op.execute(
        "UPDATE quarantine SET study_id = (SELECT study_id FROM instances "
        "WHERE instances.sop_instance_uid = quarantine.sop_instance_uid)"
    )
    with op.batch_alter_table("quarantine") as table:
        table.alter_column("verdict", server_default=None)


def _note_what_is_absent() -> None:
    uid = sa.String(length=70).with_variant(sa.String(length=64), "sqlite")
    op.create_table(
        "absent",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("study_instance_uid", uid, nullable=False),
        sa.Column("sop_instance_uid", uid, nullable=False),
        sa.Column("since", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_absent"),
        sa.UniqueConstraint("sop_instance_uid", name="uq_absent_sop_instance_uid"),
    )
    op.create_index("ix_absent_study_instance_uid", "absent", ["study_instance_uid"])


def _retract_drafts() -> None:
    with op.batch_alter_table("drafts") as table:
        table.add_column(sa.Column("retraction_path", sa.Text(), nullable=True))
    with op.batch_alter_table("deliveries") as table:
        table.add_column(
            sa.Column("retracts", sa.Boolean(), nullable=False, server_default=sa.false())
        )
        table.drop_constraint("uq_deliveries_draft_id_destination", type_="unique")
        table.create_unique_constraint(
            "uq_deliveries_draft_id_destination_retracts", ["draft_id", "destination", "retracts"]
        )
    with op.batch_alter_table("deliveries") as table:
        table.alter_column("retracts", server_default=None)
