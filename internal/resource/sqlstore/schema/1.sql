-- One row per record of any family. Names and the columns after them are
-- compared byte for byte; ARNs without regard to the case of ASCII letters.
-- created and modified are milliseconds since 1970, UTC. arn and owner are NULL
-- for a record that has none.
CREATE TABLE record (
  id       INTEGER PRIMARY KEY,
  family   TEXT    NOT NULL,
  account  TEXT    NOT NULL,
  region   TEXT    NOT NULL,
  name     TEXT    NOT NULL,
  arn      TEXT,
  owner    TEXT,
  status   TEXT    NOT NULL,
  settled  INTEGER NOT NULL,
  created  INTEGER NOT NULL,
  modified INTEGER NOT NULL,
  version  INTEGER NOT NULL,
  document BLOB,
  private  BLOB
) STRICT;

-- Each list has an index that yields its rows in order, so that a page costs
-- the same however many rows there are.
CREATE UNIQUE INDEX record_by_name           ON record (family, account, region, name);
CREATE UNIQUE INDEX record_by_arn            ON record (lower(arn));
CREATE INDEX        record_by_created        ON record (family, account, region, created, name);
CREATE INDEX        record_by_modified       ON record (family, account, region, modified, name);
CREATE INDEX        record_by_status         ON record (family, account, region, status, name);
CREATE INDEX        record_by_status_created ON record (family, account, region, status, created, name);
CREATE INDEX        record_by_owner          ON record (owner, family, account, region, created, name) WHERE owner IS NOT NULL;
CREATE INDEX        record_unsettled         ON record (family, account, region, name) WHERE settled = 0;

-- arn is in lower case here, whatever its case in the record.
CREATE TABLE tag (
  arn   TEXT NOT NULL,
  key   TEXT NOT NULL,
  value TEXT NOT NULL,
  PRIMARY KEY (arn, key)
) STRICT, WITHOUT ROWID;
