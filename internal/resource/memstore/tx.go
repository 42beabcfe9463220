// SPDX-License-Identifier: Apache-2.0

package memstore

import (
	"context"
	"fmt"

	"github.com/sagebrush-ml/sagebrush/internal/resource"
)

// tx collects changes until they are committed.
type tx struct {
	reader
	// changed is every change in order, for the watchers.
	changed []resource.Row
}

// Insert implements resource.Tx.
func (t *tx) Insert(ctx context.Context, row resource.Row) error {
	if err := t.ready(ctx); err != nil {
		return err
	}
	_, key := t.row(row.Key)
	_, arn := t.byARN(row.ARN)
	if key || arn {
		return fmt.Errorf("insert %s %q: %w", row.Family, row.Name, resource.ErrExists)
	}
	row.Version = 1
	t.put(row)
	return nil
}

// Update implements resource.Tx.
func (t *tx) Update(ctx context.Context, row resource.Row) error {
	if err := t.ready(ctx); err != nil {
		return err
	}
	old, ok := t.row(row.Key)
	if !ok {
		return fmt.Errorf("update %s %q: %w", row.Family, row.Name, resource.ErrNotFound)
	}
	if old.Version != row.Version {
		return fmt.Errorf("update %s %q: %w", row.Family, row.Name, resource.ErrStale)
	}
	if was, is := resource.FoldARN(old.ARN), resource.FoldARN(row.ARN); was != is {
		if _, taken := t.byARN(is); taken {
			return fmt.Errorf("update %s %q: ARN %q: %w", row.Family, row.Name, row.ARN, resource.ErrExists)
		}
		t.moveTags(was, is)
	}
	row.Version++
	t.put(row)
	return nil
}

// moveTags gives the tags of one folded ARN to another, which may be "".
func (t *tx) moveTags(was, is string) {
	moved := t.tagsOf(was)
	t.tags[was] = nil
	if was == "" || is == "" {
		return
	}
	t.tags[is] = moved
}

// Delete implements resource.Tx.
func (t *tx) Delete(ctx context.Context, key resource.Key) error {
	if err := t.ready(ctx); err != nil {
		return err
	}
	old, ok := t.row(key)
	if !ok {
		return fmt.Errorf("delete %s %q: %w", key.Family, key.Name, resource.ErrNotFound)
	}
	t.rows[key] = nil
	if old.ARN != "" {
		t.tags[resource.FoldARN(old.ARN)] = nil
	}
	old.Version = 0
	t.changed = append(t.changed, clone(old))
	return nil
}

// SetTags implements resource.Tx.
func (t *tx) SetTags(ctx context.Context, arn string, add []resource.Tag, remove []string) error {
	if err := t.ready(ctx); err != nil {
		return err
	}
	tags := t.tagsOf(arn)
	if tags == nil {
		tags = map[string]string{}
	}
	for _, key := range remove {
		delete(tags, key)
	}
	for _, tag := range add {
		tags[tag.Key] = tag.Value
	}
	t.tags[resource.FoldARN(arn)] = tags
	return nil
}

func (t *tx) put(row resource.Row) {
	stored := clone(row)
	t.rows[row.Key] = &stored
	t.changed = append(t.changed, clone(row))
}
