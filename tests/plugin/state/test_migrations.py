"""Every earlier database, filled, becomes one of today and keeps what it holds."""

from __future__ import annotations

from pathlib import Path

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from click.testing import CliRunner
from sqlalchemy import Connection, text

import plugin
from plugin.cli import main
from plugin.state.columns import Base
from plugin.state.database import connect, migrate, migrations, open_database
from tests.plugin.state.test_database import a_row_in_every_table

MIGRATIONS = ScriptDirectory(str(Path(plugin.__file__).parent / "migrations"))
REVISIONS = sorted(script.revision for script in MIGRATIONS.walk_revisions())
RENAMED = {"associations": "holds"}


def test_a_filled_database_of_every_revision_keeps_its_rows(bare_database_url: str) -> None:
    engine = connect(bare_database_url)
    with engine.begin() as connection:
        for revision in REVISIONS:
            command.upgrade(migrations(connection), revision)
            filled = connection.begin_nested()
            check_that_rows_are_kept(connection, revision)
            filled.rollback()
    engine.dispose()


def check_that_rows_are_kept(connection: Connection, revision: str) -> None:
    before = a_row_in_every_table(connection)
    assert before
    migrate(connection)
    for table, row in before.items():
        name = RENAMED.get(table, table)
        after = dict(connection.execute(text(f"SELECT * FROM {name}")).mappings().one())
        # The rows of a renamed table are copied, under new keys
        kept = (row.keys() & after.keys()) - ({"id"} if table in RENAMED else set())
        there = {key: after[key] for key in kept}
        assert there == {key: row[key] for key in kept}, f"{table} since {revision}"
    differences = compare_metadata(MigrationContext.configure(connection), Base.metadata)
    assert differences == [], f"since {revision}"


@pytest.mark.parametrize("part", ["receive", "deliver", "status"])
def test_the_service_refuses_a_database_of_a_later_version_in_one_line(
    tmp_path: Path, part: str
) -> None:
    config = tmp_path / "ctscribe.toml"
    config.write_text('storage.spool = "spool"\nreceiver.port = 0\n')
    engine = open_database(f"sqlite:///{tmp_path / 'spool' / 'ctscribe.db'}")
    with engine.begin() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    engine.dispose()
    result = CliRunner().invoke(main, [part, "-c", str(config)])
    assert result.exit_code == 1
    assert len(result.stderr.splitlines()) == 1
    assert "the database was made by another version of ctscribe" in result.stderr
