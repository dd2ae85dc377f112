"""Old entries of the audit trail may go, where a row says up to which one and with which hash"""

import sqlalchemy as sa
from alembic import op

revision = "0021"
down_revision = "0020"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "audit_cuts",
        sa.Column("position", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("hash", sa.String(length=64), nullable=False),
        sa.Column("file", sa.Text(), nullable=False),
        sa.Column("cut_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("position", name="pk_audit_cuts"),
    )
    if op.get_bind().dialect.name == "sqlite":
        _on_sqlite()
    else:
        _on_postgresql()


def _on_sqlite() -> None:
    op.execute("DROP TRIGGER audit_refuses_delete")
    op.execute(
        "CREATE TRIGGER audit_refuses_delete BEFORE DELETE ON audit "
        "WHEN NOT EXISTS (SELECT 1 FROM audit_cuts WHERE position >= OLD.position) "
        "BEGIN SELECT RAISE(ABORT, 'the audit trail is append-only'); END"
    )
    for change in ("UPDATE", "DELETE"):
        op.execute(
            f"CREATE TRIGGER audit_cuts_refuses_{change.lower()} BEFORE {change} ON audit_cuts "
            "BEGIN SELECT RAISE(ABORT, 'the audit trail is append-only'); END"
        )
    op.execute(
        "CREATE TRIGGER audit_cuts_refuses_replace BEFORE INSERT ON audit_cuts "
        "WHEN EXISTS (SELECT 1 FROM audit_cuts WHERE position = NEW.position) "
        "BEGIN SELECT RAISE(ABORT, 'the audit trail is append-only'); END"
    )


def _on_postgresql() -> None:
    op.execute("DROP TRIGGER audit_refuses ON audit")
    for table, changes in (
        ("audit", "UPDATE OR TRUNCATE"),
        ("audit_cuts", "UPDATE OR DELETE OR TRUNCATE"),
    ):
        op.execute(
            f"CREATE TRIGGER {table}_refuses BEFORE {changes} ON {table} "
            "FOR EACH STATEMENT EXECUTE FUNCTION audit_refuses()"
        )
    op.execute(
        "CREATE FUNCTION audit_refuses_delete() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN "
        "IF OLD.position <= (SELECT max(position) FROM audit_cuts) THEN RETURN OLD; END IF; "
        "RAISE EXCEPTION 'the audit trail is append-only'; END $$"
    )
    op.execute(
        "CREATE TRIGGER audit_refuses_delete BEFORE DELETE ON audit "
        "FOR EACH ROW EXECUTE FUNCTION audit_refuses_delete()"
    )
