// SPDX-License-Identifier: Apache-2.0

// Package memstore keeps records in memory. It behaves as sqlstore does and
// forgets everything at Close: it is the store of unit tests. It starts no
// goroutine and reads no clock, so it works inside a synctest bubble.
package memstore

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"

	"github.com/sagebrush-ml/sagebrush/internal/resource"
)

var _ resource.DB = (*Store)(nil)

var errClosed = errors.New("memstore: store is closed")

// Store is a resource.DB in memory. Use New to make one.
type Store struct {
	// turn is held by the one transaction that runs.
	turn     sync.Mutex
	watchers []func(resource.Row)

	// mu guards the fields below. A transaction takes it to write only while
	// it commits, so readers see all of a transaction or nothing.
	mu     sync.RWMutex
	rows   map[resource.Key]resource.Row
	arns   map[string]resource.Key      // by folded ARN
	tags   map[string]map[string]string // folded ARN, tag key, tag value
	closed bool
}

// New makes an empty store.
func New() *Store {
	return &Store{
		rows: map[resource.Key]resource.Row{},
		arns: map[string]resource.Key{},
		tags: map[string]map[string]string{},
	}
}

// Watch implements resource.DB.
func (s *Store) Watch(fn func(resource.Row)) {
	s.turn.Lock()
	defer s.turn.Unlock()
	s.watchers = append(s.watchers, fn)
}

// Close implements resource.DB.
func (s *Store) Close() error {
	s.turn.Lock()
	defer s.turn.Unlock()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closed = true
	return nil
}

// Write implements resource.DB.
func (s *Store) Write(ctx context.Context, fn func(resource.Tx) error) error {
	s.turn.Lock()
	defer s.turn.Unlock()
	if err := s.ready(ctx); err != nil {
		return err
	}
	tx := &tx{
		reader: reader{s: s, rows: map[resource.Key]*resource.Row{}, tags: map[string]map[string]string{}},
	}
	err := fn(tx)
	tx.done = true
	if err != nil {
		return err
	}
	s.commit(tx)
	for _, row := range tx.changed {
		for _, watch := range s.watchers {
			watch(row)
		}
	}
	return nil
}

func (s *Store) ready(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	s.mu.RLock()
	defer s.mu.RUnlock()
	if s.closed {
		return errClosed
	}
	return nil
}

func (s *Store) commit(tx *tx) {
	s.mu.Lock()
	defer s.mu.Unlock()
	// All old ARNs go before the new ones come, in case two rows swap theirs.
	for key := range tx.rows {
		if old, ok := s.rows[key]; ok {
			delete(s.arns, resource.FoldARN(old.ARN))
		}
	}
	for key, row := range tx.rows {
		if row == nil {
			delete(s.rows, key)
			continue
		}
		s.rows[key] = *row
		if row.ARN != "" {
			s.arns[resource.FoldARN(row.ARN)] = key
		}
	}
	for arn, tags := range tx.tags {
		if len(tags) == 0 {
			delete(s.tags, arn)
			continue
		}
		s.tags[arn] = tags
	}
}

// Get implements resource.Reader.
func (s *Store) Get(ctx context.Context, key resource.Key) (resource.Row, error) {
	return reader{s: s}.Get(ctx, key)
}

// ByARN implements resource.Reader.
func (s *Store) ByARN(ctx context.Context, arn string) (resource.Row, error) {
	return reader{s: s}.ByARN(ctx, arn)
}

// List implements resource.Reader.
func (s *Store) List(ctx context.Context, f resource.Filter) (resource.Page, error) {
	return reader{s: s}.List(ctx, f)
}

// Unsettled implements resource.Reader.
func (s *Store) Unsettled(ctx context.Context, family string) ([]resource.Key, error) {
	return reader{s: s}.Unsettled(ctx, family)
}

// Count implements resource.Reader.
func (s *Store) Count(ctx context.Context, family string) (map[string]int, error) {
	return reader{s: s}.Count(ctx, family)
}

// Tags implements resource.Reader.
func (s *Store) Tags(ctx context.Context, arn string) ([]resource.Tag, error) {
	return reader{s: s}.Tags(ctx, arn)
}

// reader reads the store with a transaction's changes laid over it; outside a
// transaction there are none.
type reader struct {
	s *Store
	// rows are the changed rows; nil stands for a deleted one.
	rows map[resource.Key]*resource.Row
	// tags are the whole new tags of each ARN that was touched.
	tags map[string]map[string]string
	// done says that the transaction has ended.
	done bool
}

func (r reader) ready(ctx context.Context) error {
	if r.done {
		return errors.New("memstore: transaction has ended")
	}
	return r.s.ready(ctx)
}

func (r reader) row(key resource.Key) (resource.Row, bool) {
	if row, ok := r.rows[key]; ok {
		if row == nil {
			return resource.Row{}, false
		}
		return *row, true
	}
	r.s.mu.RLock()
	defer r.s.mu.RUnlock()
	row, ok := r.s.rows[key]
	return row, ok
}

func (r reader) byARN(arn string) (resource.Row, bool) {
	arn = resource.FoldARN(arn)
	if arn == "" {
		return resource.Row{}, false
	}
	for _, row := range r.rows {
		if row != nil && resource.FoldARN(row.ARN) == arn {
			return *row, true
		}
	}
	r.s.mu.RLock()
	defer r.s.mu.RUnlock()
	key, ok := r.s.arns[arn]
	if _, over := r.rows[key]; !ok || over {
		return resource.Row{}, false
	}
	return r.s.rows[key], true
}

// choose answers the rows that match. Documents are not copied.
func (r reader) choose(match func(resource.Row) bool) []resource.Row {
	var rows []resource.Row
	for _, row := range r.rows {
		if row != nil && match(*row) {
			rows = append(rows, *row)
		}
	}
	r.s.mu.RLock()
	defer r.s.mu.RUnlock()
	for key, row := range r.s.rows {
		if _, over := r.rows[key]; !over && match(row) {
			rows = append(rows, row)
		}
	}
	return rows
}

// Get implements resource.Reader.
func (r reader) Get(ctx context.Context, key resource.Key) (resource.Row, error) {
	if err := r.ready(ctx); err != nil {
		return resource.Row{}, err
	}
	row, ok := r.row(key)
	if !ok {
		return resource.Row{}, fmt.Errorf("get %s %q: %w", key.Family, key.Name, resource.ErrNotFound)
	}
	return clone(row), nil
}

// ByARN implements resource.Reader.
func (r reader) ByARN(ctx context.Context, arn string) (resource.Row, error) {
	if err := r.ready(ctx); err != nil {
		return resource.Row{}, err
	}
	row, ok := r.byARN(arn)
	if !ok {
		return resource.Row{}, fmt.Errorf("get %q: %w", arn, resource.ErrNotFound)
	}
	return clone(row), nil
}

// List implements resource.Reader. It sorts all matching rows for each page.
func (r reader) List(ctx context.Context, f resource.Filter) (resource.Page, error) {
	if err := r.ready(ctx); err != nil {
		return resource.Page{}, err
	}
	f, err := f.Defaults()
	if err != nil {
		return resource.Page{}, err
	}
	last, more, err := f.Last()
	if err != nil {
		return resource.Page{}, err
	}
	rows := r.choose(func(row resource.Row) bool {
		return (!more || f.Compare(row, last) > 0) && f.Accepts(row)
	})
	slices.SortFunc(rows, f.Compare)
	var page resource.Page
	if len(rows) > f.Limit {
		rows = rows[:f.Limit]
		page.Next = f.Token(rows[f.Limit-1])
	}
	for _, row := range rows {
		page.Rows = append(page.Rows, clone(row))
	}
	return page, nil
}

// Unsettled implements resource.Reader.
func (r reader) Unsettled(ctx context.Context, family string) ([]resource.Key, error) {
	if err := r.ready(ctx); err != nil {
		return nil, err
	}
	var keys []resource.Key
	for _, row := range r.choose(func(row resource.Row) bool { return row.Family == family && !row.Settled }) {
		keys = append(keys, row.Key)
	}
	slices.SortFunc(keys, func(a, b resource.Key) int {
		return cmp.Or(strings.Compare(a.Account, b.Account), strings.Compare(a.Region, b.Region), strings.Compare(a.Name, b.Name))
	})
	return keys, nil
}

// Count implements resource.Reader.
func (r reader) Count(ctx context.Context, family string) (map[string]int, error) {
	if err := r.ready(ctx); err != nil {
		return nil, err
	}
	counts := map[string]int{}
	for _, row := range r.choose(func(row resource.Row) bool { return row.Family == family }) {
		counts[row.Status]++
	}
	return counts, nil
}

// Tags implements resource.Reader.
func (r reader) Tags(ctx context.Context, arn string) ([]resource.Tag, error) {
	if err := r.ready(ctx); err != nil {
		return nil, err
	}
	var tags []resource.Tag
	for key, value := range r.tagsOf(arn) {
		tags = append(tags, resource.Tag{Key: key, Value: value})
	}
	slices.SortFunc(tags, func(a, b resource.Tag) int { return strings.Compare(a.Key, b.Key) })
	return tags, nil
}

// tagsOf answers a copy of the tags of an ARN, by key.
func (r reader) tagsOf(arn string) map[string]string {
	arn = resource.FoldARN(arn)
	if tags, ok := r.tags[arn]; ok {
		return maps.Clone(tags)
	}
	r.s.mu.RLock()
	defer r.s.mu.RUnlock()
	return maps.Clone(r.s.tags[arn])
}

// clone is a row that shares no memory with the one given, with times cut as
// the store keeps them and no difference between an empty document and none.
func clone(row resource.Row) resource.Row {
	row.Created, row.Modified = resource.Millis(row.Created), resource.Millis(row.Modified)
	row.Doc, row.Private = document(row.Doc), document(row.Private)
	return row
}

func document(b []byte) []byte {
	if len(b) == 0 {
		return nil
	}
	return bytes.Clone(b)
}
