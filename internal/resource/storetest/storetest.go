// SPDX-License-Identifier: Apache-2.0

// Package storetest is the suite that every resource.DB passes.
package storetest

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"testing"
	"time"

	"github.com/sagebrush-ml/sagebrush/internal/resource"
)

// Run checks a store. open answers an empty store that is closed when its test
// ends; it is called once for each test.
func Run(t *testing.T, open func(t *testing.T) resource.DB) {
	for _, c := range []struct {
		name  string
		check func(t *testing.T, db resource.DB)
	}{
		{"a row comes back as it was stored", rowComesBack},
		{"times are kept to the millisecond in UTC", timesAreCut},
		{"keys are told apart byte for byte", keysAreExact},
		{"odd names are kept and listed in byte order", oddNames},
		{"an ARN is found whatever its case and is used once", arnIgnoresCase},
		{"what is not stored is not found", notFound},
		{"an update needs the version that is stored", updateNeedsVersion},
		{"an update may change ARN, owner and creation time", updateMoves},
		{"an error undoes the whole transaction", errorUndoes},
		{"a panic undoes the whole transaction and goes on", panicUndoes},
		{"a failed statement leaves the transaction usable", failedStatement},
		{"a transaction sees its own changes and others do not", isolation},
		{"a transaction that has ended refuses to work", endedTransaction},
		{"a cancelled context stores nothing", cancelled},
		{"documents are not shared with the caller", documentsAreCopied},
		{"of eight writers none loses an update", writersDoNotLose},
		{"watchers see every change in commit order", watchOrder},
		{"watchers see nothing of what was undone", watchSkipsUndone},
		{"tags are ordered, replaced, removed and go with their row", tags},
		{"unsettled rows are listed over all accounts", unsettled},
		{"rows are counted by status", counts},
		{"a filter chooses by each of its fields", filters},
		{"a bound between two milliseconds is exact", boundsAreExact},
		{"a residual filter fills its pages", matchFillsPages},
		{"a page that ends the list has no token", lastPage},
		{"a token keeps its place when rows come and go", tokenIsStable},
		{"a token of another list is refused", badTokens},
		{"an unknown order is refused", unknownSort},
		{"pages of 10,000 rows equal the sorted rows", pagesEqualReference},
		{"a closed store fails", closedStore},
	} {
		t.Run(c.name, func(t *testing.T) { c.check(t, open(t)) })
	}
}

// start is when the rows of the tests were made.
var start = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

// sample is a row that has every column set.
func sample(name string) resource.Row {
	return resource.Row{
		Key:     resource.Key{Account: "111122223333", Region: "eu-west-1", Family: "training-job", Name: name},
		ARN:     "arn:aws:sagemaker:eu-west-1:111122223333:training-job/" + name,
		Owner:   "arn:aws:sagemaker:eu-west-1:111122223333:hyper-parameter-tuning-job/t",
		Status:  "InProgress",
		Created: start, Modified: start.Add(time.Second),
		Doc: []byte(`{"TrainingJobName":"` + name + `"}`), Private: []byte(`{"attempt":1}`),
	}
}

// list is the filter that chooses all rows made by sample.
func list() resource.Filter {
	return resource.Filter{Account: "111122223333", Region: "eu-west-1", Family: "training-job"}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func wantError(t *testing.T, err, want error) {
	t.Helper()
	if !errors.Is(err, want) {
		t.Fatalf("error is %v, want %v", err, want)
	}
}

func insert(t *testing.T, db resource.DB, rows ...resource.Row) {
	t.Helper()
	must(t, db.Write(t.Context(), func(tx resource.Tx) error {
		for _, row := range rows {
			if err := tx.Insert(t.Context(), row); err != nil {
				return err
			}
		}
		return nil
	}))
}

func get(t *testing.T, db resource.Reader, key resource.Key) resource.Row {
	t.Helper()
	row, err := db.Get(t.Context(), key)
	must(t, err)
	return row
}

// wantRow compares a row that was read with one that was written.
func wantRow(t *testing.T, got, want resource.Row) {
	t.Helper()
	if !reflect.DeepEqual(got, want) {
		t.Fatalf("row is\n%+v, want\n%+v", got, want)
	}
}

// names lists one page.
func names(t *testing.T, db resource.Reader, f resource.Filter) []string {
	t.Helper()
	page, err := db.List(t.Context(), f)
	must(t, err)
	return namesOf(page.Rows)
}

func namesOf(rows []resource.Row) []string {
	names := []string{}
	for _, row := range rows {
		names = append(names, row.Name)
	}
	return names
}

func wantNames(t *testing.T, got []string, want ...string) {
	t.Helper()
	if !slices.Equal(got, want) {
		t.Fatalf("names are %q, want %q", got, want)
	}
}

// pages walks a list to its end and answers all rows.
func pages(ctx context.Context, db resource.Reader, f resource.Filter) ([]resource.Row, error) {
	var rows []resource.Row
	for {
		page, err := db.List(ctx, f)
		if err != nil {
			return nil, err
		}
		rows = append(rows, page.Rows...)
		if page.Next == "" {
			return rows, nil
		}
		if len(page.Rows) != f.Limit {
			return nil, fmt.Errorf("a page with a next one has %d rows, want %d", len(page.Rows), f.Limit)
		}
		f.After = page.Next
	}
}
