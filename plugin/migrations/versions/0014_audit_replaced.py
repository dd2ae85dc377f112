"""SQLite's INSERT OR REPLACE is refused as a change of the audit trail, too"""

from alembic import op

revision = "0014"
down_revision = "0013"
branch_labels = None
depends_on = None


def upgrade() -> None:
    if op.get_bind().dialect.name == "sqlite":  # a REPLACE fires no trigger of UPDATE and DELETE
        op.execute(
            "CREATE TRIGGER audit_refuses_replace BEFORE INSERT ON audit "
            "WHEN EXISTS (SELECT 1 FROM audit WHERE position = NEW.position) "
            "BEGIN SELECT RAISE(ABORT, 'the audit trail is append-only'); END"
        )
