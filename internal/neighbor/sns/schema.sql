-- Times are milliseconds since 1970. attributes and tags are JSON objects of
-- texts; of the attributes only those that were set. gone counts the
-- subscriptions that were deleted.
CREATE TABLE topic (
  id         INTEGER PRIMARY KEY AUTOINCREMENT,
  account    TEXT    NOT NULL,
  region     TEXT    NOT NULL,
  name       TEXT    NOT NULL,
  attributes TEXT    NOT NULL,
  tags       TEXT    NOT NULL,
  gone       INTEGER NOT NULL DEFAULT 0,
  UNIQUE (account, region, name)
) STRICT;

-- uuid is the last part of the ARN. token confirms it until lapses; confirmed
-- is the time when, or 0. signed tells that its owner confirmed it, locked that
-- it asks for a signature to unsubscribe.
CREATE TABLE subscription (
  id         INTEGER PRIMARY KEY AUTOINCREMENT,
  topic      INTEGER NOT NULL,
  uuid       TEXT    NOT NULL UNIQUE,
  protocol   TEXT    NOT NULL,
  endpoint   TEXT    NOT NULL,
  principal  TEXT    NOT NULL,
  attributes TEXT    NOT NULL,
  token      TEXT    NOT NULL,
  lapses     INTEGER NOT NULL,
  confirmed  INTEGER NOT NULL,
  signed     INTEGER NOT NULL,
  locked     INTEGER NOT NULL DEFAULT 0,
  UNIQUE (topic, protocol, endpoint)
) STRICT;

-- What is still to be delivered: notice is JSON, due the time of the next try,
-- tries counts those that failed.
CREATE TABLE outbox (
  id           INTEGER PRIMARY KEY AUTOINCREMENT,
  subscription INTEGER NOT NULL,
  notice       BLOB    NOT NULL,
  due          INTEGER NOT NULL,
  tries        INTEGER NOT NULL DEFAULT 0
) STRICT;
CREATE INDEX outbox_by_time         ON outbox (due, subscription);
CREATE INDEX outbox_by_subscription ON outbox (subscription, due, id);

-- The one key that messages are signed with.
CREATE TABLE signer (
  id          INTEGER PRIMARY KEY CHECK (id = 1),
  key         BLOB NOT NULL,
  certificate BLOB NOT NULL
) STRICT;
