// SPDX-License-Identifier: Apache-2.0

// Package sqlfile keeps tables in a SQLite file of their own, for what grows
// without bound and does not belong among the records: log events, metric
// data. One connection writes, a few read.
package sqlfile

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net/url"
	"os"
	"sync"

	_ "modernc.org/sqlite" // registers the driver "sqlite"
)

// ErrClosed is a write to a file that was closed.
var ErrClosed = errors.New("sqlfile: file is closed")

// File is an open file. It is safe for concurrent use.
type File struct {
	writers *sql.DB // has one connection, conn
	conn    *sql.Conn
	readers *sql.DB

	// turn holds one token; who has it owns conn and the fields below.
	turn       chan struct{}
	statements map[string]*sql.Stmt
	closed     bool
}

// Open opens the file, or makes it with the tables of schema. A file that a later
// version of this program has made is refused.
func Open(ctx context.Context, path, schema string) (_ *File, err error) {
	f := &File{turn: make(chan struct{}, 1), statements: map[string]*sql.Stmt{}}
	f.turn <- struct{}{}
	defer func() {
		if err != nil {
			_ = f.Close()
		}
	}()
	// The file, and with it SQLite's side files, is for its owner only.
	made, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, err
	}
	if err := made.Close(); err != nil {
		return nil, err
	}
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

// Close lets a write under way finish. A second call does nothing.
func (f *File) Close() error {
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

// Querier is a transaction that reads.
type Querier interface {
	QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error)
	QueryRowContext(ctx context.Context, query string, args ...any) *sql.Row
}

// Read runs fn over one state of the file.
func (f *File) Read(ctx context.Context, fn func(Querier) error) error {
	tx, err := f.readers.BeginTx(ctx, nil)
	if err != nil {
		return fmt.Errorf("begin to read: %w", err)
	}
	defer func() { _ = tx.Rollback() }()
	return fn(tx)
}

// Writer is the transaction that writes. Its statements run to their end: a
// context cuts only the wait for the turn.
type Writer struct{ f *File }

// Write runs fn in one transaction, committed when fn answers nil.
func (f *File) Write(ctx context.Context, fn func(Writer) error) error {
	select {
	case <-f.turn:
	case <-ctx.Done():
		return ctx.Err()
	}
	defer func() { f.turn <- struct{}{} }()
	if f.closed {
		return ErrClosed
	}
	w := Writer{f}
	if _, err := w.Exec("BEGIN IMMEDIATE"); err != nil {
		return fmt.Errorf("begin to write: %w", err)
	}
	undo := sync.OnceFunc(func() { _, _ = w.Exec("ROLLBACK") })
	done := false
	defer func() {
		if !done { // fn panics
			undo()
		}
	}()
	if err := fn(w); err != nil {
		return err
	}
	if _, err := w.Exec("COMMIT"); err != nil {
		return fmt.Errorf("commit: %w", err)
	}
	done = true
	return nil
}

func (w Writer) prepare(text string) (*sql.Stmt, error) {
	if s := w.f.statements[text]; s != nil {
		return s, nil
	}
	s, err := w.f.conn.PrepareContext(context.Background(), text)
	if err == nil {
		w.f.statements[text] = s
	}
	return s, err
}

// Exec runs a statement.
func (w Writer) Exec(text string, args ...any) (sql.Result, error) {
	s, err := w.prepare(text)
	if err != nil {
		return nil, err
	}
	return s.Exec(args...)
}

// Query reads rows, the transaction's own writes included.
func (w Writer) Query(text string, args ...any) (*sql.Rows, error) {
	s, err := w.prepare(text)
	if err != nil {
		return nil, err
	}
	return s.Query(args...)
}

// QueryRowContext makes the Writer a Querier for look-ups that both sides need.
func (w Writer) QueryRowContext(_ context.Context, text string, args ...any) *sql.Row {
	s, err := w.prepare(text)
	if err != nil { // let the connection say it again
		return w.f.conn.QueryRowContext(context.Background(), text, args...)
	}
	return s.QueryRow(args...)
}

// QueryContext is Query.
func (w Writer) QueryContext(_ context.Context, text string, args ...any) (*sql.Rows, error) {
	return w.Query(text, args...)
}
