// SPDX-License-Identifier: Apache-2.0

package sqlstore

import (
	"errors"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/sagebrush-ml/sagebrush/internal/resource"
)

// TestNoListSorts reads SQLite's plan of every shape of list: each must walk an
// index in order, bounded from the page before, so that a page costs the same
// in a table of any size.
func TestNoListSorts(t *testing.T) {
	s, err := Open(t.Context(), filepath.Join(t.TempDir(), "records.db"), Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	for _, sort := range []string{resource.SortName, resource.SortCreated, resource.SortStatus, resource.SortModified} {
		for name, narrow := range map[string]func(*resource.Filter){
			"all":           func(*resource.Filter) {},
			"one status":    func(f *resource.Filter) { f.Status = []string{"Failed"} },
			"two statuses":  func(f *resource.Filter) { f.Status = []string{"Failed", "Stopped"} },
			"created since": func(f *resource.Filter) { f.CreatedAfter = time.Unix(1, 0) },
			"by name part":  func(f *resource.Filter) { f.NameContains = "x" },
		} {
			for _, desc := range []bool{false, true} {
				f, err := resource.Filter{Family: "model", Sort: sort, Desc: desc}.Defaults()
				if err != nil {
					t.Fatal(err)
				}
				narrow(&f)
				f.After = f.Token(resource.Row{})
				text, args, err := selection(f)
				if err != nil {
					t.Fatal(err)
				}
				plan := plan(t, s, text, args)
				if strings.Contains(plan, "TEMP B-TREE") || strings.Contains(plan, "SCAN") {
					t.Errorf("%s by %s, desc %v: plan is %s", name, sort, desc, plan)
				}
				if name == "one status" && sort == resource.SortCreated && !strings.Contains(plan, "status=? AND (created,name)") {
					t.Errorf("one status by %s, desc %v: plan walks other statuses: %s", sort, desc, plan)
				}
				bounded := "(" + sortColumns[sort].column + ",name)"
				if sort == resource.SortName {
					bounded = "name"
				}
				if !strings.Contains(plan, bounded+">") && !strings.Contains(plan, bounded+"<") {
					// A status or a time given narrows the walk as well.
					if name == "all" || name == "by name part" {
						t.Errorf("%s by %s, desc %v: plan does not begin at the token: %s", name, sort, desc, plan)
					}
				}
			}
		}
	}
}

func plan(t *testing.T, s *Store, text string, args []any) string {
	t.Helper()
	rows, err := s.readers.QueryContext(t.Context(), "EXPLAIN QUERY PLAN "+text, args...)
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	var steps []string
	for rows.Next() {
		var id, parent, unused int
		var step string
		if err := rows.Scan(&id, &parent, &unused, &step); err != nil {
			t.Fatal(err)
		}
		steps = append(steps, step)
	}
	if err := rows.Err(); err != nil {
		t.Fatal(err)
	}
	return strings.Join(steps, "; ")
}

// TestBatch steers two writers so that they share a commit.
func TestBatch(t *testing.T) {
	row := func(name string) resource.Row { return resource.Row{Key: resource.Key{Family: "job", Name: name}} }
	var errUndo = errors.New("undo this")
	for _, c := range []struct {
		name string
		// second is what the other member does while the first waits.
		second func(s *Store, tx resource.Tx) error
		stored []string
		failed bool // the first member is told that it failed
	}{
		{"both are stored", func(_ *Store, tx resource.Tx) error { return tx.Insert(t.Context(), row("second")) }, []string{"first", "second"}, false},
		{"an error undoes its own member only", func(_ *Store, tx resource.Tx) error {
			return errors.Join(tx.Insert(t.Context(), row("second")), errUndo)
		}, []string{"first"}, false},
		{"a member sees what the one before did", func(_ *Store, tx resource.Tx) error {
			if err := tx.Insert(t.Context(), row("first")); !errors.Is(err, resource.ErrExists) {
				t.Errorf("error is %v", err)
			}
			return tx.Delete(t.Context(), row("first").Key)
		}, []string{}, false},
		{"when SQLite gives up the transaction all are told", func(s *Store, tx resource.Tx) error {
			return errors.Join(tx.Insert(t.Context(), row("second")), s.exec("ROLLBACK"), errUndo)
		}, []string{}, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			s, err := Open(t.Context(), filepath.Join(t.TempDir(), "records.db"), Options{})
			if err != nil {
				t.Fatal(err)
			}
			defer s.Close()
			var told []string
			s.Watch(func(r resource.Row) { told = append(told, r.Name) })
			<-s.turn
			first, err := s.join(t.Context(), func(tx resource.Tx) error { return tx.Insert(t.Context(), row("first")) })
			if err != nil {
				t.Fatal(err)
			}
			<-s.turn
			second, err := s.join(t.Context(), func(tx resource.Tx) error { return c.second(s, tx) })
			if err == nil && second != first {
				t.Fatal("two waiting writers do not share a commit")
			}
			if len(told) != 0 {
				t.Errorf("%q were told before the commit", told)
			}
			<-s.turn
			s.commit()
			s.release()
			<-first.done
			if (first.err != nil) != c.failed {
				t.Errorf("the first member is told %v", first.err)
			}
			keys, err := s.Unsettled(t.Context(), "job")
			if err != nil || len(keys) != len(c.stored) {
				t.Fatalf("stored are %v, %v, want %q", keys, err, c.stored)
			}
			for i, key := range keys {
				if key.Name != c.stored[i] {
					t.Errorf("stored are %v, want %q", keys, c.stored)
				}
			}
			if err := s.Write(t.Context(), func(tx resource.Tx) error { return tx.Insert(t.Context(), row("after")) }); err != nil {
				t.Errorf("a later write: %v", err)
			}
		})
	}
}
