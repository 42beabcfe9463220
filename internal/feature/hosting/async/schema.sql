-- Times are milliseconds since 1970. seed tells an endpoint from an earlier one
-- of its name; gone is when it was deleted, 0 while it is there.
CREATE TABLE endpoint (
  id      INTEGER PRIMARY KEY AUTOINCREMENT,
  account TEXT    NOT NULL,
  region  TEXT    NOT NULL,
  name    TEXT    NOT NULL,
  seed    TEXT    NOT NULL,
  gone    INTEGER NOT NULL DEFAULT 0,
  UNIQUE (account, region, name, seed)
) STRICT;

-- A request that is settled has no row. taken is 1 while an instance has it, due
-- is when it may be taken, starts how often it was, and lost how often that came
-- to nothing. document is the Request as JSON; payload its body, where that came
-- with it.
CREATE TABLE request (
  id       INTEGER PRIMARY KEY AUTOINCREMENT,
  endpoint INTEGER NOT NULL,
  taken    INTEGER NOT NULL DEFAULT 0,
  received INTEGER NOT NULL,
  expires  INTEGER NOT NULL,
  due      INTEGER NOT NULL,
  starts   INTEGER NOT NULL DEFAULT 0,
  lost     INTEGER NOT NULL DEFAULT 0,
  document TEXT    NOT NULL,
  payload  BLOB
) STRICT;
CREATE INDEX request_in_order ON request (endpoint, taken, id);
CREATE INDEX request_by_expiry ON request (endpoint, taken, expires);

-- What is still to be told; settling a request adds it.
CREATE TABLE outbox (
  id       INTEGER PRIMARY KEY AUTOINCREMENT,
  account  TEXT    NOT NULL,
  region   TEXT    NOT NULL,
  endpoint TEXT    NOT NULL,
  variant  TEXT    NOT NULL,
  topic    TEXT    NOT NULL,
  message  BLOB    NOT NULL,
  tries    INTEGER NOT NULL DEFAULT 0,
  due      INTEGER NOT NULL
) STRICT;
CREATE INDEX outbox_by_due ON outbox (due);
