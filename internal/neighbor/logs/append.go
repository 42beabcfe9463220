// SPDX-License-Identifier: Apache-2.0

package logs

import (
	"cmp"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/sagebrush-ml/sagebrush/internal/sqlfile"
	"github.com/sagebrush-ml/sagebrush/internal/telemetry"
)

var _ telemetry.Logs = (*Service)(nil)

// stream is a row of the table of that name, as far as writers need it.
type stream struct {
	id, group    int64
	first, last  sql.NullInt64
	next, source int64
	run          int64
	retention    int64 // of the group, days
}

const streamColumns = `SELECT s.id, s.loggroup, s.first, s.last, s.next, s.source, s.run, g.retention
	FROM stream s JOIN loggroup g ON g.id = s.loggroup
	WHERE g.account = ? AND g.region = ? AND g.name = ? AND s.name = ?`

func findStream(ctx context.Context, q sqlfile.Querier, at telemetry.Stream) (stream, error) {
	var s stream
	err := q.QueryRowContext(ctx, streamColumns, at.Account, at.Region, at.Group, at.Name).
		Scan(&s.id, &s.group, &s.first, &s.last, &s.next, &s.source, &s.run, &s.retention)
	return s, err
}

// Offset implements telemetry.Logs.
func (s *Service) Offset(ctx context.Context, at telemetry.Stream) (int64, error) {
	var offset int64
	err := s.file.Read(ctx, func(q sqlfile.Querier) error {
		st, err := findStream(ctx, q, at)
		if errors.Is(err, sql.ErrNoRows) {
			return nil
		}
		offset = st.source
		return err
	})
	if err != nil {
		return 0, fmt.Errorf("read offset of log stream %q: %w", at.Name, err)
	}
	return offset, nil
}

// Append implements telemetry.Logs. A message longer than maxMessage becomes
// several events, and an empty one a space, since clients expect a message in
// each event.
func (s *Service) Append(ctx context.Context, at telemetry.Stream, from, to int64, events []telemetry.Event) error {
	now := s.now().UnixMilli()
	batch := make([]event, 0, len(events))
	for _, e := range events {
		ts := max(e.Time.UnixMilli(), 0)
		for _, part := range parts(e.Message) {
			batch = append(batch, event{ts: ts, in: now, msg: part})
		}
	}
	err := s.file.Write(ctx, func(w sqlfile.Writer) error {
		st, err := findStream(ctx, w, at)
		if errors.Is(err, sql.ErrNoRows) {
			if from != 0 {
				return telemetry.ErrOffset
			}
			st, err = makeStream(ctx, w, at, now)
		}
		if err != nil {
			return err
		}
		if st.source != from {
			return telemetry.ErrOffset
		}
		st.source = to
		return s.add(w, &st, batch, now)
	})
	if err != nil {
		return fmt.Errorf("append to log stream %q at %d: %w", at.Name, from, err)
	}
	return nil
}

// maxMessage is the longest message kept in one event, in bytes.
const maxMessage = 256<<10 - eventOverhead

func parts(message string) []string {
	if message == "" {
		return []string{" "}
	}
	var out []string
	for len(message) > maxMessage {
		end := maxMessage
		for end > maxMessage-utf8.UTFMax && !utf8.RuneStart(message[end]) {
			end--
		}
		out, message = append(out, message[:end]), message[end:]
	}
	return append(out, message)
}

// makeStream makes the stream, and its group when that is missing too.
func makeStream(ctx context.Context, w sqlfile.Writer, at telemetry.Stream, now int64) (stream, error) {
	if _, err := w.Exec(insertGroup+" ON CONFLICT DO NOTHING", at.Account, at.Region, at.Group, now, classStandard, "", false, ""); err != nil {
		return stream{}, fmt.Errorf("make log group: %w", err)
	}
	if _, err := w.Exec(insertStream, now, at.Name, at.Account, at.Region, at.Group); err != nil {
		return stream{}, fmt.Errorf("make log stream: %w", err)
	}
	return findStream(ctx, w, at)
}

// add stores events of one moment, and st as it is then.
func (s *Service) add(w sqlfile.Writer, st *stream, events []event, now int64) error {
	if len(events) == 0 {
		_, err := w.Exec("UPDATE stream SET source = ? WHERE id = ?", st.source, st.id)
		return err
	}
	byTime := func(a, b event) int { return cmp.Compare(a.ts, b.ts) }
	if !slices.IsSortedFunc(events, byTime) {
		slices.SortStableFunc(events, byTime)
	}
	var size int64
	for i := range events {
		events[i].id = st.next
		st.next++
		size += events[i].size()
	}
	first, last := events[0].ts, events[len(events)-1].ts
	var err error
	if st.last.Valid && first < st.last.Int64 {
		st.run = 0
		err = s.interleave(w, st, events)
	} else {
		err = s.extend(w, st, events, size)
	}
	if err != nil {
		return err
	}
	if !st.first.Valid || first < st.first.Int64 {
		st.first = sql.NullInt64{Int64: first, Valid: true}
	}
	if !st.last.Valid || last > st.last.Int64 {
		st.last = sql.NullInt64{Int64: last, Valid: true}
	}
	_, err = w.Exec("UPDATE stream SET first = ?, last = ?, recent = ?, ingested = ?, bytes = bytes + ?, next = ?, source = ?, run = ? WHERE id = ?",
		st.first, st.last, st.last, now, size, st.next, st.source, st.run, st.id)
	return err
}

// extend stores events that are later than all that the stream has.
func (s *Service) extend(w sqlfile.Writer, st *stream, events []event, size int64) error {
	if err := s.insert(w, st, events); err != nil {
		return err
	}
	if size >= smallBatch {
		st.run = 0
		return nil
	}
	// The number of small batches is counted like an odometer: each time a digit
	// of base 16 turns over, the last 16 chunks become one.
	st.run++
	for n := st.run; n%mergeCount == 0; n /= mergeCount {
		if merged, err := s.merge(w, st); err != nil || !merged {
			return err
		}
	}
	return nil
}

// merge makes one chunk of the last ones of the stream, unless they are large.
func (s *Service) merge(w sqlfile.Writer, st *stream) (bool, error) {
	var size int64
	err := w.QueryRowContext(context.Background(), `SELECT coalesce(sum(bytes), 0) FROM (SELECT bytes FROM chunk WHERE stream = ?
		ORDER BY first_ts DESC, first_id DESC LIMIT ?)`, st.id, mergeCount).Scan(&size)
	if err != nil || size > chunkBytes {
		return false, err
	}
	events, err := s.take(w, "stream = ? ORDER BY first_ts DESC, first_id DESC LIMIT ?", st.id, mergeCount)
	if err != nil {
		return false, err
	}
	return true, s.insert(w, st, events)
}

// interleave stores events of which some are earlier than the stream's last:
// the chunks that they fall between are written anew.
func (s *Service) interleave(w sqlfile.Writer, st *stream, events []event) error {
	lo, hi := events[0].ts, events[len(events)-1].ts
	old, err := s.take(w, "stream = ? AND first_ts >= ? AND first_ts <= ? AND last_ts > ?", st.id, lo-chunkSpan, hi, lo)
	if err != nil {
		return err
	}
	return s.insert(w, st, order(append(old, events...)))
}

func order(events []event) []event {
	slices.SortFunc(events, func(a, b event) int { return cmp.Or(cmp.Compare(a.ts, b.ts), cmp.Compare(a.id, b.id)) })
	return events
}

// take removes chunks and answers their events, in order.
func (s *Service) take(w sqlfile.Writer, where string, args ...any) ([]event, error) {
	rows, err := w.Query("SELECT id, data FROM chunk WHERE "+where, args...)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	var ids []int64
	var events []event
	for rows.Next() {
		var id int64
		var data sql.RawBytes
		if err := rows.Scan(&id, &data); err != nil {
			return nil, err
		}
		e, err := s.codec.decode(data)
		if err != nil {
			return nil, fmt.Errorf("chunk %d: %w", id, err)
		}
		ids, events = append(ids, id), append(events, e...)
	}
	if err := errors.Join(rows.Err(), rows.Close()); err != nil {
		return nil, err
	}
	for _, id := range ids {
		if _, err := w.Exec("DELETE FROM chunk WHERE id = ?", id); err != nil {
			return nil, err
		}
	}
	return order(events), nil
}

func (s *Service) insert(w sqlfile.Writer, st *stream, events []event) error {
	for _, c := range split(events) {
		var size int64
		for _, e := range c {
			size += e.size()
		}
		_, err := w.Exec("INSERT INTO chunk (loggroup, stream, first_ts, first_id, last_ts, bytes, data) VALUES (?, ?, ?, ?, ?, ?, ?)",
			st.group, st.id, c[0].ts, c[0].id, c[len(c)-1].ts, size, s.codec.encode(c))
		if err != nil {
			return fmt.Errorf("store log chunk: %w", err)
		}
	}
	return nil
}

// oldest is the time before which a group's events have expired, in
// milliseconds; 0 when they never do.
func oldest(retentionDays int64, now time.Time) int64 {
	if retentionDays == 0 {
		return 0
	}
	return now.UnixMilli() - retentionDays*24*60*60*1000
}

// clip is text cut to n bytes for a message.
func clip(text string, n int) string {
	if len(text) <= n {
		return text
	}
	return strings.ToValidUTF8(text[:n], "") + "..."
}
