-- One row per metric, dimensions and unit. dims is a JSON list of [name, value],
-- ordered by name. last is the time of the latest sample, seconds since 1970.
CREATE TABLE series (
  id        INTEGER PRIMARY KEY AUTOINCREMENT,
  account   TEXT    NOT NULL,
  region    TEXT    NOT NULL,
  namespace TEXT    NOT NULL,
  name      TEXT    NOT NULL,
  dims      TEXT    NOT NULL,
  unit      TEXT    NOT NULL,
  last      INTEGER NOT NULL,
  UNIQUE (account, region, namespace, name, dims, unit)
) STRICT;

-- What a series was told in the res seconds from ts on. res is 1 or 60.
CREATE TABLE sample (
  series INTEGER NOT NULL,
  res    INTEGER NOT NULL,
  ts     INTEGER NOT NULL,
  data   BLOB    NOT NULL,
  PRIMARY KEY (series, res, ts)
) STRICT, WITHOUT ROWID;
