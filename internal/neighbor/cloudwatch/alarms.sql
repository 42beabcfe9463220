-- An alarm of any kind, as JSON; see type alarm.
CREATE TABLE IF NOT EXISTS alarm (
  account TEXT NOT NULL,
  region  TEXT NOT NULL,
  name    TEXT NOT NULL,
  doc     BLOB NOT NULL,
  PRIMARY KEY (account, region, name)
) STRICT, WITHOUT ROWID;

-- What befell alarms, those that are gone among them. at is in milliseconds
-- since 1970, kind is MetricAlarm or CompositeAlarm.
CREATE TABLE IF NOT EXISTS alarm_history (
  id      INTEGER PRIMARY KEY AUTOINCREMENT,
  account TEXT    NOT NULL,
  region  TEXT    NOT NULL,
  name    TEXT    NOT NULL,
  kind    TEXT    NOT NULL,
  at      INTEGER NOT NULL,
  type    TEXT    NOT NULL,
  summary TEXT    NOT NULL,
  data    TEXT    NOT NULL
) STRICT;

CREATE INDEX IF NOT EXISTS alarm_history_of_name ON alarm_history (account, region, name, at, id);

CREATE INDEX IF NOT EXISTS alarm_history_by_time ON alarm_history (at);

-- Actions that a change of state asks for and that are not yet done. at is when
-- the state changed, tries how often they failed.
CREATE TABLE IF NOT EXISTS alarm_action (
  id      INTEGER PRIMARY KEY AUTOINCREMENT,
  account TEXT    NOT NULL,
  region  TEXT    NOT NULL,
  name    TEXT    NOT NULL,
  kind    TEXT    NOT NULL,
  at      INTEGER NOT NULL,
  action  TEXT    NOT NULL,
  message BLOB    NOT NULL,
  tries   INTEGER NOT NULL
) STRICT;
