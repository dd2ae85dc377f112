"""The ground that all other rooms stand on: tables, database, spool, timeline, holds.

State lives here and in no process. A change of a table needs a migration.
"""
