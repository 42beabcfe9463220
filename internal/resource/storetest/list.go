// SPDX-License-Identifier: Apache-2.0

package storetest

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/sagebrush-ml/sagebrush/internal/resource"
)

// sorts are all orders of a list.
var sorts = []string{resource.SortName, resource.SortCreated, resource.SortStatus, resource.SortModified}

func filters(t *testing.T, db resource.DB) {
	for i, name := range []string{"alpha", "Beta", "gamma"} {
		row := sample(name)
		row.Created, row.Modified = start.Add(time.Duration(i)*time.Second), start.Add(-time.Duration(i)*time.Second)
		row.Status = []string{"Completed", "Failed", "InProgress"}[i]
		if i == 1 {
			row.Owner = ""
		}
		insert(t, db, row)
		row.Account, row.ARN = "999999999999", "" // never to be seen
		insert(t, db, row)
	}
	second := func(n int) time.Time { return start.Add(time.Duration(n) * time.Second) }
	for _, c := range []struct {
		name string
		set  func(*resource.Filter)
		want string
	}{
		{"nothing set gives creation order", func(f *resource.Filter) {}, "alpha Beta gamma"},
		{"descending", func(f *resource.Filter) { f.Desc = true }, "gamma Beta alpha"},
		{"by name, capitals first", func(f *resource.Filter) { f.Sort = resource.SortName }, "Beta alpha gamma"},
		{"by change", func(f *resource.Filter) { f.Sort = resource.SortModified }, "gamma Beta alpha"},
		{"by status", func(f *resource.Filter) { f.Sort, f.Desc = resource.SortStatus, true }, "gamma Beta alpha"},
		{"part of a name in another case", func(f *resource.Filter) { f.NameContains = "ET" }, "Beta"},
		{"one status", func(f *resource.Filter) { f.Status = []string{"Failed"} }, "Beta"},
		{"one status by name", func(f *resource.Filter) { f.Status, f.Sort = []string{"Failed"}, resource.SortName }, "Beta"},
		{"two statuses", func(f *resource.Filter) { f.Status = []string{"Failed", "InProgress"} }, "Beta gamma"},
		{"a status no row has", func(f *resource.Filter) { f.Status = []string{"failed"} }, ""},
		{"an owner", func(f *resource.Filter) { f.Owner = sample("").Owner }, "alpha gamma"},
		{"an owner by change", func(f *resource.Filter) { f.Owner, f.Sort = sample("").Owner, resource.SortModified }, "gamma alpha"},
		{"created after, exclusive", func(f *resource.Filter) { f.CreatedAfter = second(0) }, "Beta gamma"},
		{"created before, exclusive", func(f *resource.Filter) { f.CreatedBefore = second(2) }, "alpha Beta"},
		{"created between, by name", func(f *resource.Filter) {
			f.CreatedAfter, f.CreatedBefore, f.Sort = second(-1), second(2), resource.SortName
		}, "Beta alpha"},
		{"modified after", func(f *resource.Filter) { f.ModifiedAfter = second(-1) }, "alpha"},
		{"modified before", func(f *resource.Filter) { f.ModifiedBefore = second(0) }, "Beta gamma"},
		{"a predicate", func(f *resource.Filter) { f.Match = func(r resource.Row) bool { return r.Owner == "" } }, "Beta"},
		{"another account", func(f *resource.Filter) { f.Account = "000000000000" }, ""},
		{"another Region", func(f *resource.Filter) { f.Region = "eu-central-1" }, ""},
		{"another family", func(f *resource.Filter) { f.Family = "model" }, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			f := list()
			c.set(&f)
			wantNames(t, names(t, db, f), strings.Fields(c.want)...)
		})
	}
}

func boundsAreExact(t *testing.T, db resource.DB) {
	row := sample("job")
	row.Created = start.Add(5 * time.Millisecond)
	insert(t, db, row)
	for _, c := range []struct {
		offset        time.Duration
		after, before bool // whether the row is listed
	}{
		{5*time.Millisecond - 1, true, false},
		{5 * time.Millisecond, false, false},
		{5*time.Millisecond + 1, false, true},
	} {
		f := list()
		f.CreatedAfter = start.Add(c.offset)
		if got := len(names(t, db, f)) == 1; got != c.after {
			t.Errorf("after %v: listed is %v", c.offset, got)
		}
		f = list()
		f.CreatedBefore = start.Add(c.offset)
		if got := len(names(t, db, f)) == 1; got != c.before {
			t.Errorf("before %v: listed is %v", c.offset, got)
		}
	}
}

func matchFillsPages(t *testing.T, db resource.DB) {
	var rows []resource.Row
	var want []string
	for i := range 500 {
		row := sample(fmt.Sprintf("%03d", i))
		if i%7 == 0 {
			row.Doc = []byte(`{"wanted":true}`)
			want = append(want, row.Name)
		}
		rows = append(rows, row)
	}
	insert(t, db, rows...)
	f := list()
	f.Limit, f.Sort = 10, resource.SortName
	f.Match = func(row resource.Row) bool { return strings.Contains(string(row.Doc), "wanted") }
	got, err := pages(t.Context(), db, f)
	must(t, err)
	wantNames(t, namesOf(got), want...)
}

func lastPage(t *testing.T, db resource.DB) {
	insert(t, db, sample("a"), sample("b"), sample("c"), sample("d"))
	for _, match := range []func(resource.Row) bool{nil, func(resource.Row) bool { return true }} {
		for limit, more := range map[int]bool{0: false, 1: true, 3: true, 4: false, 5: false} {
			f := list()
			f.Limit, f.Match = limit, match
			page, err := db.List(t.Context(), f)
			must(t, err)
			if (page.Next != "") != more {
				t.Errorf("limit %d: next is %q", limit, page.Next)
			}
		}
	}
}

func tokenIsStable(t *testing.T, db resource.DB) {
	insert(t, db, sample("b"), sample("d"), sample("f"), sample("h"))
	f := list()
	f.Limit, f.Sort = 2, resource.SortName
	first, err := db.List(t.Context(), f)
	must(t, err)
	wantNames(t, namesOf(first.Rows), "b", "d")
	insert(t, db, sample("a"), sample("c"), sample("e"))
	must(t, db.Write(t.Context(), func(tx resource.Tx) error { return tx.Delete(t.Context(), sample("d").Key) }))
	f.After = first.Next // its row is gone, its place is not
	wantNames(t, names(t, db, f), "e", "f")
	f.Limit = 1 // the page size may change
	wantNames(t, names(t, db, f), "e")
}

func badTokens(t *testing.T, db resource.DB) {
	insert(t, db, sample("a"), sample("b"))
	f := list()
	f.Limit = 1
	page, err := db.List(t.Context(), f)
	must(t, err)
	token := page.Next
	flipped := []byte(token)
	flipped[len(flipped)/2] ^= 1
	for _, c := range []struct {
		name string
		set  func(*resource.Filter)
	}{
		{"another order", func(f *resource.Filter) { f.Sort = resource.SortName }},
		{"another direction", func(f *resource.Filter) { f.Desc = true }},
		{"another account", func(f *resource.Filter) { f.Account = "1" }},
		{"another family", func(f *resource.Filter) { f.Family = "model" }},
		{"no base64", func(f *resource.Filter) { f.After = "?!" }},
		{"too short", func(f *resource.Filter) { f.After = "AQ" }},
		{"cut", func(f *resource.Filter) { f.After = token[:len(token)-2] }},
		{"one bit changed", func(f *resource.Filter) { f.After = string(flipped) }},
		{"something after it", func(f *resource.Filter) { f.After = token + "AAAA" }},
	} {
		t.Run(c.name, func(t *testing.T) {
			f := list()
			f.After = token
			c.set(&f)
			_, err := db.List(t.Context(), f)
			wantError(t, err, resource.ErrBadToken)
		})
	}
	f.After = token
	wantNames(t, names(t, db, f), "b")
	f.Sort = resource.SortCreated // the default, spelled out
	wantNames(t, names(t, db, f), "b")
}

func unknownSort(t *testing.T, db resource.DB) {
	f := list()
	f.Sort = "Size"
	if _, err := db.List(t.Context(), f); err == nil {
		t.Fatal("an unknown order is taken")
	}
}

func pagesEqualReference(t *testing.T, db resource.DB) {
	const n = 10_000
	random := rand.New(rand.NewPCG(1, 2))
	rows := make([]resource.Row, n)
	for i := range rows {
		row := sample(fmt.Sprintf("%x-%d", random.Uint32N(64), i))
		// Few different values, so that most of the order is the names'.
		row.Created = start.Add(time.Duration(random.IntN(500)) * time.Millisecond)
		row.Modified = start.Add(-time.Duration(random.IntN(20)) * time.Hour)
		row.Status = []string{"Completed", "Failed", "InProgress", "Stopped"}[random.IntN(4)]
		row.Version = 1
		rows[i] = row
	}
	insert(t, db, rows...)
	for _, sort := range sorts {
		for _, desc := range []bool{false, true} {
			f := list()
			f.Sort, f.Desc, f.Limit = sort, desc, 50+random.IntN(900)
			if random.IntN(2) == 0 {
				f.Status = []string{"Failed", "Stopped"}[:1+random.IntN(2)]
			}
			if random.IntN(2) == 0 {
				f.CreatedAfter = start.Add(time.Duration(random.IntN(250)) * time.Millisecond)
			}
			t.Run(fmt.Sprintf("%s desc %v limit %d status %v", sort, desc, f.Limit, f.Status), func(t *testing.T) {
				got, err := pages(t.Context(), db, f)
				must(t, err)
				want := reference(rows, f)
				if len(want) == 0 || !slices.Equal(namesOf(got), namesOf(want)) {
					t.Fatalf("%d rows listed, want %d, or their order differs", len(got), len(want))
				}
				wantRow(t, got[len(got)-1], want[len(want)-1])
			})
		}
	}
}

// reference is the list of f worked out anew, sharing nothing with the stores.
func reference(rows []resource.Row, f resource.Filter) []resource.Row {
	var want []resource.Row
	for _, row := range rows {
		if row.Created.After(f.CreatedAfter) && (f.Status == nil || slices.Contains(f.Status, row.Status)) {
			want = append(want, row)
		}
	}
	by := func(r resource.Row) string {
		switch f.Sort {
		case resource.SortCreated:
			return fmt.Sprintf("%020d/%s", r.Created.UnixMilli(), r.Name)
		case resource.SortModified:
			return fmt.Sprintf("%020d/%s", r.Modified.UnixMilli(), r.Name)
		case resource.SortStatus:
			return r.Status + "\x00" + r.Name
		}
		return r.Name
	}
	slices.SortFunc(want, func(a, b resource.Row) int {
		if f.Desc {
			a, b = b, a
		}
		return strings.Compare(by(a), by(b))
	})
	return want
}
