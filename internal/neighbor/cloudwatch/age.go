// SPDX-License-Identifier: Apache-2.0

package cloudwatch

import (
	"context"
	"fmt"
	"time"

	"github.com/sagebrush-ml/sagebrush/internal/sqlfile"
)

// How long samples are kept: seconds as in the service, minutes as long as the
// service keeps minutes.
const (
	keepFine   = 3 * time.Hour
	keepCoarse = 15 * 24 * time.Hour
)

// ageRows is how many samples one transaction merges at most.
const ageRows = 1000

// Age turns the seconds of more than three hours ago into minutes and removes
// what is older than fifteen days. Run calls it.
func (s *Service) Age(ctx context.Context) error {
	if err := s.Flush(ctx); err != nil {
		return err
	}
	now := s.now()
	var ids []int64
	err := s.file.Read(ctx, func(q sqlfile.Querier) error {
		rows, err := q.QueryContext(ctx, "SELECT id FROM series")
		if err != nil {
			return err
		}
		defer rows.Close()
		for rows.Next() {
			var id int64
			if err := rows.Scan(&id); err != nil {
				return err
			}
			ids = append(ids, id)
		}
		return rows.Err()
	})
	if err != nil {
		return fmt.Errorf("list series: %w", err)
	}
	// A whole minute ages at once.
	bound := now.Add(-keepFine).Truncate(time.Minute).Unix()
	for _, id := range ids {
		for more := true; more; {
			err := s.file.Write(ctx, func(w sqlfile.Writer) (err error) {
				more, err = roll(ctx, w, id, bound)
				return err
			})
			if err != nil {
				return fmt.Errorf("merge seconds of series %d: %w", id, err)
			}
		}
	}
	return s.forget(ctx, now.Add(-keepCoarse).Unix())
}

// roll merges the oldest seconds of a series, whole minutes of them.
func roll(ctx context.Context, w sqlfile.Writer, id, bound int64) (bool, error) {
	rows, err := w.Query("SELECT ts, data FROM sample WHERE series = ? AND res = 1 AND ts < ? ORDER BY ts LIMIT ?", id, bound, ageRows)
	if err != nil {
		return false, err
	}
	defer rows.Close()
	minutes := map[int64]*stats{}
	n, last := 0, int64(0)
	for rows.Next() {
		var data []byte
		if err := rows.Scan(&last, &data); err != nil {
			return false, err
		}
		st, err := decode(data)
		if err != nil {
			return false, err
		}
		m := last - mod(last, 60)
		if minutes[m] == nil {
			minutes[m] = &stats{}
		}
		minutes[m].merge(st)
		n++
	}
	if err := rows.Err(); err != nil || n == 0 {
		return false, err
	}
	if err := rows.Close(); err != nil {
		return false, err
	}
	for m, st := range minutes {
		if err := mix(ctx, w, id, 60, m, st); err != nil {
			return false, err
		}
	}
	_, err = w.Exec("DELETE FROM sample WHERE series = ? AND res = 1 AND ts <= ?", id, last)
	return n == ageRows, err
}

// mod is a modulo n, never negative.
func mod(a, n int64) int64 { return ((a % n) + n) % n }

// forget removes samples from before bound, and series that have no later ones.
func (s *Service) forget(ctx context.Context, bound int64) error {
	select { // no series may be written to while it goes
	case <-s.flushing:
	case <-ctx.Done():
		return ctx.Err()
	}
	defer func() { s.flushing <- struct{}{} }()
	var gone bool
	err := s.file.Write(ctx, func(w sqlfile.Writer) error {
		if _, err := w.Exec("DELETE FROM sample WHERE ts < ? AND res = 60 AND series IN (SELECT id FROM series)", bound); err != nil {
			return err
		}
		res, err := w.Exec("DELETE FROM series WHERE last < ? AND NOT EXISTS (SELECT 1 FROM sample WHERE series = series.id)", bound)
		if err != nil {
			return err
		}
		n, err := res.RowsAffected()
		gone = n > 0
		return err
	})
	if err != nil {
		return fmt.Errorf("remove old metric samples: %w", err)
	}
	if gone {
		s.mu.Lock()
		defer s.mu.Unlock()
		// Series are looked up again when they come back. What is gathered
		// meanwhile keeps its own, whose id must not be one that is gone.
		s.known = map[string]*series{}
		for c := range s.gathered {
			c.series.id = 0
		}
	}
	return nil
}
