"""The SQLite file under the store: one table of changes, and the objects they add up to.

A write is one row in ``log``; a trigger folds it into ``objects``. So one ``INSERT`` statement is
one atomic transaction for a whole group of writes, and its commit is the acknowledgement: the file
is in WAL mode with ``synchronous=FULL``, so what was acknowledged survives ``kill -9`` and a power
cut. The row number of ``log`` is the resource version: it never goes back, also not over restarts,
because compaction always leaves the newest row.

All functions block. :class:`ome.standalone.apiserver.store.Store` calls the writing ones from its
one writer thread.
"""

from __future__ import annotations

import fcntl
import os
import sqlite3
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

SCHEMA_VERSION = 1
APPLICATION_ID = 0x4F4D4531  # "OME1"

_SCHEMA = f"""
CREATE TABLE log (
  rv INTEGER PRIMARY KEY,
  type INTEGER NOT NULL,
  bucket TEXT NOT NULL,
  namespace TEXT NOT NULL,
  name TEXT NOT NULL,
  data BLOB NOT NULL,
  previous BLOB
);
CREATE INDEX log_by_bucket ON log (bucket, rv);
CREATE TABLE objects (
  bucket TEXT NOT NULL,
  namespace TEXT NOT NULL,
  name TEXT NOT NULL,
  rv INTEGER NOT NULL,
  data BLOB NOT NULL,
  PRIMARY KEY (bucket, namespace, name)
) WITHOUT ROWID;
CREATE TRIGGER fold_put AFTER INSERT ON log WHEN new.type < 3 BEGIN
  INSERT OR REPLACE INTO objects (bucket, namespace, name, rv, data)
    VALUES (new.bucket, new.namespace, new.name, new.rv, new.data);
END;
CREATE TRIGGER fold_delete AFTER INSERT ON log WHEN new.type = 3 BEGIN
  DELETE FROM objects
    WHERE bucket = new.bucket AND namespace = new.namespace AND name = new.name;
END;
PRAGMA application_id = {APPLICATION_ID};
PRAGMA user_version = {SCHEMA_VERSION};
"""

_COLUMNS = "rv, type, bucket, namespace, name, data, previous"


class StoreError(Exception):
    """The store can't be opened or used. The message says what to do."""


class StoreLocked(StoreError):  # noqa: N818 - reads as the state it reports
    """Another process has the store open."""


class StoreCorrupt(StoreError):  # noqa: N818
    """The file is not a store, or is damaged."""


class Row(NamedTuple):
    """One change. ``type`` is 1 added, 2 modified, 3 deleted; ``previous`` is what selectors can
    see of the object before the change, where that differs from after it."""

    rv: int
    type: int
    bucket: str
    namespace: str
    name: str
    data: bytes
    previous: bytes | None


class FileLock:
    """An exclusive lock on ``<path>.lock`` that the kernel releases when the process dies."""

    def __init__(self, path: Path) -> None:
        self._path = path.with_name(path.name + ".lock")
        self._fd = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = os.read(self._fd, 32).decode("ascii", "replace").strip()
            os.close(self._fd)
            who = f"process {holder}" if holder else "another process"
            raise StoreLocked(
                f"{path} is in use by {who}; stop it first, or use another data directory"
            ) from None
        os.ftruncate(self._fd, 0)
        os.write(self._fd, f"{os.getpid()}\n".encode())

    def release(self) -> None:
        os.close(self._fd)


class Disk:
    """One open store file: the connection of the writer, and short-lived ones for readers."""

    def __init__(self, path: Path) -> None:
        self.path = path
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._lock = FileLock(path)
        try:
            self._db = _open(path)
        except BaseException:
            self._lock.release()
            raise
        self.log_bytes, self.log_rows = self._log_size()

    def _log_size(self) -> tuple[int, int]:
        size, rows = self._db.execute("SELECT sum(length(data)), count(*) FROM log").fetchone()
        return size or 0, rows

    def revision(self) -> int:
        """The newest resource version; 0 in a new store."""
        return int(self._db.execute("SELECT coalesce(max(rv), 0) FROM log").fetchone()[0])

    def compacted(self) -> int:
        """Changes up to and including this version are no longer in the log."""
        return int(self._db.execute("SELECT coalesce(min(rv), 1) - 1 FROM log").fetchone()[0])

    def objects(self) -> Iterator[tuple[str, str, str, int, bytes]]:
        yield from self._db.execute("SELECT bucket, namespace, name, rv, data FROM objects")

    def append(self, rows: Sequence[Row]) -> None:
        """Write all rows or none, durably. Raises ``sqlite3.Error``."""
        values = ",".join(["(?,?,?,?,?,?,?)"] * len(rows))
        flat = [field for row in rows for field in row]
        self._db.execute(f"INSERT INTO log ({_COLUMNS}) VALUES {values}", flat)
        self.log_rows += len(rows)
        self.log_bytes += sum(len(row.data) for row in rows)

    def compaction_point(self, keep_rows: int, keep_bytes: int) -> int:
        """The revision up to which changes must go so that both limits hold; 0 if they do.

        The newest change always stays, because it carries the revision over a restart.
        """
        newest = self.revision()
        rows, size = 0, 0
        for rv, length in self._db.execute("SELECT rv, length(data) FROM log ORDER BY rv DESC"):
            rows, size = rows + 1, size + length
            if rv != newest and (rows > keep_rows or size > keep_bytes):
                return int(rv)
        return 0

    def drop_log(self, up_to: int) -> None:
        self._db.execute("DELETE FROM log WHERE rv <= ?", (up_to,))
        self.log_bytes, self.log_rows = self._log_size()

    def read_log(self, bucket: str, after: int, limit: int) -> list[Row]:
        """Changes of a bucket after a version, oldest first. Safe from any thread."""
        query = f"SELECT {_COLUMNS} FROM log WHERE bucket = ? AND rv > ? ORDER BY rv LIMIT ?"
        db = sqlite3.connect(f"file:{self.path}?mode=ro", uri=True, isolation_level=None)
        try:
            return [Row(*row) for row in db.execute(query, (bucket, after, limit))]
        finally:
            db.close()

    def close(self) -> None:
        self._db.close()
        self._lock.release()


def _open(path: Path) -> sqlite3.Connection:
    """Open or create the file and check that it is a sound store that this version can read."""
    os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
    path.chmod(0o600)
    db = sqlite3.connect(path, isolation_level=None, check_same_thread=False, cached_statements=256)
    try:
        _prepare(db, path)
    except sqlite3.DatabaseError as error:
        db.close()
        if isinstance(error, sqlite3.OperationalError):
            raise StoreError(f"cannot open {path}: {error}") from error
        raise _corrupt(path, str(error)) from error
    except BaseException:
        db.close()
        raise
    return db


def _prepare(db: sqlite3.Connection, path: Path) -> None:
    (application,) = db.execute("PRAGMA application_id").fetchone()
    (version,) = db.execute("PRAGMA user_version").fetchone()
    (tables,) = db.execute("SELECT count(*) FROM sqlite_schema").fetchone()
    if application not in (0, APPLICATION_ID) or (tables and application == 0):
        raise StoreCorrupt(f"{path} is not an OME store; move it away or use another directory")
    if version > SCHEMA_VERSION:
        raise StoreError(
            f"{path} was written by a newer OME (format {version}, this one reads up to "
            f"{SCHEMA_VERSION}); upgrade OME"
        )
    db.execute("PRAGMA journal_mode = WAL")
    db.execute("PRAGMA synchronous = FULL")
    db.execute("PRAGMA busy_timeout = 5000")
    db.execute("PRAGMA cache_size = -1024")
    db.execute("PRAGMA wal_autocheckpoint = 500")
    db.execute("PRAGMA journal_size_limit = 8388608")
    if not tables:
        db.executescript(f"BEGIN IMMEDIATE; {_SCHEMA} COMMIT;")
        return
    problems = [row[0] for row in db.execute("PRAGMA quick_check(3)")]
    if problems != ["ok"]:
        raise _corrupt(path, "; ".join(problems))


def _corrupt(path: Path, what: str) -> StoreCorrupt:
    return StoreCorrupt(
        f"{path} is damaged ({what}). Move it away and start again with an empty store, or put "
        "back a copy of the whole data directory"
    )
