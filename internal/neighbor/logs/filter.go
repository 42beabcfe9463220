// SPDX-License-Identifier: Apache-2.0

package logs

import (
	"cmp"
	"container/heap"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"math"
	"strings"

	"github.com/sagebrush-ml/sagebrush/internal/sqlfile"
	wlogs "github.com/sagebrush-ml/sagebrush/internal/wire/logs"
)

// maxScan bounds the bytes of events that one FilterLogEvents looks at; then it
// answers what it has found and a token, as the service does.
const maxScan = 64 << 20

// filterLogEvents is API_FilterLogEvents: the events of many streams in the
// order of time. Unlike GetLogEvents it includes events of the time endTime.
func (s *Service) filterLogEvents(ctx context.Context, in *wlogs.FilterLogEventsInput) (*wlogs.FilterLogEventsOutput, error) {
	name, err := named(in.LogGroupName, in.LogGroupIdentifier)
	if err != nil {
		return nil, err
	}
	if len(in.LogStreamNames) > 0 && in.LogStreamNamePrefix != "" {
		return nil, invalid("logStreamNames and logStreamNamePrefix are mutually exclusive parameters.")
	}
	if in.StartFromHead != nil && !*in.StartFromHead {
		return nil, invalid("startFromHead=false is not supported by FilterLogEvents here; use GetLogEvents to read the latest events first.")
	}
	match, err := parsePattern(in.FilterPattern)
	if err != nil {
		return nil, badPattern(err)
	}
	f := scan{match: match, end: math.MaxInt64 - 1, limit: limitOf(in.Limit, maxEvents)}
	if in.StartTime != nil {
		f.after.ts = *in.StartTime
	}
	if in.EndTime != nil {
		f.end = *in.EndTime
	}
	if in.StartTime != nil && in.EndTime != nil && *in.StartTime > *in.EndTime {
		return nil, invalid("startTime must not be after endTime.")
	}
	if in.NextToken != "" {
		n, ok := parseDigits(in.NextToken)
		if !ok {
			return nil, errToken()
		}
		f.after = mark{n[0], n[1], n[2]}
	}
	err = s.file.Read(ctx, func(q sqlfile.Querier) error {
		g, err := findGroup(ctx, q, name)
		if err != nil {
			return err
		}
		f.group = g.id
		if bound := oldest(g.retention, s.now()); f.after.ts < bound {
			f.after = mark{ts: bound}
		}
		if err := f.choose(ctx, q, in.LogStreamNames, in.LogStreamNamePrefix); err != nil {
			return err
		}
		return s.scan(ctx, q, &f)
	})
	if err != nil {
		return nil, err
	}
	out := &wlogs.FilterLogEventsOutput{Events: f.out, SearchedLogStreams: []wlogs.SearchedLogStream{}}
	if f.out == nil {
		out.Events = []wlogs.FilteredLogEvent{}
	}
	if f.more {
		out.NextToken = digits(f.last.ts, f.last.stream, f.last.id+1)
	}
	return out, nil
}

// badPattern is the fault of a pattern that cannot be read.
func badPattern(err error) error {
	if _, ok := errors.AsType[badTerm](err); ok {
		return invalid("%s", err)
	}
	return invalid("Invalid filter pattern: %s", clip(err.Error(), 200))
}

// mark is an event's place among those of a group.
type mark struct{ ts, stream, id int64 }

func (m mark) compare(o mark) int {
	return cmp.Or(cmp.Compare(m.ts, o.ts), cmp.Compare(m.stream, o.stream), cmp.Compare(m.id, o.id))
}

// scan is one search through a group.
type scan struct {
	group   int64
	streams map[int64]string // the chosen ones; with all set, filled as needed
	all     bool
	match   matcher
	after   mark // the first event that counts is here or behind
	end     int64
	limit   int

	out   []wlogs.FilteredLogEvent
	bytes int64
	seen  int64
	last  mark // of the event looked at last
	more  bool
}

// choose finds the streams that the request names.
func (f *scan) choose(ctx context.Context, q sqlfile.Querier, names []string, prefix string) error {
	f.streams = map[int64]string{}
	f.all = len(names) == 0 && prefix == ""
	if f.all {
		return nil
	}
	text, args := "SELECT id, name FROM stream WHERE loggroup = ?", []any{f.group}
	if prefix != "" {
		text, args = text+" AND name >= ? AND name < ?", append(args, prefix, prefix+"\xff")
	} else {
		text += " AND name IN (?" + strings.Repeat(", ?", len(names)-1) + ")"
		for _, n := range names {
			args = append(args, n)
		}
	}
	rows, err := q.QueryContext(ctx, text, args...)
	if err != nil {
		return err
	}
	defer rows.Close()
	found := map[string]bool{}
	for rows.Next() {
		var id int64
		var name string
		if err := rows.Scan(&id, &name); err != nil {
			return err
		}
		f.streams[id], found[name] = name, true
	}
	for _, n := range names {
		if !found[n] {
			return first(rows.Err(), notFound("stream"))
		}
	}
	return first(rows.Err(), rows.Close())
}

// piece is a chunk that is not read yet.
type piece struct{ id, stream, ts int64 }

// piecesPerQuery is how many chunks are looked up at a time.
const piecesPerQuery = 500

// pieces are the next chunks in the order of their first events, behind last.
func (f *scan) pieces(ctx context.Context, q sqlfile.Querier, last piece) ([]piece, error) {
	text := "SELECT id, stream, first_ts FROM chunk WHERE loggroup = ?"
	args := []any{f.group}
	if !f.all && len(f.streams) <= 100 {
		text, args = "SELECT id, stream, first_ts FROM chunk WHERE stream IN (", nil
		for id := range f.streams {
			text, args = text+"?, ", append(args, id)
		}
		text = strings.TrimSuffix(text, ", ") + ")"
	}
	rows, err := q.QueryContext(ctx, text+" AND (first_ts, id) > (?, ?) AND first_ts <= ? ORDER BY first_ts, id LIMIT ?",
		append(args, last.ts, last.id, f.end, piecesPerQuery)...)
	if err != nil {
		return nil, fmt.Errorf("find log chunks: %w", err)
	}
	defer rows.Close()
	var out []piece
	for rows.Next() {
		var p piece
		if err := rows.Scan(&p.id, &p.stream, &p.ts); err != nil {
			return nil, err
		}
		out = append(out, p)
	}
	return out, first(rows.Err(), rows.Close())
}

// scan merges the chunks of the chosen streams by time. A chunk is read when
// the merge comes to its first event.
func (s *Service) scan(ctx context.Context, q sqlfile.Querier, f *scan) error {
	if !f.all && len(f.streams) == 0 {
		return nil
	}
	// A chunk that begins earlier than this ends before the first event wanted.
	last := piece{ts: f.after.ts - chunkSpan}
	var open merge
	for {
		found, err := f.pieces(ctx, q, last)
		if err != nil {
			return err
		}
		for _, p := range found {
			last = p
			if _, ok := f.streams[p.stream]; !ok && !f.all {
				continue
			}
			if done, err := f.drain(ctx, q, &open, p.ts); done || err != nil {
				return err
			}
			var data []byte
			if err := q.QueryRowContext(ctx, "SELECT data FROM chunk WHERE id = ?", p.id).Scan(&data); err != nil {
				return fmt.Errorf("read log chunk: %w", err)
			}
			events, err := s.codec.decode(data)
			if err != nil {
				return err
			}
			heap.Push(&open, run{p.stream, events})
		}
		if len(found) < piecesPerQuery {
			_, err := f.drain(ctx, q, &open, math.MaxInt64)
			return err
		}
	}
}

// drain looks at the events before the time until, and tells whether the page
// is full.
func (f *scan) drain(ctx context.Context, q sqlfile.Querier, open *merge, until int64) (bool, error) {
	for len(*open) > 0 && (*open)[0].events[0].ts < until {
		r := &(*open)[0]
		e, stream := r.events[0], r.stream
		if r.events = r.events[1:]; len(r.events) > 0 {
			heap.Fix(open, 0)
		} else {
			heap.Pop(open)
		}
		at := mark{e.ts, stream, e.id}
		if at.compare(f.after) < 0 {
			continue
		}
		if e.ts > f.end {
			return true, nil
		}
		full := f.seen >= maxScan
		hit := f.match(e.msg)
		if hit && (len(f.out) == f.limit || f.bytes+e.size() > maxPage) {
			full = true
		}
		if full {
			f.more = true
			return true, nil
		}
		f.seen += e.size()
		f.last = at
		if !hit {
			continue
		}
		f.bytes += e.size()
		name, err := f.name(ctx, q, stream)
		if err != nil {
			return true, err
		}
		f.out = append(f.out, wlogs.FilteredLogEvent{LogStreamName: name, Timestamp: &e.ts, Message: e.msg, IngestionTime: &e.in,
			EventId: digits(e.ts, stream, e.id)})
	}
	return false, nil
}

func (f *scan) name(ctx context.Context, q sqlfile.Querier, stream int64) (string, error) {
	name, ok := f.streams[stream]
	if ok {
		return name, nil
	}
	err := q.QueryRowContext(ctx, "SELECT name FROM stream WHERE id = ?", stream).Scan(&name)
	if err == sql.ErrNoRows {
		return "", fmt.Errorf("chunk of log stream %d has no stream", stream)
	}
	f.streams[stream] = name
	return name, err
}

// run is the rest of a chunk that is open.
type run struct {
	stream int64
	events []event
}

// merge is a heap of open chunks by their next event.
type merge []run

func (m merge) Len() int      { return len(m) }
func (m merge) Swap(i, j int) { m[i], m[j] = m[j], m[i] }
func (m *merge) Push(x any)   { *m = append(*m, x.(run)) }
func (m *merge) Pop() any {
	last := (*m)[len(*m)-1]
	*m = (*m)[:len(*m)-1]
	return last
}
func (m merge) Less(i, j int) bool {
	a, b := m[i], m[j]
	return mark{a.events[0].ts, a.stream, a.events[0].id}.compare(mark{b.events[0].ts, b.stream, b.events[0].id}) < 0
}
