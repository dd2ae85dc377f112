"""UIDs of up to 70 characters, as some devices write them and archives take them"""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

_COLUMNS = (
    ("studies", "study_instance_uid"),
    ("series", "series_instance_uid"),
    ("instances", "sop_instance_uid"),
    ("instances", "sop_class_uid"),
    ("instances", "transfer_syntax_uid"),
    ("quarantine", "sop_instance_uid"),
    ("drafts", "sop_instance_uid"),
    ("drafts", "series_instance_uid"),
)


def upgrade() -> None:
    if op.get_bind().dialect.name == "sqlite":
        return  # it keeps to no length
    for table, column in _COLUMNS:
        op.alter_column(table, column, type_=sa.String(length=70), existing_nullable=False)
