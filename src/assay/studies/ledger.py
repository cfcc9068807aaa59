"""The ledger: audits, grades and plans in one SQLite file that survives `kill -9` and several writers.

The desk alone opens it; the processes that audit and grade send their rows.

Write-ahead log, full synchronisation, one statement a transaction: a row is there whole or not at all.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Self

from sqlalchemy import (
    JSON,
    Column,
    ColumnElement,
    Connection,
    Engine,
    Float,
    Integer,
    MetaData,
    Row,
    Table,
    Text,
    create_engine,
    event,
    func,
    inspect,
    literal,
    select,
    type_coerce,
)
from sqlalchemy.dialects.sqlite import insert
from sqlalchemy.engine import URL
from sqlalchemy.exc import DBAPIError
from sqlalchemy.schema import CreateTable

from assay.audits.cell import Cell
from assay.core.record import AuditRow, GradeRow, as_json, audit_row
from assay.errors import AssayError, InvalidInput, UnknownId
from assay.studies.ledger_faults import explained

LAYOUT = 3  # raised when a table changes; run keys do not depend on it, as they do on the meaning of a row
BUSY_SECONDS = 30.0  # a writer waits this long for another

_METADATA = MetaData()
_SCHEMA = Table("assay_schema", _METADATA, Column("version", Integer, primary_key=True))
_AUDITS = Table(
    "audits",
    _METADATA,
    Column("run_key", Text, primary_key=True),
    *(Column(name, Text, nullable=False) for name in ("plan", "alias", "kit", "auditor")),
    Column("seed", Integer, nullable=False),
    *(Column(name, Text, nullable=False) for name in ("outcome", "report", "log", "error", "machine")),
    *(Column(name, JSON, nullable=False) for name in ("cost", "by_tool", "calls", "skipped", "prepared", "plugins")),
    Column("seconds", Float, nullable=False),
    Column("model", JSON),
)
_GRADES = Table(
    "grades",
    _METADATA,
    *(Column(name, Text, primary_key=True) for name in ("run_key", "grader", "tier")),
    *(Column(name, Float, nullable=False) for name in ("raw", "null")),
    *(Column(name, Text, nullable=False) for name in ("role", "cluster", "nonce", "signature")),
    Column("details", JSON, nullable=False),
)
# what others wrote into the file may be no JSON, and is looked at row by row
_GRADES_AS_TEXT = [column if column.name != "details" else type_coerce(column, Text) for column in _GRADES.columns]
_PLANS = Table(
    "plans",
    _METADATA,
    Column("id", Text, primary_key=True),
    *(Column(name, Text, nullable=False) for name in ("created", "last_run", "auditor")),
    Column("cells", JSON, nullable=False),
)
_DOCUMENTS = Table(
    "plan_documents",
    _METADATA,
    *(Column(name, Text, primary_key=True) for name in ("plan", "digest")),
    Column("created", Text, nullable=False),
    Column("document", JSON, nullable=False),
)
_LOOKS = Table(
    "looks",
    _METADATA,
    Column("digest", Text, primary_key=True),
    *(Column(name, Text, nullable=False) for name in ("plan", "created")),
    Column("aliases", JSON, nullable=False),
)


@dataclass(frozen=True, slots=True)
class StoredDocument:
    """Holds what a sweep said it was for.

    Attributes:
        plan: id of the sweep.
        digest: of the document.
        created: when it was stored first; UTC, ISO 8601.
        document: plain data.
    """

    plan: str
    digest: str
    created: str
    document: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class StoredLook:
    """Holds that somebody looked at graded audits.

    Attributes:
        digest: of which audits, by which graders.
        plan: id of the sweep that was summed up.
        created: when they were looked at first; UTC, ISO 8601.
        aliases: of their testbeds.
    """

    digest: str
    plan: str
    created: str
    aliases: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class StoredPlan:
    """Holds a sweep that was asked for.

    Attributes:
        id: digest of its cells.
        created: when it was first run; UTC, ISO 8601.
        last_run: when it was last run, or gone on with.
        auditor: the auditor's title; a plug-in's auditor can be asked for it at that time alone.
        cells: what it runs.
    """

    id: str
    created: str
    last_run: str
    auditor: str
    cells: tuple[Cell, ...]


class Ledger:
    """Holds rows of audits, grades and plans. Make one with `Ledger.open`; several processes may have the file open.

    Every method raises `InvalidInput` where the file is damaged or may not be written, and `AssayError` where the disk
    is full or another process holds the file for longer than 30 s.
    """

    def __init__(self, path: Path, engine: Engine) -> None:
        self.path, self._engine = path, engine

    @classmethod
    def open(cls, path: Path) -> Self:
        """Opens a ledger, making the file and its folders if they are not there.

        Raises:
            InvalidInput: the file is no SQLite database, belongs to another program, or has another schema version.
        """
        path = Path(path)
        if path.is_dir():
            raise InvalidInput(f"{path} is a directory; give the path of a ledger file, {path / 'ledger.sqlite'} say.")
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise InvalidInput(f"cannot make the folder of {path}: {error.strerror}. Give another path.") from None
        engine = create_engine(
            # Not by a string: a path may hold what an address gives a meaning to, such as a question mark.
            URL.create("sqlite", database=str(path)),
            # Each statement is a transaction of its own: no lock is held between two.
            isolation_level="AUTOCOMMIT",
            connect_args={"timeout": BUSY_SECONDS},
        )
        event.listen(engine, "connect", _durable)
        ledger = cls(path, engine)
        try:
            with ledger._connect() as connection:
                _check_schema(path, connection)
        except BaseException:
            ledger.close()
            raise
        return ledger

    def close(self) -> None:
        """Lets go of the file."""
        self._engine.dispose()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def record(self, row: AuditRow) -> None:
        """Keeps an audit. A run key that is there already stays as it is: a finished cell is recorded once."""
        # The first one stays: it may be graded already, and two desks that share a ledger may play the same cell.
        with self._connect() as connection:
            connection.execute(insert(_AUDITS).values(as_json(row)).on_conflict_do_nothing())

    def keep_served(self, row: AuditRow) -> None:
        """Keeps a served audit as it stands; an earlier row of it gives way if it says `crashed`, and stays otherwise.

        An agent that is served may go away at any moment: its audit is crashed until it submits a report.
        """
        statement = insert(_AUDITS).values(as_json(row))
        new = {column.name: column for column in statement.excluded if not column.primary_key}
        with self._connect() as connection:
            connection.execute(
                statement.on_conflict_do_update(
                    index_elements=list(_AUDITS.primary_key), set_=new, where=_AUDITS.c.outcome == "crashed"
                )
            )

    def grade(self, *rows: GradeRow) -> None:
        """Keeps grades, all of them or none, in place of earlier ones of the same audit, grader and tier."""
        if not rows:
            return
        statement = insert(_GRADES).values([as_json(row) for row in rows])  # one statement: one transaction
        new = {column.name: column for column in statement.excluded if not column.primary_key}
        with self._connect() as connection:
            connection.execute(statement.on_conflict_do_update(index_elements=list(_GRADES.primary_key), set_=new))

    def audits(self, run_keys: Iterable[str] | None = None) -> list[AuditRow]:
        """Reads audits in the order of their keys: all, or those asked for that are there."""
        query = select(_AUDITS).order_by(_AUDITS.c.run_key)
        if run_keys is not None:
            query = query.where(_among(_AUDITS.c.run_key, run_keys))
        with self._connect() as connection:
            return [audit_row(dict(row._mapping)) for row in connection.execute(query)]

    def grades(self, grader: str | None = None, run_keys: Iterable[str] | None = None) -> list[GradeRow]:
        """Reads grades in the order of their keys: all, or those of one grader, or of some audits.

        Any process of this user may have written them; `assay.studies.grades` tells which of them a grader signed.
        """
        query = select(*_GRADES_AS_TEXT).order_by(_GRADES.c.run_key, _GRADES.c.grader, _GRADES.c.tier)
        if grader is not None:
            query = query.where(_GRADES.c.grader == grader)
        if run_keys is not None:
            query = query.where(_among(_GRADES.c.run_key, run_keys))
        with self._connect() as connection:
            return [_grade_row(dict(row._mapping)) for row in connection.execute(query)]

    def have(self, run_keys: Iterable[str]) -> set[str]:
        """Returns those of the keys whose audit is recorded."""
        query = select(_AUDITS.c.run_key).where(_among(_AUDITS.c.run_key, run_keys))
        with self._connect() as connection:
            return set(connection.execute(query).scalars())

    def save_plan(self, plan_id: str, cells: Sequence[Cell], auditor: str) -> None:
        """Keeps a plan that is being run; of one that is there already, only the time of its last run changes.

        Args:
            plan_id: digest of its cells.
            cells: what it runs.
            auditor: the auditor's title.
        """
        now = _now()
        plain = [cell.model_dump() for cell in cells]
        statement = insert(_PLANS).values(id=plan_id, created=now, last_run=now, auditor=auditor, cells=plain)
        # The id is a digest of the cells, whose keys name the auditor: nothing else of a plan can have changed.
        statement = statement.on_conflict_do_update(index_elements=["id"], set_={"last_run": now})
        with self._connect() as connection:
            connection.execute(statement)

    def save_document(self, plan_id: str, digest: str, document: Mapping[str, Any]) -> None:
        """Keeps what a sweep is for; one that is there already stays as it is, with its time."""
        row = {"plan": plan_id, "digest": digest, "created": _now(), "document": dict(document)}
        with self._connect() as connection:
            connection.execute(insert(_DOCUMENTS).values(row).on_conflict_do_nothing())

    def documents(self) -> list[StoredDocument]:
        """Reads what sweeps said they were for, the one first stored first."""
        query = select(_DOCUMENTS).order_by(_DOCUMENTS.c.created)
        with self._connect() as connection:
            return [StoredDocument(**row._mapping) for row in connection.execute(query)]

    def look(self, digest: str, plan_id: str, aliases: Sequence[str]) -> None:
        """Counts a look at graded audits; the same ones count once."""
        row = {"digest": digest, "plan": plan_id, "created": _now(), "aliases": list(aliases)}
        with self._connect() as connection:
            connection.execute(insert(_LOOKS).values(row).on_conflict_do_nothing())

    def looks(self) -> list[StoredLook]:
        """Reads all looks, the first one first."""
        query = select(_LOOKS).order_by(_LOOKS.c.created)
        with self._connect() as connection:
            return [
                StoredLook(row.digest, row.plan, row.created, tuple(row.aliases)) for row in connection.execute(query)
            ]

    def plan(self, plan_id: str) -> StoredPlan:
        """Reads one plan.

        Raises:
            UnknownId: the ledger has no such plan.
        """
        with self._connect() as connection:
            row = connection.execute(select(_PLANS).where(_PLANS.c.id == plan_id)).one_or_none()
        if row is None:
            raise UnknownId("plan", plan_id, (plan.id for plan in self.plans()))
        return _plan(row)

    def plans(self) -> list[StoredPlan]:
        """Reads all plans, the one last run last."""
        query = select(_PLANS).order_by(_PLANS.c.last_run, _PLANS.c.id)
        with self._connect() as connection:
            return [_plan(row) for row in connection.execute(query)]

    @contextmanager
    def _connect(self) -> Iterator[Connection]:
        try:
            with self._engine.connect() as connection:
                yield connection
        except DBAPIError as error:
            raise explained(self.path, error.orig, BUSY_SECONDS) from error
        except (sqlite3.Error, json.JSONDecodeError) as error:
            raise explained(self.path, error, BUSY_SECONDS) from error
        if not self.path.is_file():  # SQLite goes on writing into a file that was deleted, and says nothing
            raise AssayError(
                f"{self.path} is gone, with what was recorded in it: its folder was deleted, moved or unmounted. Put "
                f"it back, or run again for a new ledger."
            )


def _now() -> str:
    # To the microsecond: two short sweeps within a second are told apart by it.
    return datetime.now(UTC).isoformat(timespec="microseconds")


def _durable(connection: sqlite3.Connection, _: object) -> None:
    """Makes every connection wait until what it commits is on the disk."""
    connection.execute("PRAGMA synchronous = FULL")


def _check_schema(path: Path, connection: Connection) -> None:
    # Looked at before anything is changed: a person who mistypes a path must find another program's file as it was.
    foreign = set(inspect(connection).get_table_names()) - set(_METADATA.tables)
    if foreign:
        raise InvalidInput(
            f"{path} is a database of another program (it has the table {min(foreign)!r}). Give another path."
        )
    connection.exec_driver_sql("PRAGMA journal_mode = WAL")  # kept in the file: readers beside one writer
    for table in _METADATA.sorted_tables:
        connection.execute(CreateTable(table, if_not_exists=True))
        _add_columns(table, connection)
    # If there is no version yet: two processes that make the file at once both say the same.
    connection.execute(
        insert(_SCHEMA).from_select(["version"], select(literal(LAYOUT)).where(~select(_SCHEMA).exists()))
    )
    found = connection.execute(select(_SCHEMA.c.version)).scalars().all()
    if found != [LAYOUT]:
        raise InvalidInput(
            f"{path} has schema version {', '.join(map(str, found))}; this Assay reads version {LAYOUT}. Use the Assay "
            f"that wrote it, or another path for a new ledger."
        )


def _add_columns(table: Table, connection: Connection) -> None:
    """Gives a table of an earlier Assay the columns that came since; in its rows they are empty."""
    there = {row.name for row in connection.exec_driver_sql(f"PRAGMA table_info({table.name})")}
    for column in table.columns:
        if column.name not in there and column.nullable:
            made = f"ALTER TABLE {table.name} ADD COLUMN {column.name} {column.type.compile(connection.dialect)}"
            with suppress(DBAPIError):  # another process that opens the file has just added it; if not, using it fails
                connection.exec_driver_sql(made)


def _among(column: ColumnElement[str], keys: Iterable[str]) -> ColumnElement[bool]:
    """Asks for the column to be one of the keys: as one JSON argument, past SQLite's limit on variables."""
    return column.in_(select(func.json_each(json.dumps(list(keys))).table_valued("value").c.value))


def _grade_row(stored: dict[str, Any]) -> GradeRow:
    """Reads a grade; a row whose details are no JSON is one that nobody signed, and must not hide the others."""
    try:
        details = json.loads(stored["details"])
    except (TypeError, ValueError, RecursionError):
        details = {"unreadable": str(stored["details"])}
    return GradeRow(**stored | {"details": details})


def _plan(row: Row[Any]) -> StoredPlan:
    cells = tuple(Cell.model_validate(cell) for cell in row.cells)
    return StoredPlan(row.id, row.created, row.last_run, row.auditor, cells)
