// SPDX-License-Identifier: Apache-2.0

// Package sqlstore keeps records in one SQLite file.
//
// SQLite has one writer and any number of readers. All writes go through one
// connection and take turns; those that wait at the same moment share one
// commit. Reads go through a few connections of their own and, thanks to the
// write-ahead log, neither wait for a write nor hold one up.
//
// # Durability
//
// A write that was acknowledged survives the end of the process, kill -9
// included, because it has been handed to the operating system. When the
// machine itself loses power or its kernel dies, the last moments of writes may
// be gone, though never in part and never out of order; with Options.PowerSafe
// they survive that as well, at the price of one disk flush per commit.
//
// The file belongs to one process at a time: watchers are told only of this
// process's own writes.
package sqlstore

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"runtime"
	"sync"

	"github.com/sagebrush-ml/sagebrush/internal/resource"

	_ "modernc.org/sqlite" // registers the driver "sqlite"
)

var _ resource.DB = (*Store)(nil)

var errClosed = errors.New("sqlstore: store is closed")

// Options are the choices of Open. The zero value is right for a laptop.
type Options struct {
	// PowerSafe makes every commit wait until the disk has it.
	PowerSafe bool
	// Readers is how many reads may run at once; zero means four, or one for
	// each processor if there are more.
	Readers int
}

// Store is a resource.DB in a SQLite file. Use Open to make one.
type Store struct {
	reader  // outside a transaction
	readers *sql.DB
	writers *sql.DB // has one connection, conn
	conn    *sql.Conn

	// turn holds one token. Who has taken it owns the writing connection and
	// the fields below.
	turn     chan struct{}
	begun    *batch
	changing reader // inside a transaction
	watchers []func(resource.Row)
	closed   bool
}

// Open opens the file at path, makes it if it is missing, readable by this user
// alone, and brings its tables up to date. It answers an error for a file that
// a newer release has written.
func Open(ctx context.Context, path string, opts Options) (_ *Store, err error) {
	defer func() {
		if err != nil {
			err = fmt.Errorf("open record store %q: %w", path, err)
		}
	}()
	if path == "" {
		return nil, errors.New("no file is named")
	}
	if path, err = filepath.Abs(path); err != nil {
		return nil, err
	}
	// SQLite would let everyone on the machine read a file that it makes, and
	// gives its log the mode of the file.
	file, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, err
	}
	if err := file.Close(); err != nil {
		return nil, err
	}
	if opts.Readers <= 0 {
		opts.Readers = max(4, runtime.NumCPU())
	}
	s := &Store{turn: make(chan struct{}, 1)}
	if err := s.connect(ctx, path, opts); err != nil {
		return nil, errors.Join(err, s.Close())
	}
	s.turn <- struct{}{}
	return s, nil
}

func (s *Store) connect(ctx context.Context, path string, opts Options) (err error) {
	// A checkpoint flushes the disk, so it comes after 16 MB of log rather than
	// after the 4 MB that SQLite would wait for.
	synchronous := "synchronous(NORMAL)"
	if opts.PowerSafe {
		synchronous = "synchronous(FULL)"
	}
	s.writers, err = sql.Open("sqlite", source(path, "journal_mode(WAL)", synchronous,
		"cache_size(-32000)", "wal_autocheckpoint(4000)", "journal_size_limit(67108864)"))
	if err != nil {
		return err
	}
	s.writers.SetMaxOpenConns(1)
	if s.conn, err = s.writers.Conn(ctx); err != nil {
		return err
	}
	if err := migrate(ctx, s.conn); err != nil {
		return err
	}
	s.readers, err = sql.Open("sqlite", source(path, "query_only(1)", "cache_size(-8000)"))
	if err != nil {
		return err
	}
	s.readers.SetMaxOpenConns(opts.Readers)
	s.readers.SetMaxIdleConns(opts.Readers)
	s.reader = reader{statements: newStatements(s.readers), interruptible: true}
	s.changing = reader{statements: newStatements(s.conn)}
	return nil
}

// source names a file for the driver. The busy timeout, in milliseconds, is for
// the moment in which another process, such as a backup, holds the file.
func source(path string, pragmas ...string) string {
	query := url.Values{"_dqs": {"0"}, "_pragma": append([]string{"busy_timeout(10000)", "temp_store(MEMORY)"}, pragmas...)}
	return (&url.URL{Scheme: "file", Path: path, RawQuery: query.Encode()}).String()
}

// Watch implements resource.DB.
func (s *Store) Watch(fn func(resource.Row)) {
	<-s.turn
	defer s.release()
	s.watchers = append(s.watchers, fn)
}

// Close waits for the transaction that runs, commits what is begun and closes
// the file. It may be called again.
func (s *Store) Close() error {
	if s.changing.statements == nil { // Open failed half-way
		return s.disconnect()
	}
	<-s.turn
	defer s.release()
	if s.closed {
		return nil
	}
	s.closed = true
	s.commit()
	return s.disconnect()
}

func (s *Store) disconnect() error {
	var errs []error
	if s.statements != nil {
		errs = append(errs, s.statements.close())
	}
	if s.changing.statements != nil {
		errs = append(errs, s.changing.statements.close())
	}
	if s.readers != nil {
		errs = append(errs, s.readers.Close())
	}
	if s.conn != nil {
		errs = append(errs, s.conn.Close())
	}
	if s.writers != nil {
		errs = append(errs, s.writers.Close())
	}
	return errors.Join(errs...)
}

func (s *Store) release() { s.turn <- struct{}{} }

// preparer is a database or one connection of it.
type preparer interface {
	PrepareContext(ctx context.Context, query string) (*sql.Stmt, error)
}

// maxStatements bounds how many prepared statements are kept. The shapes of
// lists that programs really ask for are a few dozen.
const maxStatements = 256

// statements keeps statements prepared, by their text.
type statements struct {
	db preparer

	mu     sync.Mutex
	byText map[string]*sql.Stmt
}

func newStatements(db preparer) *statements {
	return &statements{db: db, byText: map[string]*sql.Stmt{}}
}

// get answers the statement and what to call when it is no longer needed.
func (s *statements) get(ctx context.Context, text string) (*sql.Stmt, func(), error) {
	s.mu.Lock()
	stmt, full := s.byText[text], len(s.byText) >= maxStatements
	s.mu.Unlock()
	if stmt != nil {
		return stmt, func() {}, nil
	}
	stmt, err := s.db.PrepareContext(ctx, text)
	if err != nil {
		return nil, nil, err
	}
	if full {
		return stmt, func() { _ = stmt.Close() }, nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if first := s.byText[text]; first != nil { // someone else was quicker
		_ = stmt.Close()
		return first, func() {}, nil
	}
	s.byText[text] = stmt
	return stmt, func() {}, nil
}

func (s *statements) close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	var errs []error
	for _, stmt := range s.byText {
		errs = append(errs, stmt.Close())
	}
	return errors.Join(errs...)
}
