// SPDX-License-Identifier: Apache-2.0

package logs

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"

	"github.com/sagebrush-ml/sagebrush/internal/sqlfile"
	wlogs "github.com/sagebrush-ml/sagebrush/internal/wire/logs"
)

// The bounds of PutLogEvents, as the service documents them.
const (
	maxBatch  = 1 << 20                  // bytes
	maxSpan   = 24 * 60 * 60 * 1000      // milliseconds
	maxAhead  = 2 * 60 * 60 * 1000       // milliseconds
	maxBehind = 14 * 24 * 60 * 60 * 1000 // milliseconds
	maxPage   = 1 << 20                  // bytes of events in one answer
	maxEvents = 10_000                   // events in one answer
)

// putLogEvents is API_PutLogEvents. Sequence tokens are taken and not looked
// at, as the service does since 2023. Events that are too old or too new are
// left out and told by their indexes.
func (s *Service) putLogEvents(ctx context.Context, in *wlogs.PutLogEventsInput) (*wlogs.PutLogEventsOutput, error) {
	batch := make([]event, len(in.LogEvents))
	var size int64
	now := s.now()
	for i, e := range in.LogEvents {
		batch[i] = event{ts: *e.Timestamp, in: now.UnixMilli(), msg: e.Message}
		size += batch[i].size()
		if i > 0 && batch[i].ts < batch[i-1].ts {
			return nil, invalid("Log events in a single PutLogEvents request must be in chronological order.")
		}
	}
	if size > maxBatch {
		return nil, invalid("Upload too large: %d bytes exceeds limit of %d", size, maxBatch)
	}
	if batch[len(batch)-1].ts-batch[0].ts > maxSpan {
		return nil, invalid("The batch of log events in a single PutLogEvents request cannot span more than 24 hours.")
	}
	out := &wlogs.PutLogEventsOutput{}
	err := s.file.Write(ctx, func(w sqlfile.Writer) error {
		st, err := findIn(ctx, w, in.LogGroupName, in.LogStreamName)
		if err != nil {
			return err
		}
		out.NextSequenceToken = sequenceToken(st.id)
		var rejected wlogs.RejectedLogEventsInfo
		reject := func(lo, hi int, at **int64, index int) {
			if lo < hi {
				*at = new(int64(index))
				out.RejectedLogEventsInfo = &rejected
			}
		}
		before := func(ts int64) int {
			n, _ := slices.BinarySearchFunc(batch, ts, func(e event, ts int64) int { return int(min(max(e.ts-ts, -1), 1)) })
			return n
		}
		expired, old := before(oldest(st.retention, now)), before(now.UnixMilli()-maxBehind)
		ahead := before(now.UnixMilli() + maxAhead + 1)
		reject(0, expired, &rejected.ExpiredLogEventEndIndex, expired)
		reject(0, old, &rejected.TooOldLogEventEndIndex, old)
		reject(ahead, len(batch), &rejected.TooNewLogEventStartIndex, ahead)
		begin := min(max(expired, old), ahead)
		return s.add(w, &st, batch[begin:ahead], now.UnixMilli())
	})
	if err != nil {
		return nil, err
	}
	return out, nil
}

// window is what a reader asks for: events from start on and before end, in
// milliseconds, so many and so large together.
type window struct {
	start, end int64
	events     int
	bytes      int64
}

func (w *window) take(e event) bool {
	if w.events == 0 || w.bytes < e.size() {
		return false
	}
	w.events--
	w.bytes -= e.size()
	return true
}

// getLogEvents is API_GetLogEvents. Both tokens are always there; at the end of
// the stream the token that leads on is the one that led here.
func (s *Service) getLogEvents(ctx context.Context, in *wlogs.GetLogEventsInput) (*wlogs.GetLogEventsOutput, error) {
	name, err := named(in.LogGroupName, in.LogGroupIdentifier)
	if err != nil {
		return nil, err
	}
	w := window{end: math.MaxInt64, events: limitOf(in.Limit, maxEvents), bytes: maxPage}
	if in.StartTime != nil {
		w.start = *in.StartTime
	}
	if in.EndTime != nil {
		w.end = *in.EndTime
	}
	if in.StartTime != nil && in.EndTime != nil && w.start > w.end {
		return nil, invalid("startTime must not be after endTime.")
	}
	forward := in.StartFromHead != nil && *in.StartFromHead
	var events []event
	var id int64
	var at cut
	err = s.file.Read(ctx, func(q sqlfile.Querier) error {
		st, err := findIn(ctx, q, name, in.LogStreamName)
		if err != nil {
			return err
		}
		id = st.id
		switch {
		case in.NextToken != "":
			if forward, at, err = parseToken(in.NextToken, id); err != nil {
				return err
			}
		case forward:
			at = cut{ts: w.start}
		default:
			// Behind the last event, so that a reader that finds nothing yet
			// goes on with what comes later.
			at = cut{ts: min(w.end, max(w.start, st.last.Int64+1))}
		}
		w.start = max(w.start, oldest(st.retention, s.now()))
		if forward {
			events, err = s.forward(ctx, q, id, at, w)
		} else {
			events, err = s.backward(ctx, q, id, at, w)
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	out := &wlogs.GetLogEventsOutput{Events: make([]wlogs.OutputLogEvent, len(events))}
	for i := range events {
		e := &events[i]
		out.Events[i] = wlogs.OutputLogEvent{Timestamp: &e.ts, Message: e.msg, IngestionTime: &e.in}
	}
	head, tail := at, at
	if len(events) > 0 {
		head, tail = events[0].cut(), events[len(events)-1].cut()
		tail.id++
	}
	out.NextForwardToken, out.NextBackwardToken = token('f', tail, id), token('b', head, id)
	return out, nil
}

// forward reads events from the cut on, earliest first.
func (s *Service) forward(ctx context.Context, q sqlfile.Querier, id int64, at cut, w window) ([]event, error) {
	if at.ts < w.start {
		at = cut{ts: w.start}
	}
	// The chunk that the cut falls into is the last one that begins before it.
	begin := at
	err := q.QueryRowContext(ctx, `SELECT first_ts, first_id FROM chunk WHERE stream = ? AND (first_ts, first_id) <= (?, ?)
		ORDER BY first_ts DESC, first_id DESC LIMIT 1`, id, at.ts, at.id).Scan(&begin.ts, &begin.id)
	if err != nil && !errors.Is(err, sql.ErrNoRows) {
		return nil, err
	}
	var out []event
	err = s.chunks(ctx, q, func(events []event) bool {
		for _, e := range events {
			if !at.from(e) {
				continue
			}
			if e.ts >= w.end || !w.take(e) {
				return false
			}
			out = append(out, e)
		}
		return true
	}, "stream = ? AND (first_ts, first_id) >= (?, ?) AND first_ts < ? ORDER BY first_ts, first_id", id, begin.ts, begin.id, w.end)
	return out, err
}

// backward reads the events that end before the cut; they come earliest first.
func (s *Service) backward(ctx context.Context, q sqlfile.Querier, id int64, at cut, w window) ([]event, error) {
	if at.ts > w.end {
		at = cut{ts: w.end}
	}
	var out []event
	err := s.chunks(ctx, q, func(events []event) bool {
		for _, e := range slices.Backward(events) {
			if at.from(e) {
				continue
			}
			if e.ts < w.start || !w.take(e) {
				return false
			}
			out = append(out, e)
		}
		return true
	}, "stream = ? AND (first_ts, first_id) < (?, ?) ORDER BY first_ts DESC, first_id DESC", id, at.ts, at.id)
	slices.Reverse(out)
	return out, err
}

// chunks hands over the events of chunks until fn answers false.
func (s *Service) chunks(ctx context.Context, q sqlfile.Querier, fn func([]event) bool, where string, args ...any) error {
	rows, err := q.QueryContext(ctx, "SELECT data FROM chunk WHERE "+where, args...)
	if err != nil {
		return fmt.Errorf("read log chunks: %w", err)
	}
	defer rows.Close()
	for rows.Next() {
		var data sql.RawBytes
		if err := rows.Scan(&data); err != nil {
			return fmt.Errorf("read log chunk: %w", err)
		}
		events, err := s.codec.decode(data)
		if err != nil {
			return err
		}
		if !fn(events) {
			return rows.Close()
		}
	}
	return first(rows.Err(), rows.Close())
}

// A token of GetLogEvents is f or b, a slash and 56 digits, as the service's
// are: time, number, stream.

func token(direction byte, at cut, stream int64) string {
	return fmt.Sprintf("%c/%s", direction, digits(at.ts, at.id, stream))
}

func digits(a, b, c int64) string { return fmt.Sprintf("%020d%018d%018d", a, b, c) }

func parseDigits(s string) (n [3]int64, ok bool) {
	if len(s) != 56 {
		return n, false
	}
	for i, part := range []string{s[:20], s[20:38], s[38:]} {
		v, err := strconv.ParseInt(part, 10, 64)
		if err != nil || v < 0 {
			return n, false
		}
		n[i] = v
	}
	return n, true
}

func parseToken(s string, stream int64) (forward bool, at cut, err error) {
	if len(s) < 2 || s[1] != '/' || s[0] != 'f' && s[0] != 'b' {
		return false, cut{}, errToken()
	}
	n, ok := parseDigits(s[2:])
	if !ok || n[2] != stream {
		return false, cut{}, errToken()
	}
	return s[0] == 'f', cut{n[0], n[1]}, nil
}
