-- Times are milliseconds since 1970. attributes and tags are JSON objects of
-- texts; of the attributes only those that were set.
CREATE TABLE queue (
  id         INTEGER PRIMARY KEY AUTOINCREMENT,
  account    TEXT    NOT NULL,
  region     TEXT    NOT NULL,
  name       TEXT    NOT NULL,
  created    INTEGER NOT NULL,
  modified   INTEGER NOT NULL,
  purged     INTEGER NOT NULL DEFAULT 0,
  attributes TEXT    NOT NULL,
  tags       TEXT    NOT NULL,
  UNIQUE (account, region, name)
) STRICT;

-- received counts all receives, base those before the message came to this
-- queue from another. source is the ARN of that other.
CREATE TABLE message (
  seq        INTEGER PRIMARY KEY AUTOINCREMENT,
  queue      INTEGER NOT NULL,
  id         TEXT    NOT NULL,
  body       TEXT    NOT NULL,
  attributes TEXT    NOT NULL,
  trace      TEXT    NOT NULL,
  sender     TEXT    NOT NULL,
  grp        TEXT    NOT NULL,
  dedup      TEXT    NOT NULL,
  sent       INTEGER NOT NULL,
  expires    INTEGER NOT NULL,
  visible    INTEGER NOT NULL,
  received   INTEGER NOT NULL DEFAULT 0,
  base       INTEGER NOT NULL DEFAULT 0,
  first      INTEGER NOT NULL DEFAULT 0,
  source     TEXT    NOT NULL DEFAULT ''
) STRICT;
CREATE INDEX message_by_time  ON message (queue, visible, seq);
CREATE INDEX message_by_group ON message (queue, grp, visible);
CREATE INDEX message_by_end   ON message (expires);

-- What was sent lately under a deduplication ID, or delivered under a name.
CREATE TABLE recent (
  queue   INTEGER NOT NULL,
  key     TEXT    NOT NULL,
  message TEXT    NOT NULL,
  seq     INTEGER NOT NULL,
  at      INTEGER NOT NULL,
  PRIMARY KEY (queue, key)
) STRICT, WITHOUT ROWID;
CREATE INDEX recent_by_time ON recent (at);
