-- Times are milliseconds since 1970. retention is in days; 0 keeps for ever.
CREATE TABLE loggroup (
  id        INTEGER PRIMARY KEY AUTOINCREMENT,
  account   TEXT    NOT NULL,
  region    TEXT    NOT NULL,
  name      TEXT    NOT NULL,
  created   INTEGER NOT NULL,
  retention INTEGER NOT NULL DEFAULT 0,
  class     TEXT    NOT NULL,
  kms       TEXT    NOT NULL,
  protected INTEGER NOT NULL,
  tags      TEXT    NOT NULL,
  UNIQUE (account, region, name)
) STRICT;

-- first, last and ingested are NULL for a stream without events; recent is last
-- or created. next is the number of the next event, source how many bytes of
-- the source log were taken, run how many small batches stand at the end.
CREATE TABLE stream (
  id       INTEGER PRIMARY KEY AUTOINCREMENT,
  loggroup INTEGER NOT NULL,
  name     TEXT    NOT NULL,
  created  INTEGER NOT NULL,
  first    INTEGER,
  last     INTEGER,
  ingested INTEGER,
  recent   INTEGER NOT NULL,
  bytes    INTEGER NOT NULL DEFAULT 0,
  next     INTEGER NOT NULL DEFAULT 1,
  source   INTEGER NOT NULL DEFAULT 0,
  run      INTEGER NOT NULL DEFAULT 0,
  UNIQUE (loggroup, name)
) STRICT;
CREATE INDEX stream_by_time ON stream (loggroup, recent, name);

CREATE TABLE chunk (
  id       INTEGER PRIMARY KEY,
  loggroup INTEGER NOT NULL,
  stream   INTEGER NOT NULL,
  first_ts INTEGER NOT NULL,
  first_id INTEGER NOT NULL,
  last_ts  INTEGER NOT NULL,
  bytes    INTEGER NOT NULL,
  data     BLOB    NOT NULL
) STRICT;
CREATE UNIQUE INDEX chunk_by_stream ON chunk (stream, first_ts, first_id);
CREATE INDEX        chunk_by_time   ON chunk (loggroup, first_ts, id);

-- Streams that were deleted and whose chunks are still to be removed.
CREATE TABLE garbage (stream INTEGER PRIMARY KEY) STRICT;
