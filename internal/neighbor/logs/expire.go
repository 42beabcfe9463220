// SPDX-License-Identifier: Apache-2.0

package logs

import (
	"context"
	"fmt"

	"github.com/sagebrush-ml/sagebrush/internal/sqlfile"
)

// sweepRows is how many chunks one transaction removes at most, so that
// shippers do not wait long for their turn.
const sweepRows = 200

// sweep removes the chunks of deleted streams.
func (s *Service) sweep(ctx context.Context) error {
	for {
		removed := false
		err := s.file.Write(ctx, func(w sqlfile.Writer) error {
			res, err := w.Exec("DELETE FROM chunk WHERE id IN (SELECT c.id FROM garbage g JOIN chunk c ON c.stream = g.stream LIMIT ?)", sweepRows)
			if err != nil {
				return err
			}
			n, err := res.RowsAffected()
			if removed = n > 0; err != nil || removed {
				return err
			}
			_, err = w.Exec("DELETE FROM garbage")
			return err
		})
		if err != nil {
			return fmt.Errorf("remove chunks of deleted log streams: %w", err)
		}
		if !removed {
			return s.shrink(ctx)
		}
	}
}

// Expire removes the events that are older than their group keeps them. Run
// calls it; readers do not see such events in any case.
func (s *Service) Expire(ctx context.Context) error {
	type due struct{ group, oldest int64 }
	var groups []due
	err := s.file.Read(ctx, func(q sqlfile.Querier) error {
		rows, err := q.QueryContext(ctx, "SELECT id, retention FROM loggroup WHERE retention > 0")
		if err != nil {
			return err
		}
		defer rows.Close()
		for rows.Next() {
			var id, days int64
			if err := rows.Scan(&id, &days); err != nil {
				return err
			}
			groups = append(groups, due{id, oldest(days, s.now())})
		}
		return first(rows.Err(), rows.Close())
	})
	if err != nil {
		return fmt.Errorf("read retentions: %w", err)
	}
	for _, g := range groups {
		for more := true; more; {
			err := s.file.Write(ctx, func(w sqlfile.Writer) (err error) {
				more, err = s.expire(w, g.group, g.oldest)
				return err
			})
			if err != nil {
				return fmt.Errorf("remove expired log events: %w", err)
			}
		}
	}
	if len(groups) == 0 {
		return nil
	}
	return s.shrink(ctx)
}

// expire removes some of a group's events from before oldest and tells whether
// there may be more.
func (s *Service) expire(w sqlfile.Writer, group, oldest int64) (bool, error) {
	rows, err := w.Query("SELECT DISTINCT stream FROM (SELECT stream FROM chunk WHERE loggroup = ? AND first_ts < ? ORDER BY first_ts, id LIMIT ?)",
		group, oldest, sweepRows)
	if err != nil {
		return false, err
	}
	defer rows.Close()
	var streams []int64
	for rows.Next() {
		var id int64
		if err := rows.Scan(&id); err != nil {
			return false, err
		}
		streams = append(streams, id)
	}
	if err := first(rows.Err(), rows.Close()); err != nil {
		return false, err
	}
	for _, id := range streams {
		if err := s.expireStream(w, group, id, oldest); err != nil {
			return false, fmt.Errorf("stream %d: %w", id, err)
		}
	}
	return len(streams) > 0, nil
}

func (s *Service) expireStream(w sqlfile.Writer, group, id, oldest int64) error {
	if _, err := w.Exec("DELETE FROM chunk WHERE id IN (SELECT id FROM chunk WHERE stream = ? AND first_ts < ? AND last_ts < ? LIMIT ?)",
		id, oldest, oldest, sweepRows); err != nil {
		return err
	}
	// One chunk may lie across the bound: its later events are kept.
	events, err := s.take(w, "stream = ? AND first_ts < ? AND last_ts >= ?", id, oldest, oldest)
	if err != nil {
		return err
	}
	kept := events[:0]
	for _, e := range events {
		if e.ts >= oldest {
			kept = append(kept, e)
		}
	}
	if err := s.insert(w, &stream{id: id, group: group}, kept); err != nil {
		return err
	}
	_, err = w.Exec(`UPDATE stream SET (first, last, bytes) = (SELECT min(first_ts), max(last_ts), coalesce(sum(bytes), 0)
		FROM chunk WHERE stream = ?1) WHERE id = ?1`, id)
	return err
}

// shrink gives free pages back to the disk, some at a time.
func (s *Service) shrink(ctx context.Context) error {
	for {
		var before, after int64
		err := s.file.Write(ctx, func(w sqlfile.Writer) error {
			return w.QueryRowContext(ctx, "PRAGMA freelist_count").Scan(&before)
		})
		if err != nil || before == 0 {
			return err
		}
		err = s.file.Write(ctx, func(w sqlfile.Writer) error {
			rows, err := w.Query("PRAGMA incremental_vacuum(2000)")
			if err != nil {
				return err
			}
			for rows.Next() { // each step frees a page
			}
			if err := first(rows.Err(), rows.Close()); err != nil {
				return err
			}
			return w.QueryRowContext(ctx, "PRAGMA freelist_count").Scan(&after)
		})
		if err != nil || after == 0 || after >= before {
			return err
		}
	}
}
