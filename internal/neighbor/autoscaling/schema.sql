-- Times are milliseconds since 1970.
--
-- asked counts the changes of a target's bounds, seen the one that the capacity
-- was last compared with. gone is 1 from when its resource was not found, and
-- since is when the resource was first there, or there again.
CREATE TABLE target (
  id        INTEGER PRIMARY KEY AUTOINCREMENT,
  account   TEXT    NOT NULL,
  region    TEXT    NOT NULL,
  resource  TEXT    NOT NULL,
  dimension TEXT    NOT NULL,
  uid       TEXT    NOT NULL UNIQUE,
  lowest    INTEGER NOT NULL,
  highest   INTEGER NOT NULL,
  created   INTEGER NOT NULL,
  suspended TEXT    NOT NULL,
  tags      TEXT    NOT NULL,
  asked     INTEGER NOT NULL DEFAULT 1,
  seen      INTEGER NOT NULL DEFAULT 0,
  gone      INTEGER NOT NULL DEFAULT 0,
  since     INTEGER NOT NULL,
  UNIQUE (account, region, resource, dimension)
) STRICT;

-- doc is the ScalingPolicy; memory is what the loop remembers of it.
CREATE TABLE policy (
  id     INTEGER PRIMARY KEY AUTOINCREMENT,
  target INTEGER NOT NULL REFERENCES target (id),
  name   TEXT    NOT NULL,
  doc    TEXT    NOT NULL,
  memory TEXT    NOT NULL DEFAULT '{}',
  UNIQUE (target, name)
) STRICT;

-- doc is the ScheduledAction; due is its next run, NULL when there is none.
CREATE TABLE schedule (
  id     INTEGER PRIMARY KEY AUTOINCREMENT,
  target INTEGER NOT NULL REFERENCES target (id),
  name   TEXT    NOT NULL,
  doc    TEXT    NOT NULL,
  due    INTEGER,
  UNIQUE (target, name)
) STRICT;

-- Activities outlive their target. doc is the ScalingActivity; open is 1 until
-- it is settled. The last four columns are what decisions rest on.
CREATE TABLE activity (
  id         INTEGER PRIMARY KEY AUTOINCREMENT,
  account    TEXT    NOT NULL,
  region     TEXT    NOT NULL,
  resource   TEXT    NOT NULL,
  dimension  TEXT    NOT NULL,
  doc        TEXT    NOT NULL,
  open       INTEGER NOT NULL,
  started    INTEGER NOT NULL,
  ended      INTEGER,
  not_scaled INTEGER NOT NULL DEFAULT 0,
  worked     INTEGER NOT NULL DEFAULT 0, -- 1: the capacity went from before to after
  before     INTEGER NOT NULL DEFAULT 0,
  after      INTEGER NOT NULL DEFAULT 0,
  cooldown   INTEGER NOT NULL DEFAULT 0
) STRICT;
CREATE INDEX activity_of ON activity (account, region, resource, dimension, id);
CREATE INDEX activity_by_start ON activity (started);

-- Alarms that CloudWatch does not have as wanted yet: put is the
-- PutMetricAlarm, NULL for an alarm that is to go.
CREATE TABLE alarm (
  account TEXT NOT NULL,
  region  TEXT NOT NULL,
  name    TEXT NOT NULL,
  put     TEXT,
  PRIMARY KEY (account, region, name)
) STRICT;
