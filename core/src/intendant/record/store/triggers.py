"""Triggers that keep tables append-only: the database itself refuses updates and deletes, from any client.

They guard against mistakes, and against clients that have no right to change the schema. A client that has it can
drop them; `integrity` finds that. Events and charges are deleted only of runs that stand in `pruned`, which is
written first and committed to the chain of everything; of a rating only the comment and its salt may be deleted.

SQLite drops a table's triggers with the table: a migration that makes one of these anew calls `create` afterwards.
"""

from sqlalchemy import Connection, text  # noqa: TID253

FOREVER = ("budget_limit", "setting_change", "pruned")
"""Rows of these are never changed or deleted."""
OF_RUNS = ("event", "ledger")
"""Rows of these are never changed, and deleted only with their run."""
RATINGS = "rating"
_SAYS = "the record is append-only"
_KEPT = ("run_id", "step_key", "rated_by", "at", "rating")
_PRUNED = "EXISTS (SELECT 1 FROM pruned WHERE run_id = OLD.run_id)"


def create(connection: Connection) -> None:
    """Add the triggers that are not there."""
    for statement in statements(connection.dialect.name):
        connection.execute(text(statement))


def statements(dialect: str) -> list[str]:
    """What adds the triggers that are not there, to SQLite or to PostgreSQL."""
    return _sqlite() if dialect == "sqlite" else _postgresql()


def drop(connection: Connection) -> None:
    """Take the triggers away: for a migration that makes tables anew, before `create`."""
    for table in (*FOREVER, *OF_RUNS, RATINGS):
        for change in ("update", "delete", "truncate"):
            on = "" if connection.dialect.name == "sqlite" else f" ON {table}"
            connection.execute(text(f"DROP TRIGGER IF EXISTS {table}_no_{change}{on}"))


def _sqlite() -> list[str]:
    kept = " OR ".join(f"NEW.{name} IS NOT OLD.{name}" for name in _KEPT)
    rules = [(table, change, "") for table in FOREVER for change in ("update", "delete")]
    rules += [(table, "update", "") for table in OF_RUNS]
    rules += [(table, "delete", f"WHEN NOT {_PRUNED}") for table in (*OF_RUNS, RATINGS)]
    rules.append((RATINGS, "update", f"WHEN {kept} OR NEW.comment IS NOT NULL"))
    return [
        f"CREATE TRIGGER IF NOT EXISTS {table}_no_{change} BEFORE {change.upper()} ON {table} {when} "
        f"BEGIN SELECT RAISE(ABORT, '{_SAYS}: {change} of {table}'); END"
        for table, change, when in rules
    ]


def _postgresql() -> list[str]:
    raised = f"RAISE EXCEPTION '{_SAYS}: % of %', lower(TG_OP), TG_TABLE_NAME;"
    kept = " OR ".join(f"NEW.{name} IS DISTINCT FROM OLD.{name}" for name in _KEPT)
    never = f"CREATE OR REPLACE FUNCTION intendant_never() RETURNS trigger AS $$ BEGIN {raised} END $$"
    pruned = (
        "CREATE OR REPLACE FUNCTION intendant_unless_pruned() RETURNS trigger AS $$ BEGIN "
        f"IF {_PRUNED} THEN RETURN OLD; END IF; {raised} END $$"
    )
    row = "FOR EACH ROW"
    rules = [(table, change, row, "never") for table in FOREVER for change in ("update", "delete")]
    rules += [(table, "update", row, "never") for table in OF_RUNS]
    rules += [(table, "delete", row, "unless_pruned") for table in (*OF_RUNS, RATINGS)]
    rules.append((RATINGS, "update", f"{row} WHEN ({kept} OR NEW.comment IS NOT NULL)", "never"))
    rules += [(table, "truncate", "", "never") for table in (*FOREVER, *OF_RUNS, RATINGS)]
    made = [
        f"CREATE OR REPLACE TRIGGER {table}_no_{change} BEFORE {change.upper()} ON {table} {when} "
        f"EXECUTE FUNCTION intendant_{function}()"
        for table, change, when, function in rules
    ]
    return [f"{never} LANGUAGE plpgsql", f"{pruned} LANGUAGE plpgsql", *made]
