// SPDX-License-Identifier: Apache-2.0

package logs

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/sagebrush-ml/sagebrush/internal/sqlfile"
	"github.com/sagebrush-ml/sagebrush/internal/telemetry"
	wlogs "github.com/sagebrush-ml/sagebrush/internal/wire/logs"
)

// readAll is all of a stream in order, page by page.
func readAll(t testing.TB, b *bench, group, stream string) []string {
	t.Helper()
	var all []string
	in := wlogs.GetLogEventsInput{LogGroupName: group, LogStreamName: stream, StartFromHead: new(true)}
	for {
		out := call(t, b, wlogs.GetLogEvents, in)
		if len(out.Events) == 0 {
			return all
		}
		all, in.NextToken = append(all, messages(out.Events)...), out.NextForwardToken
	}
}

// TestEachLineIsKeptOnce has a shipper that repeats itself at random, from
// stale places, over restarts, while a client puts events of its own between.
func TestEachLineIsKeptOnce(t *testing.T) {
	for seed := range uint64(5) {
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) {
			rng := rand.New(rand.NewPCG(seed, 1))
			path := filepath.Join(t.TempDir(), "logs.db")
			b := open(t, path)
			var source []telemetry.Event // a "byte" of the source log is one line
			for i := range 2000 {
				source = append(source, telemetry.Event{Time: start.Add(time.Duration(i) * 3 * time.Second), Message: fmt.Sprintf("line %d %s", i, strings.Repeat("x", rng.IntN(200)))})
			}
			s := at("g", "s")
			var pos int64
			extra := 0
			for pos < int64(len(source)) {
				switch rng.IntN(20) {
				case 0: // the shipper forgets where it was
					pos = rng.Int64N(pos + 1)
				case 1: // the server starts anew
					if err := b.Close(); err != nil {
						t.Fatal(err)
					}
					b = open(t, path)
				case 2:
					if pos > 0 { // a client's event, somewhere in the past
						extra++
						ts := start.Add(time.Duration(rng.Int64N(pos*3)) * time.Second).UnixMilli()
						call(t, b, wlogs.PutLogEvents, wlogs.PutLogEventsInput{LogGroupName: "g", LogStreamName: "s",
							LogEvents: []wlogs.InputLogEvent{{Timestamp: &ts, Message: "extra"}}})
					}
				}
				n := 1 + rng.Int64N(40)
				if rng.IntN(10) == 0 {
					n = 600
				}
				to := min(pos+n, int64(len(source)))
				err := b.Append(caller, s, pos, to, source[pos:to])
				stored, oerr := b.Offset(caller, s)
				if oerr != nil {
					t.Fatal(oerr)
				}
				switch {
				case err == nil && stored != to, err != nil && !errors.Is(err, telemetry.ErrOffset):
					t.Fatalf("append %d to %d: %v, offset %d", pos, to, err, stored)
				}
				pos = stored
			}
			var got []string
			extras := 0
			for _, m := range readAll(t, b, "g", "s") {
				if m == "extra" {
					extras++
				} else {
					got = append(got, m)
				}
			}
			want := make([]string, len(source))
			for i, e := range source {
				want[i] = e.Message
			}
			if !slices.Equal(got, want) || extras != extra {
				t.Fatalf("got %d lines and %d extras, want %d and %d", len(got), extras, len(want), extra)
			}
			checkChunks(t, b)
		})
	}
}

// checkChunks holds that the chunks of no stream overlap or are too long.
func checkChunks(t *testing.T, b *bench) {
	t.Helper()
	err := b.file.Read(caller, func(q sqlfile.Querier) error {
		rows, err := q.QueryContext(caller, "SELECT stream, first_ts, last_ts, data FROM chunk ORDER BY stream, first_ts, first_id")
		if err != nil {
			return err
		}
		defer rows.Close()
		var before event
		var beforeStream int64
		for rows.Next() {
			var stream, lo, hi int64
			var data []byte
			if err := rows.Scan(&stream, &lo, &hi, &data); err != nil {
				return err
			}
			events, err := b.codec.decode(data)
			if err != nil {
				return err
			}
			if events[0].ts != lo || events[len(events)-1].ts != hi || hi-lo > chunkSpan {
				t.Errorf("chunk from %d to %d says %d to %d", events[0].ts, events[len(events)-1].ts, lo, hi)
			}
			for _, e := range events {
				if stream == beforeStream && before.cut().from(e) == false {
					t.Errorf("event %+v stands behind %+v", e, before)
				}
				before, beforeStream = e, stream
			}
		}
		return rows.Err()
	})
	if err != nil {
		t.Fatal(err)
	}
}

func TestAppendFromAnotherPlaceStoresNothing(t *testing.T) {
	b := fresh(t)
	s := at("g", "s")
	for _, step := range []struct {
		name     string
		from, to int64
		stale    bool
	}{
		{"a new stream begins at zero", 5, 9, true},
		{"the first lines", 0, 10, false},
		{"the same again", 0, 10, true},
		{"a gap", 11, 20, true},
		{"what follows", 10, 20, false},
	} {
		err := b.Append(caller, s, step.from, step.to, []telemetry.Event{{Time: start, Message: step.name}})
		if errors.Is(err, telemetry.ErrOffset) != step.stale || !step.stale && err != nil {
			t.Errorf("%s: %v", step.name, err)
		}
	}
	if got := readAll(t, b, "g", "s"); !slices.Equal(got, []string{"the first lines", "what follows"}) {
		t.Errorf("got %q", got)
	}
	if err := b.Append(caller, s, 20, 25, nil); err != nil { // lines that were left out
		t.Error(err)
	}
	if n, err := b.Offset(caller, s); n != 25 || err != nil {
		t.Errorf("offset %d, %v", n, err)
	}
	if n, err := b.Offset(caller, at("g", "none")); n != 0 || err != nil {
		t.Errorf("offset of no stream %d, %v", n, err)
	}
}

func TestManyShippersAndReaders(t *testing.T) {
	b := fresh(t)
	b.fill(t, "g", "s0", 0, 1)
	var wg sync.WaitGroup
	for i := range 4 {
		wg.Go(func() {
			for j := range 40 {
				b.fill(t, "g", fmt.Sprint("s", i+1), j*5, 5)
			}
		})
		wg.Go(func() {
			for range 20 {
				call(t, b, wlogs.FilterLogEvents, wlogs.FilterLogEventsInput{LogGroupName: "g"})
			}
		})
	}
	wg.Wait()
	for i := range 4 {
		if got := readAll(t, b, "g", fmt.Sprint("s", i+1)); len(got) != 200 {
			t.Errorf("stream %d has %d lines", i, len(got))
		}
	}
	checkChunks(t, b)
}

func TestExpire(t *testing.T) {
	b := fresh(t)
	hours := make([]telemetry.Event, 72)
	for i := range hours {
		hours[i] = telemetry.Event{Time: start.Add(time.Duration(i-71)*time.Hour + 30*time.Minute), Message: fmt.Sprint("hour ", i-71)}
	}
	for _, g := range []string{"kept", "short"} {
		if err := b.Append(caller, at(g, "s"), 0, 72, hours); err != nil {
			t.Fatal(err)
		}
	}
	minutes := make([]telemetry.Event, 60) // one chunk that the bound cuts
	for i := range minutes {
		minutes[i] = telemetry.Event{Time: start.Add(-24*time.Hour + time.Duration(i-30)*time.Minute), Message: fmt.Sprint("minute ", i)}
	}
	if err := b.Append(caller, at("short", "m"), 0, 60, minutes); err != nil {
		t.Fatal(err)
	}
	call(t, b, wlogs.PutRetentionPolicy, wlogs.PutRetentionPolicyInput{LogGroupName: "short", RetentionInDays: new(int64(1))})
	check := func(when string) {
		t.Helper()
		if got := readAll(t, b, "kept", "s"); len(got) != 72 {
			t.Errorf("%s: the other group has %d events", when, len(got))
		}
		if got := readAll(t, b, "short", "s"); len(got) != 25 || got[0] != "hour -24" {
			t.Errorf("%s: %d events are left, from %q", when, len(got), got[0])
		}
		if got := readAll(t, b, "short", "m"); len(got) != 30 || got[0] != "minute 30" {
			t.Errorf("%s: %d events are left, from %q", when, len(got), got[0])
		}
		if got := call(t, b, wlogs.FilterLogEvents, wlogs.FilterLogEventsInput{LogGroupName: "short"}).Events; len(got) != 55 {
			t.Errorf("%s: the filter finds %d", when, len(got))
		}
	}
	check("before they are removed")
	ctx, cancel := context.WithCancel(caller)
	done := make(chan error)
	go func() { done <- b.Run(ctx) }()
	count := func() (n int) {
		if err := b.file.Read(caller, func(q sqlfile.Querier) error {
			return q.QueryRowContext(caller, "SELECT count(*) FROM chunk WHERE last_ts < ? AND loggroup IN (SELECT id FROM loggroup WHERE name = 'short')",
				start.Add(-24*time.Hour).UnixMilli()).Scan(&n)
		}); err != nil {
			t.Fatal(err)
		}
		return n
	}
	for deadline := time.Now().Add(20 * time.Second); count() > 0 && time.Now().Before(deadline); {
		time.Sleep(time.Millisecond) // poll: Run has no other sign
	}
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
	if n := count(); n != 0 {
		t.Errorf("%d chunks are left on disk", n)
	}
	check("after")
	checkChunks(t, b)
	s := call(t, b, wlogs.DescribeLogStreams, wlogs.DescribeLogStreamsInput{LogGroupName: "short", LogStreamNamePrefix: "m"}).LogStreams[0]
	if *s.FirstEventTimestamp != start.Add(-24*time.Hour).UnixMilli() {
		t.Errorf("first event is at %d", *s.FirstEventTimestamp)
	}
}

func TestDeletedStreamsGiveUpTheirSpace(t *testing.T) {
	b := fresh(t)
	for i := range 300 {
		b.fill(t, "g", fmt.Sprint("s", i), i, 2)
	}
	call(t, b, wlogs.DeleteLogGroup, wlogs.DeleteLogGroupInput{LogGroupName: "g"})
	if err := b.sweep(caller); err != nil {
		t.Fatal(err)
	}
	var chunks, free int
	err := b.file.Read(caller, func(q sqlfile.Querier) error {
		return errors.Join(q.QueryRowContext(caller, "SELECT count(*) FROM chunk").Scan(&chunks), q.QueryRowContext(caller, "PRAGMA freelist_count").Scan(&free))
	})
	if err != nil || chunks != 0 || free != 0 {
		t.Errorf("%d chunks, %d free pages, %v", chunks, free, err)
	}
}

func BenchmarkAppend(b *testing.B) {
	for _, n := range []int{1, 10, 100, 1000, 4000} {
		b.Run(fmt.Sprint(n, " lines"), func(b *testing.B) {
			s := fresh(b)
			events := make([]telemetry.Event, n)
			var offset int64
			i := 0
			for b.Loop() {
				for j := range events {
					i++
					events[j] = telemetry.Event{Time: start.Add(time.Duration(i) * time.Millisecond),
						Message: fmt.Sprintf("[%d] step %d loss=%.6f lr=0.001 throughput=%d samples/s", i, i*7, 1/float64(i), i%977)}
				}
				if err := s.Append(caller, at("g", "s"), offset, offset+int64(n), events); err != nil {
					b.Fatal(err)
				}
				offset += int64(n)
			}
			b.ReportMetric(float64(i)/b.Elapsed().Seconds(), "lines/s")
		})
	}
}
