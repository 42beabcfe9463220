// SPDX-License-Identifier: Apache-2.0

package cloudwatch

import (
	"context"
	"database/sql"
	_ "embed" // the schema
	"errors"
	"fmt"
	"net/url"
	"sync"

	_ "modernc.org/sqlite" // registers the driver "sqlite"
)

//go:embed schema.sql
var schema string

var errClosed = errors.New("cloudwatch: file is closed")

// file is the SQLite file: one connection that writes, a few that read.
type file struct {
	writers *sql.DB // has one connection, conn
	conn    *sql.Conn
	readers *sql.DB

	// turn holds one token; who has it owns conn and the fields below.
	turn       chan struct{}
	statements map[string]*sql.Stmt
	closed     bool
}

func openFile(ctx context.Context, path string) (_ *file, err error) {
	f := &file{turn: make(chan struct{}, 1), statements: map[string]*sql.Stmt{}}
	f.turn <- struct{}{}
	defer func() {
		if err != nil {
			_ = f.close()
		}
	}()
	// A commit is handed to the operating system and not waited for on the disk:
	// it survives the process, not a power cut, in which the last moments go.
	f.writers, err = sql.Open("sqlite", source(path, "auto_vacuum(INCREMENTAL)", "journal_mode(WAL)", "synchronous(NORMAL)",
		"cache_size(-16000)", "journal_size_limit(67108864)"))
	if err != nil {
		return nil, err
	}
	f.writers.SetMaxOpenConns(1)
	if f.conn, err = f.writers.Conn(ctx); err != nil {
		return nil, err
	}
	var version int
	if err = f.conn.QueryRowContext(ctx, "PRAGMA user_version").Scan(&version); err != nil {
		return nil, err
	}
	switch version {
	case 0:
		if _, err = f.conn.ExecContext(ctx, "BEGIN IMMEDIATE;\n"+schema+"\nPRAGMA user_version = 1; COMMIT"); err != nil {
			return nil, fmt.Errorf("make tables: %w", err)
		}
	case 1:
	default:
		return nil, fmt.Errorf("file has layout %d, made by a later version of this program", version)
	}
	if f.readers, err = sql.Open("sqlite", source(path, "query_only(1)", "cache_size(-8000)")); err != nil {
		return nil, err
	}
	f.readers.SetMaxOpenConns(4)
	f.readers.SetMaxIdleConns(4)
	return f, nil
}

// source names a file for the driver; the busy timeout is in milliseconds.
func source(path string, pragmas ...string) string {
	q := url.Values{"_dqs": {"0"}, "_pragma": append([]string{"busy_timeout(10000)", "temp_store(MEMORY)"}, pragmas...)}
	return (&url.URL{Scheme: "file", Path: path, RawQuery: q.Encode()}).String()
}

func (f *file) close() error {
	<-f.turn
	defer func() { f.turn <- struct{}{} }()
	if f.closed {
		return nil
	}
	f.closed = true
	var errs []error
	for _, s := range f.statements {
		errs = append(errs, s.Close())
	}
	if f.readers != nil {
		errs = append(errs, f.readers.Close())
	}
	if f.conn != nil {
		errs = append(errs, f.conn.Close())
	}
	if f.writers != nil {
		errs = append(errs, f.writers.Close())
	}
	return errors.Join(errs...)
}

// querier is a transaction that reads.
type querier interface {
	QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error)
	QueryRowContext(ctx context.Context, query string, args ...any) *sql.Row
}

// read runs fn over one state of the file.
func (f *file) read(ctx context.Context, fn func(querier) error) error {
	tx, err := f.readers.BeginTx(ctx, nil)
	if err != nil {
		return fmt.Errorf("begin to read: %w", err)
	}
	defer func() { _ = tx.Rollback() }()
	return fn(tx)
}

// writer is the transaction that writes. Its statements run to their end: a
// context cuts only the wait for the turn.
type writer struct{ f *file }

// write runs fn in one transaction, committed when fn answers nil.
func (f *file) write(ctx context.Context, fn func(writer) error) error {
	select {
	case <-f.turn:
	case <-ctx.Done():
		return ctx.Err()
	}
	defer func() { f.turn <- struct{}{} }()
	if f.closed {
		return errClosed
	}
	w := writer{f}
	if _, err := w.exec("BEGIN IMMEDIATE"); err != nil {
		return fmt.Errorf("begin to write: %w", err)
	}
	undo := sync.OnceFunc(func() { _, _ = w.exec("ROLLBACK") })
	done := false
	defer func() {
		if !done { // fn panics
			undo()
		}
	}()
	if err := fn(w); err != nil {
		return err
	}
	if _, err := w.exec("COMMIT"); err != nil {
		return fmt.Errorf("commit: %w", err)
	}
	done = true
	return nil
}

func (w writer) prepare(text string) (*sql.Stmt, error) {
	if s := w.f.statements[text]; s != nil {
		return s, nil
	}
	s, err := w.f.conn.PrepareContext(context.Background(), text)
	if err == nil {
		w.f.statements[text] = s
	}
	return s, err
}

func (w writer) exec(text string, args ...any) (sql.Result, error) {
	s, err := w.prepare(text)
	if err != nil {
		return nil, err
	}
	return s.Exec(args...)
}

func (w writer) query(text string, args ...any) (*sql.Rows, error) {
	s, err := w.prepare(text)
	if err != nil {
		return nil, err
	}
	return s.Query(args...)
}

// QueryRowContext makes the writer a querier for look-ups that both sides need.
func (w writer) QueryRowContext(_ context.Context, text string, args ...any) *sql.Row {
	s, err := w.prepare(text)
	if err != nil { // let the connection say it again
		return w.f.conn.QueryRowContext(context.Background(), text, args...)
	}
	return s.QueryRow(args...)
}

// QueryContext is query.
func (w writer) QueryContext(_ context.Context, text string, args ...any) (*sql.Rows, error) {
	return w.query(text, args...)
}
