// SPDX-License-Identifier: Apache-2.0

package storetest

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/sagebrush-ml/sagebrush/internal/resource"
)

var errUndo = errors.New("undo this")

// change does one of everything.
func change(ctx context.Context, tx resource.Tx, kept, deleted, fresh resource.Row) error {
	kept.Version, kept.Status = 1, "Changed"
	return errors.Join(
		tx.Insert(ctx, fresh),
		tx.Update(ctx, kept),
		tx.Delete(ctx, deleted.Key),
		tx.SetTags(ctx, kept.ARN, []resource.Tag{{Key: "new"}}, nil),
	)
}

// wantUnchanged checks that nothing of change is left and that the store still
// takes writes.
func wantUnchanged(t *testing.T, db resource.DB, kept, deleted, fresh resource.Row) {
	t.Helper()
	kept.Version, deleted.Version = 1, 1
	wantRow(t, get(t, db, kept.Key), kept)
	wantRow(t, get(t, db, deleted.Key), deleted)
	_, err := db.Get(t.Context(), fresh.Key)
	wantError(t, err, resource.ErrNotFound)
	_, err = db.ByARN(t.Context(), fresh.ARN)
	wantError(t, err, resource.ErrNotFound)
	if got, err := db.Tags(t.Context(), kept.ARN); err != nil || len(got) != 0 {
		t.Fatalf("tags are %v, %v", got, err)
	}
	must(t, db.Write(t.Context(), func(tx resource.Tx) error { return change(t.Context(), tx, kept, deleted, fresh) }))
	if got := get(t, db, kept.Key).Status; got != "Changed" {
		t.Fatalf("a later transaction left status %q", got)
	}
}

func errorUndoes(t *testing.T, db resource.DB) {
	kept, deleted, fresh := sample("kept"), sample("deleted"), sample("fresh")
	insert(t, db, kept, deleted)
	err := db.Write(t.Context(), func(tx resource.Tx) error {
		must(t, change(t.Context(), tx, kept, deleted, fresh))
		return errUndo
	})
	if err != errUndo {
		t.Fatalf("error is %v, want the very one fn answered", err)
	}
	wantUnchanged(t, db, kept, deleted, fresh)
}

func panicUndoes(t *testing.T, db resource.DB) {
	kept, deleted, fresh := sample("kept"), sample("deleted"), sample("fresh")
	insert(t, db, kept, deleted)
	func() {
		defer func() {
			if got := recover(); got != errUndo {
				t.Fatalf("panic is %v, want the one of fn", got)
			}
		}()
		_ = db.Write(t.Context(), func(tx resource.Tx) error {
			must(t, change(t.Context(), tx, kept, deleted, fresh))
			panic(errUndo)
		})
	}()
	wantUnchanged(t, db, kept, deleted, fresh)
}

func failedStatement(t *testing.T, db resource.DB) {
	old, fresh := sample("old"), sample("fresh")
	insert(t, db, old)
	must(t, db.Write(t.Context(), func(tx resource.Tx) error {
		wantError(t, tx.Insert(t.Context(), old), resource.ErrExists)
		must(t, tx.Insert(t.Context(), fresh))
		wantError(t, tx.Update(t.Context(), old), resource.ErrStale) // its version is 0
		return nil
	}))
	get(t, db, fresh.Key)
}

func isolation(t *testing.T, db resource.DB) {
	kept, deleted, fresh := sample("kept"), sample("deleted"), sample("fresh")
	insert(t, db, kept, deleted)
	inside, looked, done := make(chan struct{}), make(chan struct{}), make(chan error)
	go func() {
		done <- db.Write(t.Context(), func(tx resource.Tx) error {
			if err := change(t.Context(), tx, kept, deleted, fresh); err != nil {
				return err
			}
			close(inside)
			<-looked
			return seesChange(t.Context(), tx, kept, deleted, fresh)
		})
	}()
	<-inside
	before := kept
	before.Version = 1
	wantRow(t, get(t, db, kept.Key), before)
	wantNames(t, names(t, db, list()), "deleted", "kept")
	close(looked)
	must(t, <-done)
	must(t, seesChange(t.Context(), db, kept, deleted, fresh))
}

// seesChange checks that a reader sees all of change.
func seesChange(ctx context.Context, r resource.Reader, kept, deleted, fresh resource.Row) error {
	row, err := r.Get(ctx, kept.Key)
	if err != nil || row.Status != "Changed" || row.Version != 2 {
		return fmt.Errorf("updated row is %+v, %w", row, err)
	}
	if row, err = r.ByARN(ctx, fresh.ARN); err != nil || row.Version != 1 {
		return fmt.Errorf("new row is %+v, %w", row, err)
	}
	if _, err := r.ByARN(ctx, deleted.ARN); !errors.Is(err, resource.ErrNotFound) {
		return fmt.Errorf("deleted row answers %w", err)
	}
	page, err := r.List(ctx, list())
	if err != nil || len(page.Rows) != 2 || page.Rows[0].Name != "fresh" || page.Rows[1].Name != "kept" {
		return fmt.Errorf("list is %+v, %w", page, err)
	}
	if counts, err := r.Count(ctx, kept.Family); err != nil || counts["Changed"] != 1 || counts["InProgress"] != 1 {
		return fmt.Errorf("counts are %v, %w", counts, err)
	}
	if keys, err := r.Unsettled(ctx, kept.Family); err != nil || len(keys) != 2 {
		return fmt.Errorf("unsettled are %v, %w", keys, err)
	}
	if tags, err := r.Tags(ctx, kept.ARN); err != nil || len(tags) != 1 {
		return fmt.Errorf("tags are %v, %w", tags, err)
	}
	return nil
}

func endedTransaction(t *testing.T, db resource.DB) {
	row := sample("job")
	var kept resource.Tx
	must(t, db.Write(t.Context(), func(tx resource.Tx) error {
		kept = tx
		return tx.Insert(t.Context(), row)
	}))
	_, getErr := kept.Get(t.Context(), row.Key)
	for _, err := range []error{
		getErr,
		kept.Insert(t.Context(), sample("late")),
		kept.Delete(t.Context(), row.Key),
		kept.SetTags(t.Context(), row.ARN, []resource.Tag{{Key: "late"}}, nil),
	} {
		if err == nil {
			t.Error("an ended transaction still works")
		}
	}
	wantNames(t, names(t, db, list()), "job")
}

func cancelled(t *testing.T, db resource.DB) {
	ctx, cancel := context.WithCancel(t.Context())
	err := db.Write(ctx, func(tx resource.Tx) error {
		must(t, tx.Insert(ctx, sample("job")))
		cancel()
		return tx.Insert(ctx, sample("late"))
	})
	wantError(t, err, context.Canceled)
	err = db.Write(ctx, func(resource.Tx) error {
		t.Error("fn was run under a cancelled context")
		return nil
	})
	wantError(t, err, context.Canceled)
	_, err = db.List(ctx, list())
	wantError(t, err, context.Canceled)
	_, err = db.Get(ctx, sample("job").Key)
	wantError(t, err, context.Canceled)
	wantNames(t, names(t, db, list()))
}

func writersDoNotLose(t *testing.T, db resource.DB) {
	const writers, rounds = 8, 50
	row := sample("counter")
	row.Doc = []byte("0")
	insert(t, db, row)
	var group sync.WaitGroup
	for writer := range writers {
		group.Go(func() {
			for round := range rounds {
				for { // the row is read outside the transaction, so another may come first
					seen, err := db.Get(t.Context(), row.Key)
					if err != nil {
						t.Error(err)
						return
					}
					n, _ := strconv.Atoi(string(seen.Doc))
					seen.Doc = strconv.AppendInt(nil, int64(n+1), 10)
					own := sample(fmt.Sprintf("%d-%d", writer, round))
					err = db.Write(t.Context(), func(tx resource.Tx) error {
						return errors.Join(tx.Insert(t.Context(), own), tx.Update(t.Context(), seen))
					})
					if err == nil {
						break
					}
					if !errors.Is(err, resource.ErrStale) {
						t.Error(err)
						return
					}
				}
			}
		})
	}
	group.Wait()
	got := get(t, db, row.Key)
	if string(got.Doc) != strconv.Itoa(writers*rounds) || got.Version != writers*rounds+1 {
		t.Fatalf("counter is %s at version %d, want %d at %d", got.Doc, got.Version, writers*rounds, writers*rounds+1)
	}
	f := list()
	f.Limit = 2 * writers * rounds
	if got := len(names(t, db, f)); got != writers*rounds+1 {
		t.Fatalf("%d rows are stored, want %d: a refused transaction left its row or an accepted one lost it", got, writers*rounds+1)
	}
}

func watchOrder(t *testing.T, db resource.DB) {
	const writers, rounds = 4, 50
	seen := map[string][]int64{}
	var told [writers]atomic.Int64 // the last version of each writer's row
	var stored int
	db.Watch(func(row resource.Row) {
		if writer, err := strconv.Atoi(row.Name); err == nil {
			told[writer].Store(row.Version)
		}
		seen[row.Name] = append(seen[row.Name], row.Version) // watchers are never called at once
		// A change can be read as soon as it is told.
		if got, err := db.Get(t.Context(), row.Key); row.Version == 1 && (err != nil || got.Version < 1) {
			t.Errorf("a row told of answers %+v, %v", got, err)
		}
	})
	db.Watch(func(row resource.Row) { stored += len(row.Doc) })
	var group sync.WaitGroup
	for writer := range writers {
		group.Go(func() {
			row := sample(strconv.Itoa(writer))
			row.Version = 1
			for round := range rounds {
				err := db.Write(t.Context(), func(tx resource.Tx) error {
					if round == 0 {
						return tx.Insert(t.Context(), row)
					}
					err := tx.Update(t.Context(), row)
					row.Version++
					return err
				})
				if err != nil {
					t.Error(err)
				}
				if got := told[writer].Load(); got != int64(round+1) {
					t.Errorf("writer %d: Write returned when version %d was told, want %d", writer, got, round+1)
				}
			}
		})
	}
	group.Wait()
	must(t, db.Write(t.Context(), func(tx resource.Tx) error { return tx.Delete(t.Context(), sample("0").Key) }))
	for writer := range writers {
		versions := seen[strconv.Itoa(writer)]
		if writer == 0 {
			last := len(versions) - 1
			if versions[last] != 0 {
				t.Fatalf("a deleted row is told with version %d, want 0", versions[last])
			}
			versions = versions[:last]
		}
		if len(versions) != rounds {
			t.Fatalf("writer %d: %d changes are told, want %d", writer, len(versions), rounds)
		}
		for i, version := range versions {
			if version != int64(i+1) {
				t.Fatalf("writer %d: change %d is version %d", writer, i, version)
			}
		}
	}
	if want := (writers*rounds + 1) * len(sample("0").Doc); stored != want {
		t.Fatalf("documents told of have %d bytes, want %d", stored, want)
	}
}

func watchSkipsUndone(t *testing.T, db resource.DB) {
	var told []string
	db.Watch(func(row resource.Row) { told = append(told, row.Name) })
	err := db.Write(t.Context(), func(tx resource.Tx) error {
		must(t, tx.Insert(t.Context(), sample("undone")))
		return errUndo
	})
	wantError(t, err, errUndo)
	err = db.Write(t.Context(), func(tx resource.Tx) error {
		must(t, tx.Insert(t.Context(), sample("a")))
		must(t, tx.Insert(t.Context(), sample("b")))
		if len(told) != 0 {
			t.Error("a change was told before its commit")
		}
		return nil
	})
	must(t, err)
	wantNames(t, told, "a", "b")
}

func closedStore(t *testing.T, db resource.DB) {
	insert(t, db, sample("job"))
	must(t, db.Close())
	if err := db.Write(t.Context(), func(resource.Tx) error { return nil }); err == nil {
		t.Error("a closed store takes a write")
	}
	if _, err := db.Get(t.Context(), sample("job").Key); err == nil || errors.Is(err, resource.ErrNotFound) {
		t.Errorf("a closed store answers %v", err)
	}
	must(t, db.Close())
}
