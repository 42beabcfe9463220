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

func TestPatterns(t *testing.T) {
	for _, tt := range []struct {
		name, pattern string
		yes, no       []string
	}{
		{"an empty pattern matches all", " ", []string{"", "x"}, nil},
		{"terms must all be there", "ERROR timeout", []string{"timeout: ERROR"}, []string{"ERROR", "error timeout"}},
		{"a phrase keeps its spaces", `"disk full"`, []string{"the disk full!"}, []string{"disk  full", "full disk"}},
		{"a phrase may hold a quote", `"a \"b\""`, []string{`a "b"`}, []string{"a b"}},
		{"one of several", "?WARN ?ERROR", []string{"WARN 1", "ERROR 2"}, []string{"INFO"}},
		{"an exclusion", "ERROR -expected", []string{"ERROR"}, []string{"ERROR expected", "x"}},
		{"an excluded phrase", `-"not this"`, []string{"that"}, []string{"not this"}},
		{"a regular expression", "%loss=[0-9]+%", []string{"loss=12"}, []string{"loss=x"}},
		{"a text member", `{ $.level = "error" }`, []string{`{"level":"error"}`, ` {"level":"error","x":1}`}, []string{`{"level":"errors"}`, `{}`, "level error", `"error"`}},
		{"an unquoted text", `{ $.level = error }`, []string{`{"level":"error"}`}, []string{`{"level":"x"}`}},
		{"a wildcard", `{ $.host = "algo-*" }`, []string{`{"host":"algo-12"}`}, []string{`{"host":"xalgo-1"}`}},
		{"numbers", `{ $.code >= 500 }`, []string{`{"code":500}`, `{"code":5e2}`}, []string{`{"code":499}`, `{"code":"500"}`}},
		{"not equal", `{ $.a != "x" }`, []string{`{"a":"y"}`, `{"a":[]}`}, []string{`{"a":"x"}`, `{}`}},
		{"a deep member and an index", `{ $.a.b[1] = 7 }`, []string{`{"a":{"b":[1,7]}}`}, []string{`{"a":{"b":[7]}}`, `{"a":[1,7]}`}},
		{"a quoted member", `{ $.a["b c"] = 1 }`, []string{`{"a":{"b c":1}}`}, []string{`{"a":1}`}},
		{"and binds closer than or", `{ $.a = 1 || $.b = 1 && $.c = 1 }`, []string{`{"a":1}`, `{"b":1,"c":1}`}, []string{`{"b":1}`, `{"c":1}`}},
		{"parentheses", `{ ($.a = 1 || $.b = 1) && $.c = 1 }`, []string{`{"a":1,"c":1}`}, []string{`{"a":1}`}},
		{"null, true, exists", `{ $.a IS NULL && $.b IS TRUE && $.c NOT EXISTS && $.d EXISTS && $.e IS FALSE }`,
			[]string{`{"a":null,"b":true,"d":0,"e":false}`}, []string{`{"a":1,"b":true,"d":0,"e":false}`, `{"a":null,"b":true,"c":1,"d":0,"e":false}`}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			m, err := parsePattern(tt.pattern)
			if err != nil {
				t.Fatal(err)
			}
			for _, y := range tt.yes {
				if !m(y) {
					t.Errorf("%q does not match", y)
				}
			}
			for _, n := range tt.no {
				if m(n) {
					t.Errorf("%q matches", n)
				}
			}
		})
	}
	for _, bad := range []string{`"open`, "%open", "%(%", "?", "- x", `a"b"`, "[a, b]", "{", "{}", "{ $.a }", "{ $. = 1 }", "{ $.a = }", "{ $.a > x }",
		"{ ($.a = 1 }", "{ $.a = 1 ) }", "{ $.a[x] = 1 }", "{ $.a[1 = 1 }", "{ a = 1 }", "{" + strings.Repeat("(", 60) + "$.a=1" + strings.Repeat(")", 60) + "}"} {
		if _, err := parsePattern(bad); err == nil {
			t.Errorf("%q is taken", bad)
		}
	}
}

func FuzzPattern(f *testing.F) {
	f.Add(`?a -"b c" %d+% e`, `{"a":1}`)
	f.Add(`{ ($.a[0].b = "x*" || $.c >= 1e3) && $.d NOT EXISTS }`, `{"a":[{"b":"xy"}]}`)
	f.Fuzz(func(t *testing.T, pattern, message string) {
		if m, err := parsePattern(pattern); err == nil {
			m(message)
			m(`{"a":[{"b":"xy"}],"c":null}`)
		}
	})
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
