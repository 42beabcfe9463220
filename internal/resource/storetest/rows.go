// SPDX-License-Identifier: Apache-2.0

package storetest

import (
	"bytes"
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/sagebrush-ml/sagebrush/internal/resource"
)

func rowComesBack(t *testing.T, db resource.DB) {
	full, bare := sample("full"), resource.Row{Key: resource.Key{Name: "bare"}, Created: start, Modified: start}
	full.Settled = true
	full.Version = 77 // a new row begins at 1 whatever the caller says
	insert(t, db, full, bare)
	full.Version, bare.Version = 1, 1
	wantRow(t, get(t, db, full.Key), full)
	wantRow(t, get(t, db, bare.Key), bare)
	byARN, err := db.ByARN(t.Context(), full.ARN)
	must(t, err)
	wantRow(t, byARN, full)
	page, err := db.List(t.Context(), list())
	must(t, err)
	if len(page.Rows) != 1 {
		t.Fatalf("%d rows listed, want 1", len(page.Rows))
	}
	wantRow(t, page.Rows[0], full)

	empty := sample("empty documents")
	empty.Doc, empty.Private = []byte{}, []byte{}
	insert(t, db, empty)
	if got := get(t, db, empty.Key); len(got.Doc) != 0 || len(got.Private) != 0 {
		t.Fatalf("empty documents came back as %q and %q", got.Doc, got.Private)
	}
}

func timesAreCut(t *testing.T, db resource.DB) {
	for name, at := range map[string]time.Time{
		"with nanoseconds": time.Date(2026, 1, 2, 3, 4, 5, 123_999_999, time.FixedZone("", 7200)),
		"before 1970":      time.Date(1969, 12, 31, 23, 59, 59, 1_500_000, time.UTC),
		"zero":             {},
	} {
		row := sample(name)
		row.Created, row.Modified = at, at.Add(time.Microsecond)
		insert(t, db, row)
		got := get(t, db, row.Key)
		if want := at.Truncate(time.Millisecond).UTC(); !got.Created.Equal(want) || got.Created.Location() != time.UTC {
			t.Errorf("%s: created came back as %v, want %v", name, got.Created, want)
		}
		if want := at.Add(time.Microsecond).Truncate(time.Millisecond); !got.Modified.Equal(want) {
			t.Errorf("%s: modified came back as %v, want %v", name, got.Modified, want)
		}
		if got.Created.IsZero() != at.IsZero() {
			t.Errorf("%s: the zero time is told apart wrongly", name)
		}
	}
}

func keysAreExact(t *testing.T, db resource.DB) {
	base := sample("job")
	variants := []func(*resource.Row){
		func(*resource.Row) {},
		func(r *resource.Row) { r.Name = "Job" },
		func(r *resource.Row) { r.Name = "job/1" },
		func(r *resource.Row) { r.Name = "" },
		func(r *resource.Row) { r.Account = "444455556666" },
		func(r *resource.Row) { r.Region = "us-east-1" },
		func(r *resource.Row) { r.Family = "model" },
	}
	for i, change := range variants {
		row := base
		change(&row)
		row.ARN, row.Status = "", string(rune('a'+i))
		insert(t, db, row)
	}
	for i, change := range variants {
		row := base
		change(&row)
		if got := get(t, db, row.Key).Status; got != string(rune('a'+i)) {
			t.Errorf("key %+v answers row %q, want %c", row.Key, got, 'a'+i)
		}
	}
	again := base
	again.ARN = "arn:aws:other"
	err := db.Write(t.Context(), func(tx resource.Tx) error { return tx.Insert(t.Context(), again) })
	wantError(t, err, resource.ErrExists)
}

// odd are names that a careless store cuts short, folds or reorders.
var odd = []string{
	"", "\x00", "a", "a\x00", "a\x00b", "A", "a b", "a%", "a_", "a'", `a"`, "a\\", "a\n", "a/b", "a;--", "é", "É", "日本", "\xff\xfe", "z",
}

func oddNames(t *testing.T, db resource.DB) {
	var rows []resource.Row
	for _, name := range odd {
		row := sample(name)
		row.ARN, row.Status = "", name // "a" and "A" would share an ARN
		rows = append(rows, row)
	}
	insert(t, db, rows...)
	for _, row := range rows {
		got := get(t, db, row.Key)
		row.Version = 1
		wantRow(t, got, row)
	}
	want := slices.Sorted(slices.Values(odd))
	for _, sort := range []string{resource.SortName, resource.SortStatus, resource.SortCreated} {
		f := list()
		f.Sort, f.Limit = sort, 1 // every name becomes a token
		got, err := pages(t.Context(), db, f)
		must(t, err)
		wantNames(t, namesOf(got), want...)
	}
	for contains, want := range map[string][]string{
		"\x00": {"\x00", "a\x00", "a\x00b"},
		"%":    {"a%"},
		"_":    {"a_"},
		"A":    slices.DeleteFunc(slices.Clone(want), func(s string) bool { return !bytes.ContainsAny([]byte(s), "aA") }),
		"É":    {"É"},
		"本":    {"日本"},
	} {
		f := list()
		f.NameContains, f.Sort = contains, resource.SortName
		wantNames(t, names(t, db, f), want...)
	}
}

func arnIgnoresCase(t *testing.T, db resource.DB) {
	row, none1, none2 := sample("Job-1"), sample("none1"), sample("none2")
	none1.ARN, none2.ARN = "", ""
	insert(t, db, row, none1, none2) // any number of rows may have no ARN
	for _, arn := range []string{row.ARN, "ARN:AWS:SAGEMAKER:EU-WEST-1:111122223333:TRAINING-JOB/JOB-1"} {
		got, err := db.ByARN(t.Context(), arn)
		must(t, err)
		if got.Name != row.Name || got.ARN != row.ARN {
			t.Errorf("%q answers %q with ARN %q", arn, got.Name, got.ARN)
		}
	}
	_, err := db.ByARN(t.Context(), "")
	wantError(t, err, resource.ErrNotFound)
	twin := sample("job-1")
	err = db.Write(t.Context(), func(tx resource.Tx) error { return tx.Insert(t.Context(), twin) })
	wantError(t, err, resource.ErrExists)
}

func notFound(t *testing.T, db resource.DB) {
	row := sample("gone")
	_, err := db.Get(t.Context(), row.Key)
	wantError(t, err, resource.ErrNotFound)
	_, err = db.ByARN(t.Context(), row.ARN)
	wantError(t, err, resource.ErrNotFound)
	for _, do := range []func(resource.Tx) error{
		func(tx resource.Tx) error { return tx.Update(t.Context(), row) },
		func(tx resource.Tx) error { return tx.Delete(t.Context(), row.Key) },
		func(tx resource.Tx) error { _, err := tx.Get(t.Context(), row.Key); return err },
	} {
		wantError(t, db.Write(t.Context(), do), resource.ErrNotFound)
	}
	if tags, err := db.Tags(t.Context(), row.ARN); err != nil || len(tags) != 0 {
		t.Fatalf("tags of an unknown ARN are %v, %v", tags, err)
	}
}

func updateNeedsVersion(t *testing.T, db resource.DB) {
	row := sample("job")
	insert(t, db, row)
	update := func(row resource.Row) error {
		return db.Write(t.Context(), func(tx resource.Tx) error { return tx.Update(t.Context(), row) })
	}
	row.Version, row.Status, row.Settled, row.Doc = 1, "Completed", true, []byte(`{"n":2}`)
	row.Modified = start.Add(time.Hour)
	must(t, update(row))
	wantError(t, update(row), resource.ErrStale)
	row.Version = 3
	wantError(t, update(row), resource.ErrStale)
	row.Version = 2
	wantRow(t, get(t, db, row.Key), row)
	row.Doc, row.Private = nil, nil
	must(t, update(row))
	row.Version = 3
	wantRow(t, get(t, db, row.Key), row)

	must(t, db.Write(t.Context(), func(tx resource.Tx) error { // twice in one transaction
		for range 2 {
			if err := tx.Update(t.Context(), row); err != nil {
				return err
			}
			row.Version++
		}
		return nil
	}))
	if got := get(t, db, row.Key).Version; got != 5 {
		t.Fatalf("version is %d after four updates, want 5", got)
	}
}

func updateMoves(t *testing.T, db resource.DB) {
	row, other := sample("job"), sample("other")
	insert(t, db, row, other)
	was := row.ARN
	set := func(tx resource.Tx) error {
		return tx.SetTags(t.Context(), was, []resource.Tag{{Key: "k", Value: "v"}}, nil)
	}
	must(t, db.Write(t.Context(), set))
	row.Version, row.ARN, row.Owner, row.Created = 1, "arn:aws:sagemaker:eu-west-1:111122223333:training-job/new", "", start.Add(time.Hour)
	update := func(tx resource.Tx) error { return tx.Update(t.Context(), row) }
	must(t, db.Write(t.Context(), update))
	row.Version = 2
	wantRow(t, get(t, db, row.Key), row)
	_, err := db.ByARN(t.Context(), was)
	wantError(t, err, resource.ErrNotFound)
	got, err := db.ByARN(t.Context(), row.ARN)
	must(t, err)
	wantRow(t, got, row)
	if tags, _ := db.Tags(t.Context(), row.ARN); len(tags) != 1 {
		t.Errorf("tags under the new ARN are %v", tags)
	}
	if tags, _ := db.Tags(t.Context(), was); len(tags) != 0 {
		t.Errorf("tags under the old ARN are %v", tags)
	}
	f := list()
	f.Owner = other.Owner
	wantNames(t, names(t, db, f), "other")
	f.Owner, f.Sort = "", resource.SortCreated
	wantNames(t, names(t, db, f), "other", "job")

	moved := row.ARN
	row.ARN = other.ARN
	wantError(t, db.Write(t.Context(), update), resource.ErrExists)
	row.ARN = ""
	must(t, db.Write(t.Context(), update))
	_, err = db.ByARN(t.Context(), moved)
	wantError(t, err, resource.ErrNotFound)
	if tags, _ := db.Tags(t.Context(), moved); len(tags) != 0 {
		t.Errorf("tags of an ARN that is no more are %v", tags)
	}
}

func documentsAreCopied(t *testing.T, db resource.DB) {
	row := sample("job")
	want := bytes.Clone(row.Doc)
	insert(t, db, row)
	clear(row.Doc)
	got := get(t, db, row.Key)
	clear(got.Doc)
	page, err := db.List(t.Context(), list())
	must(t, err)
	clear(page.Rows[0].Doc)
	if got := get(t, db, row.Key).Doc; !bytes.Equal(got, want) {
		t.Fatalf("document is %q, want %q", got, want)
	}
}

func tags(t *testing.T, db resource.DB) {
	row := sample("Job")
	insert(t, db, row)
	set := func(add []resource.Tag, remove ...string) {
		t.Helper()
		must(t, db.Write(t.Context(), func(tx resource.Tx) error { return tx.SetTags(t.Context(), row.ARN, add, remove) }))
	}
	want := func(want ...resource.Tag) {
		t.Helper()
		for _, arn := range []string{row.ARN, resource.FoldARN(row.ARN)} {
			if got, err := db.Tags(t.Context(), arn); err != nil || !slices.Equal(got, want) {
				t.Fatalf("tags are %v, %v, want %v", got, err, want)
			}
		}
	}
	set([]resource.Tag{{Key: "b", Value: "2"}, {Key: "a", Value: "1"}, {Key: "B", Value: ""}, {Key: "n\x00ul", Value: "\x00"}})
	want(resource.Tag{Key: "B"}, resource.Tag{Key: "a", Value: "1"}, resource.Tag{Key: "b", Value: "2"}, resource.Tag{Key: "n\x00ul", Value: "\x00"})
	set([]resource.Tag{{Key: "a", Value: "3"}, {Key: "b", Value: "4"}}, "b", "B", "n\x00ul", "never there")
	want(resource.Tag{Key: "a", Value: "3"}, resource.Tag{Key: "b", Value: "4"})

	undone := errors.New("undone")
	err := db.Write(t.Context(), func(tx resource.Tx) error {
		if err := tx.SetTags(t.Context(), row.ARN, []resource.Tag{{Key: "c"}}, []string{"a"}); err != nil {
			return err
		}
		if got, err := tx.Tags(t.Context(), row.ARN); err != nil || len(got) != 2 || got[1].Key != "c" {
			t.Errorf("tags inside the transaction are %v, %v", got, err)
		}
		return undone
	})
	wantError(t, err, undone)
	want(resource.Tag{Key: "a", Value: "3"}, resource.Tag{Key: "b", Value: "4"})

	must(t, db.Write(t.Context(), func(tx resource.Tx) error { return tx.Delete(t.Context(), row.Key) }))
	want()
	insert(t, db, row)
	want()
}

func unsettled(t *testing.T, db resource.DB) {
	var want []resource.Key
	for _, account := range []string{"222222222222", "111111111111"} {
		for _, region := range []string{"us-east-1", "eu-west-1"} {
			for _, name := range []string{"b", "a", "settled"} {
				row := sample(name)
				row.Account, row.Region, row.ARN, row.Settled = account, region, "", name == "settled"
				insert(t, db, row)
				row.Family = "model"
				insert(t, db, row)
				if row.Family = "training-job"; !row.Settled {
					want = append(want, row.Key)
				}
			}
		}
	}
	slices.Reverse(want) // they were made in the opposite order
	got, err := db.Unsettled(t.Context(), "training-job")
	must(t, err)
	if !slices.Equal(got, want) {
		t.Fatalf("unsettled are %v, want %v", got, want)
	}
	row := get(t, db, want[0])
	row.Settled = true
	must(t, db.Write(t.Context(), func(tx resource.Tx) error { return tx.Update(t.Context(), row) }))
	got, err = db.Unsettled(t.Context(), "training-job")
	must(t, err)
	if !slices.Equal(got, want[1:]) {
		t.Fatalf("after one has settled %v are unsettled, want %v", got, want[1:])
	}
	if got, err := db.Unsettled(t.Context(), "endpoint"); err != nil || len(got) != 0 {
		t.Fatalf("unsettled of an empty family are %v, %v", got, err)
	}
}

func counts(t *testing.T, db resource.DB) {
	for i, status := range []string{"Failed", "InProgress", "Failed", ""} {
		row := sample(string(rune('a' + i)))
		row.Account, row.Status = []string{"111111111111", "222222222222"}[i%2], status
		insert(t, db, row)
	}
	got, err := db.Count(t.Context(), "training-job")
	must(t, err)
	if len(got) != 3 || got["Failed"] != 2 || got["InProgress"] != 1 || got[""] != 1 {
		t.Fatalf("counts are %v", got)
	}
	if got, err := db.Count(t.Context(), "model"); err != nil || len(got) != 0 {
		t.Fatalf("counts of an empty family are %v, %v", got, err)
	}
}
