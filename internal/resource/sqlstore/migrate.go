// SPDX-License-Identifier: Apache-2.0

package sqlstore

import (
	"context"
	"database/sql"
	"embed"
	"fmt"
)

// schemaVersion is how many steps there are under schema: 1.sql, 2.sql and so
// on. A step, once released, is never changed: a new one is added.
const schemaVersion = 1

//go:embed schema/*.sql
var schema embed.FS

// migrate brings the file up to schemaVersion. Each step is one transaction
// that also counts up the file's user_version, so a crash between two steps,
// or in one, is made good by the next start. Steps run once and forward on one
// kind of database; a migration library would bring tables and drivers of its
// own for no more than this loop.
func migrate(ctx context.Context, conn *sql.Conn) error {
	for {
		again, err := migrateOne(ctx, conn)
		if err != nil || !again {
			return err
		}
	}
}

// migrateOne runs the next step, if there is one.
func migrateOne(ctx context.Context, conn *sql.Conn) (again bool, err error) {
	// The version is read under the write lock: of two processes that open a
	// new file at the same moment one migrates and the other finds it done.
	if _, err := conn.ExecContext(ctx, "BEGIN IMMEDIATE"); err != nil {
		return false, fmt.Errorf("migrate: %w", err)
	}
	defer func() {
		if err != nil || !again {
			_, _ = conn.ExecContext(context.WithoutCancel(ctx), "ROLLBACK")
		}
	}()
	var version int
	if err := conn.QueryRowContext(ctx, "PRAGMA user_version").Scan(&version); err != nil {
		return false, fmt.Errorf("migrate: read version: %w", err)
	}
	if version > schemaVersion {
		return false, fmt.Errorf("the file has schema %d, made by a newer release; this one knows %d", version, schemaVersion)
	}
	if version == schemaVersion {
		return false, nil
	}
	step, err := schema.ReadFile(fmt.Sprintf("schema/%d.sql", version+1))
	if err != nil {
		return false, fmt.Errorf("migrate: %w", err)
	}
	script := fmt.Sprintf("%s\nPRAGMA user_version = %d;\nCOMMIT;", step, version+1)
	if _, err := conn.ExecContext(ctx, script); err != nil {
		return false, fmt.Errorf("migrate to schema %d: %w", version+1, err)
	}
	return true, nil
}
