// SPDX-License-Identifier: Apache-2.0

package sqlstore

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"sync/atomic"

	"github.com/sagebrush-ml/sagebrush/internal/resource"
)

// batch is the transactions that share one commit. Each of them is a savepoint
// inside the one transaction SQLite knows of.
type batch struct {
	members int
	changed []resource.Row
	err     error         // of the commit; set before done is closed
	done    chan struct{} // closed when the commit has succeeded or failed
}

// Write implements resource.DB.
//
// The writers stand in one queue. Each runs its own fn when its turn comes and
// then stands in the queue once more to commit. So whoever is first to come
// around commits for all that stood between, and a writer that is alone commits
// at once. No one waits for company, and no goroutine is needed to lead.
func (s *Store) Write(ctx context.Context, fn func(resource.Tx) error) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	select {
	case <-s.turn:
	case <-ctx.Done():
		return ctx.Err()
	}
	b, err := s.join(ctx, fn)
	if err != nil {
		return err
	}
	// From here on the context no longer counts: the change will be committed,
	// and the caller must learn whether it was.
	select {
	case <-b.done:
		return b.err
	case <-s.turn:
		defer s.release()
		if s.begun == b {
			s.commit()
		}
		return b.err
	}
}

// join runs fn as a member of the batch that is begun, or begins one. It is
// called with the turn and gives it back.
func (s *Store) join(ctx context.Context, fn func(resource.Tx) error) (_ *batch, err error) {
	defer s.release()
	if s.closed {
		return nil, errClosed
	}
	if s.begun == nil {
		if err := s.exec("BEGIN IMMEDIATE"); err != nil {
			return nil, fmt.Errorf("begin transaction: %w", err)
		}
		s.begun = &batch{done: make(chan struct{})}
	}
	b := s.begun
	if err := s.exec("SAVEPOINT member"); err != nil {
		s.abandon(fmt.Errorf("begin transaction: %w", err))
		return nil, fmt.Errorf("begin transaction: %w", err)
	}
	t := &tx{reader: s.changing, s: s}
	t.reader.ended = new(atomic.Bool)
	kept := false
	defer func() { // also when fn panics
		t.ended.Store(true)
		if !kept {
			s.undo()
		}
	}()
	if err := fn(t); err != nil {
		return nil, err
	}
	if err := s.exec("RELEASE member"); err != nil {
		return nil, fmt.Errorf("end transaction: %w", err)
	}
	kept = true
	b.members++
	b.changed = append(b.changed, t.changed...)
	return b, nil
}

// undo takes back what the member that has the turn has done, and only that.
func (s *Store) undo() {
	if s.begun.members == 0 {
		s.abandon(nil)
		return
	}
	// SQLite undoes a whole transaction by itself when, say, the disk is full.
	// Then there is no savepoint to return to, and the others' work is gone too.
	err := s.exec("ROLLBACK TO member")
	if err == nil {
		err = s.exec("RELEASE member")
	}
	if err != nil {
		s.abandon(fmt.Errorf("transaction was lost with another one that failed: %w", err))
	}
}

// abandon undoes the batch; err is what its members are told.
func (s *Store) abandon(err error) {
	b := s.begun
	s.begun = nil
	b.err = err
	_ = s.exec("ROLLBACK") // there may be none left
	close(b.done)
}

// commit commits the batch that is begun, if there is one, and tells the
// watchers. It is called with the turn.
func (s *Store) commit() {
	b := s.begun
	if b == nil {
		return
	}
	if err := s.exec("COMMIT"); err != nil {
		s.abandon(fmt.Errorf("commit: %w", err))
		return
	}
	s.begun = nil
	defer close(b.done)
	for _, row := range b.changed {
		for _, watch := range s.watchers {
			watch(row)
		}
	}
}

// exec runs one statement on the writing connection, to its end.
func (s *Store) exec(text string, args ...any) error {
	_, err := s.affect(text, args...)
	return err
}

// affect is exec that tells how many rows were changed.
func (s *Store) affect(text string, args ...any) (int64, error) {
	stmt, release, err := s.changing.statements.get(context.Background(), text)
	if err != nil {
		return 0, err
	}
	defer release()
	result, err := stmt.Exec(args...)
	if err != nil {
		return 0, err
	}
	return result.RowsAffected()
}

var errEnded = errors.New("sqlstore: transaction has ended")

// tx is the resource.Tx of one member of a batch.
type tx struct {
	reader
	s       *Store
	changed []resource.Row
}

// Insert implements resource.Tx.
func (t *tx) Insert(ctx context.Context, row resource.Row) error {
	const text = "INSERT INTO record (family, account, region, name, arn, owner, status, settled, created, modified, version, document, private)" +
		" VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, 1, ?, ?) ON CONFLICT DO NOTHING"
	if err := t.ready(ctx); err != nil {
		return err
	}
	n, err := t.s.affect(text, row.Family, row.Account, row.Region, row.Name, null(row.ARN), null(row.Owner),
		row.Status, row.Settled, row.Created.UnixMilli(), row.Modified.UnixMilli(), row.Doc, row.Private)
	if err == nil && n == 0 {
		err = resource.ErrExists
	}
	if err != nil {
		return fmt.Errorf("insert %s %q: %w", row.Family, row.Name, err)
	}
	row.Version = 1
	t.change(row)
	return nil
}

// Update implements resource.Tx.
func (t *tx) Update(ctx context.Context, row resource.Row) error {
	if err := t.ready(ctx); err != nil {
		return err
	}
	if err := t.update(ctx, row); err != nil {
		return fmt.Errorf("update %s %q: %w", row.Family, row.Name, err)
	}
	row.Version++
	t.change(row)
	return nil
}

func (t *tx) update(ctx context.Context, row resource.Row) error {
	// Most updates leave these three alone, and a column that is not assigned
	// spares its indexes.
	const usual = "UPDATE record SET status = ?, settled = ?, modified = ?, version = version + 1, document = ?, private = ?" +
		whereKey + " AND version = ? AND arn IS ? AND owner IS ? AND created = ?"
	n, err := t.s.affect(usual, row.Status, row.Settled, row.Modified.UnixMilli(), row.Doc, row.Private,
		row.Family, row.Account, row.Region, row.Name, row.Version, null(row.ARN), null(row.Owner), row.Created.UnixMilli())
	if err != nil || n == 1 {
		return err
	}
	old, err := t.Get(ctx, row.Key)
	if err != nil {
		return err
	}
	if old.Version != row.Version {
		return resource.ErrStale
	}
	if was, is := resource.FoldARN(old.ARN), resource.FoldARN(row.ARN); was != is {
		if err := t.move(ctx, was, is); err != nil {
			return err
		}
	}
	const whole = "UPDATE record SET status = ?, settled = ?, modified = ?, version = version + 1, document = ?, private = ?," +
		" arn = ?, owner = ?, created = ?" + whereKey
	return t.s.exec(whole, row.Status, row.Settled, row.Modified.UnixMilli(), row.Doc, row.Private,
		null(row.ARN), null(row.Owner), row.Created.UnixMilli(), row.Family, row.Account, row.Region, row.Name)
}

// move checks that the folded ARN is, which may be "", is free, and gives it
// the tags of the folded ARN was.
func (t *tx) move(ctx context.Context, was, is string) error {
	if is != "" {
		switch _, err := t.ByARN(ctx, is); {
		case err == nil:
			return fmt.Errorf("ARN %q: %w", is, resource.ErrExists)
		case !errors.Is(err, resource.ErrNotFound):
			return err
		}
	}
	if was == "" {
		return nil
	}
	if is == "" {
		return t.s.exec("DELETE FROM tag WHERE arn = ?", was)
	}
	if err := t.s.exec("DELETE FROM tag WHERE arn = ?", is); err != nil {
		return err
	}
	return t.s.exec("UPDATE tag SET arn = ? WHERE arn = ?", is, was)
}

// Delete implements resource.Tx.
func (t *tx) Delete(ctx context.Context, key resource.Key) error {
	if err := t.ready(ctx); err != nil {
		return err
	}
	row, err := t.row(ctx, "DELETE FROM record"+whereKey+" RETURNING "+columns, key.Family, key.Account, key.Region, key.Name)
	if err == nil && row.ARN != "" {
		err = t.s.exec("DELETE FROM tag WHERE arn = ?", resource.FoldARN(row.ARN))
	}
	if err != nil {
		return fmt.Errorf("delete %s %q: %w", key.Family, key.Name, known(err))
	}
	row.Version = 0
	t.change(row)
	return nil
}

// SetTags implements resource.Tx.
func (t *tx) SetTags(ctx context.Context, arn string, add []resource.Tag, remove []string) error {
	if err := t.ready(ctx); err != nil {
		return err
	}
	folded := resource.FoldARN(arn)
	for _, key := range remove {
		if err := t.s.exec("DELETE FROM tag WHERE arn = ? AND key = ?", folded, key); err != nil {
			return fmt.Errorf("remove tag of %q: %w", arn, err)
		}
	}
	for _, tag := range add {
		if err := t.s.exec("INSERT OR REPLACE INTO tag (arn, key, value) VALUES (?, ?, ?)", folded, tag.Key, tag.Value); err != nil {
			return fmt.Errorf("set tag of %q: %w", arn, err)
		}
	}
	return nil
}

// change remembers a change for the watchers, as it is stored.
func (t *tx) change(row resource.Row) {
	if len(t.s.watchers) == 0 {
		return
	}
	row.Created, row.Modified = resource.Millis(row.Created), resource.Millis(row.Modified)
	row.Doc, row.Private = bytes.Clone(row.Doc), bytes.Clone(row.Private)
	t.changed = append(t.changed, row)
}

// null is s, or NULL for "".
func null(s string) any {
	if s == "" {
		return nil
	}
	return s
}
