// SPDX-License-Identifier: Apache-2.0

package logs

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/sagebrush-ml/sagebrush/internal/telemetry"
	wlogs "github.com/sagebrush-ml/sagebrush/internal/wire/logs"
)

func TestGetLogEvents(t *testing.T) {
	b := fresh(t)
	const n = 25
	for i := range n { // one line at a time, so that chunks are merged on the way
		b.fill(t, "g", "s", i, 1)
	}
	ms := func(i int) *int64 { return new(start.Add(time.Duration(i) * time.Second).UnixMilli()) }
	get := func(in wlogs.GetLogEventsInput) *wlogs.GetLogEventsOutput {
		t.Helper()
		in.LogGroupName, in.LogStreamName = "g", "s"
		return call(t, b, wlogs.GetLogEvents, in)
	}
	want := func(lo, hi int) []string {
		var out []string
		for i := lo; i < hi; i++ {
			out = append(out, fmt.Sprintf("line %d", i))
		}
		return out
	}
	for _, tt := range []struct {
		name   string
		in     wlogs.GetLogEventsInput
		lo, hi int
	}{
		{"all of them fit", wlogs.GetLogEventsInput{}, 0, n},
		{"the newest page comes first by default", wlogs.GetLogEventsInput{Limit: new(int64(4))}, n - 4, n},
		{"the oldest page comes first from the head", wlogs.GetLogEventsInput{Limit: new(int64(4)), StartFromHead: new(true)}, 0, 4},
		{"the start is included and the end is not", wlogs.GetLogEventsInput{StartTime: ms(3), EndTime: ms(9)}, 3, 9},
		{"the end of a range, newest first", wlogs.GetLogEventsInput{StartTime: ms(3), EndTime: ms(9), Limit: new(int64(2))}, 7, 9},
		{"the head of a range", wlogs.GetLogEventsInput{StartTime: ms(3), EndTime: ms(9), Limit: new(int64(2)), StartFromHead: new(true)}, 3, 5},
		{"a range behind the end is empty", wlogs.GetLogEventsInput{StartTime: ms(99)}, 0, 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			out := get(tt.in)
			if got := messages(out.Events); !slices.Equal(got, want(tt.lo, tt.hi)) {
				t.Errorf("got %q", got)
			}
			if out.NextForwardToken == "" || out.NextBackwardToken == "" || out.Events == nil {
				t.Errorf("tokens %q, %q", out.NextForwardToken, out.NextBackwardToken)
			}
		})
	}
	t.Run("pages forward give everything once and the last token stays", func(t *testing.T) {
		var all []string
		in := wlogs.GetLogEventsInput{StartFromHead: new(true), Limit: new(int64(7))}
		for {
			out := get(in)
			if len(out.Events) == 0 {
				if out.NextForwardToken != in.NextToken {
					t.Errorf("token moved from %s to %s", in.NextToken, out.NextForwardToken)
				}
				break
			}
			all, in.NextToken = append(all, messages(out.Events)...), out.NextForwardToken
		}
		if !slices.Equal(all, want(0, n)) {
			t.Errorf("got %q", all)
		}
		b.fill(t, "g", "s", n, 1)
		if got := messages(get(in).Events); !slices.Equal(got, want(n, n+1)) {
			t.Errorf("the token at the end does not lead to what came later: %q", got)
		}
		b.fill(t, "g", "s", n, 1)
	})
	t.Run("pages backward end with a token that stays", func(t *testing.T) {
		in := wlogs.GetLogEventsInput{Limit: new(int64(10)), EndTime: ms(n)}
		var all []string
		for {
			out := get(in)
			if len(out.Events) == 0 {
				if out.NextBackwardToken != in.NextToken {
					t.Error("token moved")
				}
				break
			}
			all, in.NextToken = append(messages(out.Events), all...), out.NextBackwardToken
		}
		if !slices.Equal(all, want(0, n)) {
			t.Errorf("got %q", all)
		}
	})
	refused(t, b, wlogs.GetLogEvents, wlogs.GetLogEventsInput{LogGroupName: "g", LogStreamName: "s", NextToken: "f/1"}, "InvalidParameterException", "nextToken is invalid")
	refused(t, b, wlogs.GetLogEvents, wlogs.GetLogEventsInput{LogGroupName: "g", LogStreamName: "s", NextToken: token('f', cut{}, 99)}, "InvalidParameterException", "nextToken is invalid")
	refused(t, b, wlogs.GetLogEvents, wlogs.GetLogEventsInput{LogGroupName: "g", LogStreamName: "s", StartTime: ms(2), EndTime: ms(1)}, "InvalidParameterException", "startTime")
	refused(t, b, wlogs.GetLogEvents, wlogs.GetLogEventsInput{LogGroupName: "g", LogGroupIdentifier: "g", LogStreamName: "s"}, "InvalidParameterException", "exclusive")
	refused(t, b, wlogs.GetLogEvents, wlogs.GetLogEventsInput{LogGroupName: "g", LogStreamName: "none"}, "ResourceNotFoundException", "log stream")
}

func TestAnEmptyStreamCanBeFollowed(t *testing.T) {
	for _, head := range []bool{false, true} {
		b := fresh(t)
		call(t, b, wlogs.CreateLogGroup, wlogs.CreateLogGroupInput{LogGroupName: "g"})
		call(t, b, wlogs.CreateLogStream, wlogs.CreateLogStreamInput{LogGroupName: "g", LogStreamName: "s"})
		in := wlogs.GetLogEventsInput{LogGroupName: "g", LogStreamName: "s", StartFromHead: &head}
		in.NextToken = call(t, b, wlogs.GetLogEvents, in).NextForwardToken
		b.fill(t, "g", "s", 0, 1)
		if got := messages(call(t, b, wlogs.GetLogEvents, in).Events); !slices.Equal(got, []string{"line 0"}) {
			t.Errorf("from head %v: got %q", head, got)
		}
	}
}

func TestAPageHoldsOneMegabyte(t *testing.T) {
	b := fresh(t)
	var events []telemetry.Event
	for i := range 20 {
		events = append(events, telemetry.Event{Time: start.Add(time.Duration(i) * time.Millisecond), Message: strings.Repeat(string(rune('a'+i)), 100_000)})
	}
	if err := b.Append(caller, at("g", "s"), 0, 1, events); err != nil {
		t.Fatal(err)
	}
	out := call(t, b, wlogs.GetLogEvents, wlogs.GetLogEventsInput{LogGroupName: "g", LogStreamName: "s"})
	if len(out.Events) != 10 || out.Events[9].Message[0] != 't' {
		t.Errorf("the newest page has %d events", len(out.Events))
	}
	page := call(t, b, wlogs.FilterLogEvents, wlogs.FilterLogEventsInput{LogGroupName: "g"})
	if len(page.Events) != 10 || page.Events[0].Message[0] != 'a' || page.NextToken == "" {
		t.Errorf("the first page has %d events", len(page.Events))
	}
}

func TestLongAndEmptyMessages(t *testing.T) {
	b := fresh(t)
	long := strings.Repeat("日本", maxMessage/5)
	if err := b.Append(caller, at("g", "s"), 0, 1, []telemetry.Event{{Time: start, Message: ""}, {Time: start, Message: long}}); err != nil {
		t.Fatal(err)
	}
	got := messages(call(t, b, wlogs.GetLogEvents, wlogs.GetLogEventsInput{LogGroupName: "g", LogStreamName: "s"}).Events)
	if got[0] != " " || strings.Join(got[1:], "") != long || len(got) != 3 {
		t.Errorf("got %d events", len(got))
	}
}

func TestFilterLogEvents(t *testing.T) {
	b := fresh(t)
	// Two streams whose events alternate, and one that begins late.
	for i := range 6 {
		b.fill(t, "g", fmt.Sprintf("job/%d", i%2), i, 1)
	}
	b.fill(t, "g", "other", 100, 2)
	ms := func(i int) *int64 { return new(start.Add(time.Duration(i) * time.Second).UnixMilli()) }
	for _, tt := range []struct {
		name string
		in   wlogs.FilterLogEventsInput
		want string
	}{
		{"all streams by time", wlogs.FilterLogEventsInput{}, "0 1 2 3 4 5 100 101"},
		{"one to a page", wlogs.FilterLogEventsInput{Limit: new(int64(1))}, "0 1 2 3 4 5 100 101"},
		{"by prefix", wlogs.FilterLogEventsInput{LogStreamNamePrefix: "job/", Limit: new(int64(4))}, "0 1 2 3 4 5"},
		{"by name", wlogs.FilterLogEventsInput{LogStreamNames: []string{"job/1"}}, "1 3 5"},
		{"start and end are both included", wlogs.FilterLogEventsInput{StartTime: ms(2), EndTime: ms(4)}, "2 3 4"},
		{"by pattern", wlogs.FilterLogEventsInput{FilterPattern: `?"line 3" ?"line 10"`, Limit: new(int64(1))}, "3 100 101"},
		{"a prefix that nothing has", wlogs.FilterLogEventsInput{LogStreamNamePrefix: "zzz"}, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var got []string
			ids := map[string]bool{}
			tt.in.LogGroupName = "g"
			for {
				page := call(t, b, wlogs.FilterLogEvents, tt.in)
				for _, e := range page.Events {
					got = append(got, strings.TrimPrefix(e.Message, "line "))
					ids[e.EventId] = true
				}
				if tt.in.NextToken = page.NextToken; page.NextToken == "" {
					break
				}
			}
			if strings.Join(got, " ") != tt.want || len(ids) != len(got) {
				t.Errorf("got %q with %d IDs, want %q", got, len(ids), tt.want)
			}
		})
	}
	filter := wlogs.FilterLogEvents
	refused(t, b, filter, wlogs.FilterLogEventsInput{LogGroupName: "none"}, "ResourceNotFoundException", "log group")
	refused(t, b, filter, wlogs.FilterLogEventsInput{LogGroupName: "g", LogStreamNames: []string{"none"}}, "ResourceNotFoundException", "log stream")
	refused(t, b, filter, wlogs.FilterLogEventsInput{LogGroupName: "g", LogStreamNames: []string{"other"}, LogStreamNamePrefix: "o"}, "InvalidParameterException", "exclusive")
	refused(t, b, filter, wlogs.FilterLogEventsInput{LogGroupName: "g", FilterPattern: "{ $.x"}, "InvalidParameterException", "Invalid filter pattern")
	refused(t, b, filter, wlogs.FilterLogEventsInput{LogGroupName: "g", NextToken: "x"}, "InvalidParameterException", "nextToken is invalid")
	refused(t, b, filter, wlogs.FilterLogEventsInput{LogGroupName: "g", StartFromHead: new(false)}, "InvalidParameterException", "startFromHead")
	refused(t, b, filter, wlogs.FilterLogEventsInput{LogGroupName: "g", StartTime: ms(2), EndTime: ms(1)}, "InvalidParameterException", "startTime")
}

func FuzzChunk(f *testing.F) {
	c, err := newCodec()
	if err != nil {
		f.Fatal(err)
	}
	f.Add(c.encode([]event{{1, 2, 3, "x"}, {4, 5, 6, ""}}))
	f.Add(c.encode([]event{{1 << 40, 1, 0, strings.Repeat("abc", 500)}}))
	f.Add([]byte{plain, 2, 0})
	f.Fuzz(func(t *testing.T, b []byte) {
		events, err := c.decode(b)
		if err != nil {
			return
		}
		again, err := c.decode(c.encode(events))
		if err != nil || !slices.Equal(events, again) {
			t.Errorf("%v came back as %v, %v", events, again, err)
		}
	})
}
