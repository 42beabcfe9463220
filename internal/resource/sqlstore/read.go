// SPDX-License-Identifier: Apache-2.0

package sqlstore

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"time"

	"github.com/sagebrush-ml/sagebrush/internal/resource"
)

// columns are the columns of a row in the order in which scan takes them.
const columns = "account, region, family, name, ifnull(arn, ''), ifnull(owner, ''), status, settled, created, modified, version, document, private"

const whereKey = " WHERE family = ? AND account = ? AND region = ? AND name = ?"

// reader reads through statements of one connection or of a pool of them.
type reader struct {
	statements *statements
	// interruptible says that a query may be cut off by its context. Inside a
	// transaction it may not: SQLite would undo what others have done in it.
	interruptible bool
	// ended, when set, tells whether the transaction is over.
	ended *atomic.Bool
}

func (r reader) ready(ctx context.Context) error {
	if r.ended != nil && r.ended.Load() {
		return errEnded
	}
	return ctx.Err()
}

// query calls scan for each row of the answer until it answers false.
func (r reader) query(ctx context.Context, text string, args []any, scan func(*sql.Rows) (more bool, err error)) error {
	if err := r.ready(ctx); err != nil {
		return err
	}
	if !r.interruptible {
		ctx = context.WithoutCancel(ctx)
	}
	stmt, release, err := r.statements.get(ctx, text)
	if err != nil {
		return err
	}
	defer release()
	rows, err := stmt.QueryContext(ctx, args...)
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		more, err := scan(rows)
		if err != nil {
			return err
		}
		if !more {
			return nil
		}
	}
	return rows.Err()
}

// point is r for queries that touch one row or a few: they are over before an
// interrupt would help, and to be ready for one costs more than they do.
func (r reader) point() reader {
	r.interruptible = false
	return r
}

// row answers the one row of a query, or sql.ErrNoRows.
func (r reader) row(ctx context.Context, text string, args ...any) (row resource.Row, err error) {
	found := false
	err = r.point().query(ctx, text, args, func(rows *sql.Rows) (bool, error) {
		found = true
		row, err = scan(rows)
		return true, err // to the end: a DELETE that returns its row is done only then
	})
	if err == nil && !found {
		err = sql.ErrNoRows
	}
	return row, err
}

func scan(rows *sql.Rows) (row resource.Row, err error) {
	var created, modified int64
	err = rows.Scan(&row.Account, &row.Region, &row.Family, &row.Name, &row.ARN, &row.Owner,
		&row.Status, &row.Settled, &created, &modified, &row.Version, &row.Doc, &row.Private)
	row.Created, row.Modified = time.UnixMilli(created).UTC(), time.UnixMilli(modified).UTC()
	return row, err
}

// Get implements resource.Reader.
func (r reader) Get(ctx context.Context, key resource.Key) (resource.Row, error) {
	row, err := r.row(ctx, "SELECT "+columns+" FROM record"+whereKey, key.Family, key.Account, key.Region, key.Name)
	if err != nil {
		return resource.Row{}, fmt.Errorf("get %s %q: %w", key.Family, key.Name, known(err))
	}
	return row, nil
}

// ByARN implements resource.Reader.
func (r reader) ByARN(ctx context.Context, arn string) (resource.Row, error) {
	row, err := r.row(ctx, "SELECT "+columns+" FROM record WHERE lower(arn) = ?", resource.FoldARN(arn))
	if err != nil {
		return resource.Row{}, fmt.Errorf("get %q: %w", arn, known(err))
	}
	return row, nil
}

// known is err in the words of package resource.
func known(err error) error {
	if errors.Is(err, sql.ErrNoRows) {
		return resource.ErrNotFound
	}
	return err
}

// List implements resource.Reader.
func (r reader) List(ctx context.Context, f resource.Filter) (resource.Page, error) {
	f, err := f.Defaults()
	if err != nil {
		return resource.Page{}, err
	}
	text, args, err := selection(f)
	if err != nil {
		return resource.Page{}, err
	}
	var page resource.Page
	err = r.query(ctx, text, args, func(rows *sql.Rows) (bool, error) {
		row, err := scan(rows)
		if err != nil {
			return false, err
		}
		if f.Match != nil && !f.Match(row) {
			return true, nil
		}
		if len(page.Rows) == f.Limit {
			page.Next = f.Token(page.Rows[f.Limit-1])
			return false, nil
		}
		page.Rows = append(page.Rows, row)
		return true, nil
	})
	if err != nil {
		return resource.Page{}, fmt.Errorf("list %s: %w", f.Family, err)
	}
	return page, nil
}

// sortColumns name the column of each sort and the index that yields its order.
var sortColumns = map[string]struct{ column, index string }{
	resource.SortName:     {"name", "record_by_name"},
	resource.SortCreated:  {"created", "record_by_created"},
	resource.SortModified: {"modified", "record_by_modified"},
	resource.SortStatus:   {"status", "record_by_status"},
}

// selection is the statement of one page, the row after it included, since
// that one tells whether there is a next page. The index is named, not left to
// be guessed: without statistics SQLite may prefer one that makes it sort.
func selection(f resource.Filter) (text string, args []any, err error) {
	sort := sortColumns[f.Sort]
	index := sort.index
	var where strings.Builder
	and := func(condition string, values ...any) {
		where.WriteString(" AND " + condition)
		args = append(args, values...)
	}
	args = append(args, f.Family, f.Account, f.Region)
	switch len(f.Status) {
	case 0:
	case 1:
		and("status = ?", f.Status[0])
		if f.Sort == resource.SortCreated {
			index = "record_by_status_created"
		}
	default:
		and("status IN (?" + strings.Repeat(", ?", len(f.Status)-1) + ")")
		for _, status := range f.Status {
			args = append(args, status)
		}
	}
	if f.Owner != "" {
		// One owner has few rows, so they may be sorted in any order quickly.
		index = "record_by_owner"
		and("owner = ?", f.Owner)
	}
	if !f.CreatedAfter.IsZero() {
		and("created > ?", f.CreatedAfter.UnixMilli())
	}
	if !f.CreatedBefore.IsZero() {
		and("created < ?", ceilMilli(f.CreatedBefore))
	}
	if !f.ModifiedAfter.IsZero() {
		and("modified > ?", f.ModifiedAfter.UnixMilli())
	}
	if !f.ModifiedBefore.IsZero() {
		and("modified < ?", ceilMilli(f.ModifiedBefore))
	}
	if f.NameContains != "" {
		and("instr(lower(name), ?) > 0", f.NameContains)
	}
	beyond, order := " > ", " ASC"
	if f.Desc {
		beyond, order = " < ", " DESC"
	}
	last, more, err := f.Last()
	if err != nil {
		return "", nil, err
	}
	by := []string{sort.column, "name"}
	if f.Sort == resource.SortName {
		by = by[1:]
	}
	if more {
		from := map[string][]any{
			resource.SortName:     {last.Name},
			resource.SortCreated:  {last.Created.UnixMilli(), last.Name},
			resource.SortModified: {last.Modified.UnixMilli(), last.Name},
			resource.SortStatus:   {last.Status, last.Name},
		}[f.Sort]
		and("("+strings.Join(by, ", ")+")"+beyond+"(?"+strings.Repeat(", ?", len(by)-1)+")", from...)
	}
	text = "SELECT " + columns + " FROM record INDEXED BY " + index +
		" WHERE family = ? AND account = ? AND region = ?" + where.String() +
		" ORDER BY " + strings.Join(by, order+", ") + order
	if f.Match == nil {
		text += " LIMIT ?"
		args = append(args, f.Limit+1)
	}
	return text, args, nil
}

// ceilMilli is the first whole millisecond at or after t: a stored time is
// before t exactly when its milliseconds are below that.
func ceilMilli(t time.Time) int64 {
	return t.Add(time.Millisecond - time.Nanosecond).UnixMilli()
}

// Unsettled implements resource.Reader.
func (r reader) Unsettled(ctx context.Context, family string) ([]resource.Key, error) {
	const text = "SELECT account, region, name FROM record INDEXED BY record_unsettled" +
		" WHERE family = ? AND settled = 0 ORDER BY account, region, name"
	var keys []resource.Key
	err := r.query(ctx, text, []any{family}, func(rows *sql.Rows) (bool, error) {
		key := resource.Key{Family: family}
		err := rows.Scan(&key.Account, &key.Region, &key.Name)
		keys = append(keys, key)
		return true, err
	})
	if err != nil {
		return nil, fmt.Errorf("list unsettled %s: %w", family, err)
	}
	return keys, nil
}

// Count implements resource.Reader. It walks an index over all rows of the
// family.
func (r reader) Count(ctx context.Context, family string) (map[string]int, error) {
	const text = "SELECT status, count(*) FROM record INDEXED BY record_by_status WHERE family = ? GROUP BY status"
	counts := map[string]int{}
	err := r.query(ctx, text, []any{family}, func(rows *sql.Rows) (bool, error) {
		var status string
		var n int
		err := rows.Scan(&status, &n)
		counts[status] = n
		return true, err
	})
	if err != nil {
		return nil, fmt.Errorf("count %s: %w", family, err)
	}
	return counts, nil
}

// Tags implements resource.Reader.
func (r reader) Tags(ctx context.Context, arn string) ([]resource.Tag, error) {
	const text = "SELECT key, value FROM tag WHERE arn = ? ORDER BY key"
	var tags []resource.Tag
	err := r.point().query(ctx, text, []any{resource.FoldARN(arn)}, func(rows *sql.Rows) (bool, error) {
		var tag resource.Tag
		err := rows.Scan(&tag.Key, &tag.Value)
		tags = append(tags, tag)
		return true, err
	})
	if err != nil {
		return nil, fmt.Errorf("tags of %q: %w", arn, err)
	}
	return tags, nil
}
