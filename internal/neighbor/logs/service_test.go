// SPDX-License-Identifier: Apache-2.0

package logs

import (
	"context"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/sagebrush-ml/sagebrush/internal/auth"
	"github.com/sagebrush-ml/sagebrush/internal/fault"
	"github.com/sagebrush-ml/sagebrush/internal/op"
	"github.com/sagebrush-ml/sagebrush/internal/telemetry"
	"github.com/sagebrush-ml/sagebrush/internal/wire"
	wlogs "github.com/sagebrush-ml/sagebrush/internal/wire/logs"
)

var start = time.Date(2026, 11, 20, 21, 0, 0, 0, time.UTC)

const (
	account = "123456789012"
	region  = "us-east-1"
)

var caller = auth.WithCaller(context.Background(), auth.Caller{Account: account, Region: region})

// bench is a service with its table and a clock that tests turn.
type bench struct {
	*Service
	table *op.Table
	clock time.Time
}

func open(t testing.TB, path string) *bench {
	t.Helper()
	b := &bench{table: op.New(), clock: start}
	s, err := New(Options{Path: path, Now: func() time.Time { return b.clock }})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	s.Install(b.table)
	b.Service = s
	return b
}

func fresh(t testing.TB) *bench { return open(t, filepath.Join(t.TempDir(), "logs.db")) }

// call runs an operation that must succeed.
func call[I, O any](t testing.TB, b *bench, o wire.Op[I, O], in I) *O {
	t.Helper()
	out, err := op.Call(caller, b.table, o, &in)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// refused runs an operation that must answer the fault.
func refused[I, O any](t testing.TB, b *bench, o wire.Op[I, O], in I, code, text string) {
	t.Helper()
	_, err := op.Call(caller, b.table, o, &in)
	f := fault.Of(err)
	if f == nil || f.Code != code || !strings.Contains(f.Message, text) || f.Status != 400 {
		t.Errorf("%s answers %v, want %s with %q", o, err, code, text)
	}
}

func at(group, stream string) telemetry.Stream {
	return telemetry.Stream{Account: account, Region: region, Group: group, Name: stream}
}

// lines are n events, a second apart, that say their number.
func lines(from time.Time, begin, n int) []telemetry.Event {
	out := make([]telemetry.Event, n)
	for i := range out {
		out[i] = telemetry.Event{Time: from.Add(time.Duration(begin+i) * time.Second), Message: fmt.Sprintf("line %d", begin+i)}
	}
	return out
}

func (b *bench) fill(t testing.TB, group, stream string, begin, n int) {
	t.Helper()
	offset, err := b.Offset(caller, at(group, stream))
	if err != nil {
		t.Fatal(err)
	}
	if err := b.Append(caller, at(group, stream), offset, offset+int64(n), lines(start, begin, n)); err != nil {
		t.Fatal(err)
	}
}

func messages(events []wlogs.OutputLogEvent) []string {
	out := make([]string, len(events))
	for i, e := range events {
		out[i] = e.Message
	}
	return out
}

func TestGroups(t *testing.T) {
	b := fresh(t)
	for _, n := range []string{"/a/1", "/a/2", "/b/1"} {
		call(t, b, wlogs.CreateLogGroup, wlogs.CreateLogGroupInput{LogGroupName: n})
	}
	call(t, b, wlogs.CreateLogGroup, wlogs.CreateLogGroupInput{LogGroupName: "/kept", DeletionProtectionEnabled: new(true), LogGroupClass: "INFREQUENT_ACCESS"})
	refused(t, b, wlogs.CreateLogGroup, wlogs.CreateLogGroupInput{LogGroupName: "/a/1"}, "ResourceAlreadyExistsException", "The specified log group already exists")
	refused(t, b, wlogs.CreateLogGroup, wlogs.CreateLogGroupInput{LogGroupName: "aws/x"}, "InvalidParameterException", "reserved")
	refused(t, b, wlogs.DeleteLogGroup, wlogs.DeleteLogGroupInput{LogGroupName: "/none"}, "ResourceNotFoundException", "The specified log group does not exist.")
	refused(t, b, wlogs.DeleteLogGroup, wlogs.DeleteLogGroupInput{LogGroupName: "/kept"}, "ValidationException", "deletion protection")
	refused(t, b, wlogs.DescribeLogGroups, wlogs.DescribeLogGroupsInput{LogGroupNamePrefix: "/a", LogGroupNamePattern: "a"}, "InvalidParameterException", "exclusive")
	refused(t, b, wlogs.DescribeLogGroups, wlogs.DescribeLogGroupsInput{NextToken: "?"}, "InvalidParameterException", "nextToken is invalid")
	refused(t, b, wlogs.PutRetentionPolicy, wlogs.PutRetentionPolicyInput{LogGroupName: "/a/1", RetentionInDays: new(int64(2))}, "InvalidParameterException", "retentionInDays")
	refused(t, b, wlogs.PutRetentionPolicy, wlogs.PutRetentionPolicyInput{LogGroupName: "/x", RetentionInDays: new(int64(1))}, "ResourceNotFoundException", "group")
	refused(t, b, wlogs.DeleteRetentionPolicy, wlogs.DeleteRetentionPolicyInput{LogGroupName: "/x"}, "ResourceNotFoundException", "group")

	names := func(in wlogs.DescribeLogGroupsInput) (out []string) {
		t.Helper()
		for {
			page := call(t, b, wlogs.DescribeLogGroups, in)
			for _, g := range page.LogGroups {
				out = append(out, g.LogGroupName)
			}
			if in.NextToken = page.NextToken; in.NextToken == "" {
				return out
			}
		}
	}
	for _, tt := range []struct {
		name string
		in   wlogs.DescribeLogGroupsInput
		want []string
	}{
		{"all, one to a page", wlogs.DescribeLogGroupsInput{Limit: new(int64(1))}, []string{"/a/1", "/a/2", "/b/1", "/kept"}},
		{"by prefix", wlogs.DescribeLogGroupsInput{LogGroupNamePrefix: "/a/"}, []string{"/a/1", "/a/2"}},
		{"by pattern, whatever the case", wlogs.DescribeLogGroupsInput{LogGroupNamePattern: "B/"}, []string{"/b/1"}},
		{"by ARN", wlogs.DescribeLogGroupsInput{LogGroupIdentifiers: []string{"arn:aws:logs:us-east-1:123456789012:log-group:/a/2"}}, []string{"/a/2"}},
		{"by class", wlogs.DescribeLogGroupsInput{LogGroupClass: "INFREQUENT_ACCESS"}, []string{"/kept"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if got := names(tt.in); !slices.Equal(got, tt.want) {
				t.Errorf("got %q, want %q", got, tt.want)
			}
		})
	}
	call(t, b, wlogs.PutRetentionPolicy, wlogs.PutRetentionPolicyInput{LogGroupName: "/a/1", RetentionInDays: new(int64(7))})
	b.fill(t, "/a/1", "s", 0, 3)
	g := call(t, b, wlogs.DescribeLogGroups, wlogs.DescribeLogGroupsInput{LogGroupNamePrefix: "/a/1"}).LogGroups[0]
	if g.Arn != "arn:aws:logs:us-east-1:123456789012:log-group:/a/1:*" || *g.RetentionInDays != 7 || *g.StoredBytes != 3*(6+26) || *g.CreationTime != start.UnixMilli() {
		t.Errorf("group is %+v", g)
	}
	call(t, b, wlogs.DeleteRetentionPolicy, wlogs.DeleteRetentionPolicyInput{LogGroupName: "/a/1"})
	if g := call(t, b, wlogs.DescribeLogGroups, wlogs.DescribeLogGroupsInput{LogGroupNamePrefix: "/a/1"}).LogGroups[0]; g.RetentionInDays != nil {
		t.Errorf("retention is %d", *g.RetentionInDays)
	}
	call(t, b, wlogs.DeleteLogGroup, wlogs.DeleteLogGroupInput{LogGroupName: "/a/1"})
	refused(t, b, wlogs.GetLogEvents, wlogs.GetLogEventsInput{LogGroupName: "/a/1", LogStreamName: "s"}, "ResourceNotFoundException", "log group")
}

func TestStreams(t *testing.T) {
	b := fresh(t)
	const g = "/aws/sagemaker/TrainingJobs"
	describe := wlogs.DescribeLogStreams
	refused(t, b, describe, wlogs.DescribeLogStreamsInput{LogGroupName: g}, "ResourceNotFoundException", "The specified log group does not exist.")
	refused(t, b, wlogs.CreateLogStream, wlogs.CreateLogStreamInput{LogGroupName: g, LogStreamName: "x"}, "ResourceNotFoundException", "group")
	b.fill(t, g, "job/algo-1", 0, 2)
	b.fill(t, g, "job/algo-2", 10, 2)
	b.fill(t, g, "other/algo-1", 5, 2)
	call(t, b, wlogs.CreateLogStream, wlogs.CreateLogStreamInput{LogGroupName: g, LogStreamName: "empty"})
	refused(t, b, wlogs.CreateLogStream, wlogs.CreateLogStreamInput{LogGroupName: g, LogStreamName: "empty"}, "ResourceAlreadyExistsException", "stream already exists")
	refused(t, b, wlogs.DeleteLogStream, wlogs.DeleteLogStreamInput{LogGroupName: g, LogStreamName: "none"}, "ResourceNotFoundException", "The specified log stream does not exist.")
	refused(t, b, describe, wlogs.DescribeLogStreamsInput{LogGroupName: g, OrderBy: "LastEventTime", LogStreamNamePrefix: "j"}, "InvalidParameterException", "Cannot order by LastEventTime with a logStreamNamePrefix.")
	refused(t, b, describe, wlogs.DescribeLogStreamsInput{}, "InvalidParameterException", "must be specified")
	refused(t, b, describe, wlogs.DescribeLogStreamsInput{LogGroupName: g, NextToken: makeToken("t5/x")}, "InvalidParameterException", "nextToken is invalid")

	for _, tt := range []struct {
		name string
		in   wlogs.DescribeLogStreamsInput
		want []string
	}{
		{"by name", wlogs.DescribeLogStreamsInput{}, []string{"empty", "job/algo-1", "job/algo-2", "other/algo-1"}},
		{"by name, backwards, in pages", wlogs.DescribeLogStreamsInput{Descending: new(true), Limit: new(int64(1))}, []string{"other/algo-1", "job/algo-2", "job/algo-1", "empty"}},
		{"by prefix, in pages", wlogs.DescribeLogStreamsInput{LogStreamNamePrefix: "job/", Limit: new(int64(1))}, []string{"job/algo-1", "job/algo-2"}},
		{"latest first, in pages", wlogs.DescribeLogStreamsInput{OrderBy: "LastEventTime", Descending: new(true), Limit: new(int64(1))}, []string{"job/algo-2", "other/algo-1", "job/algo-1", "empty"}},
		{"by time", wlogs.DescribeLogStreamsInput{OrderBy: "LastEventTime"}, []string{"empty", "job/algo-1", "other/algo-1", "job/algo-2"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var got []string
			tt.in.LogGroupName = g
			for {
				page := call(t, b, describe, tt.in)
				for _, s := range page.LogStreams {
					got = append(got, s.LogStreamName)
				}
				if tt.in.NextToken = page.NextToken; page.NextToken == "" {
					break
				}
			}
			if !slices.Equal(got, tt.want) {
				t.Errorf("got %q, want %q", got, tt.want)
			}
		})
	}
	t.Run("no token when all fit exactly", func(t *testing.T) {
		if page := call(t, b, describe, wlogs.DescribeLogStreamsInput{LogGroupName: g, LogStreamNamePrefix: "job/", Limit: new(int64(2))}); page.NextToken != "" || len(page.LogStreams) != 2 {
			t.Errorf("got %+v", page)
		}
	})
	s := call(t, b, describe, wlogs.DescribeLogStreamsInput{LogGroupIdentifier: "arn:aws:logs:us-east-1:123456789012:log-group:" + g, LogStreamNamePrefix: "job/algo-2"}).LogStreams[0]
	if *s.FirstEventTimestamp != start.Add(10*time.Second).UnixMilli() || *s.LastEventTimestamp != start.Add(11*time.Second).UnixMilli() ||
		*s.LastIngestionTime != start.UnixMilli() || *s.StoredBytes == 0 || s.UploadSequenceToken == "" ||
		s.Arn != "arn:aws:logs:us-east-1:123456789012:log-group:"+g+":log-stream:job/algo-2" {
		t.Errorf("stream is %+v", s)
	}
	if s := call(t, b, describe, wlogs.DescribeLogStreamsInput{LogGroupName: g, LogStreamNamePrefix: "empty"}).LogStreams[0]; s.FirstEventTimestamp != nil || s.LastEventTimestamp != nil {
		t.Errorf("stream without events is %+v", s)
	}
	call(t, b, wlogs.DeleteLogStream, wlogs.DeleteLogStreamInput{LogGroupName: g, LogStreamName: "job/algo-1"})
	refused(t, b, wlogs.GetLogEvents, wlogs.GetLogEventsInput{LogGroupName: g, LogStreamName: "job/algo-1"}, "ResourceNotFoundException", "log stream")
	b.fill(t, g, "job/algo-1", 7, 1) // a new stream of the same name begins empty
	if got := messages(call(t, b, wlogs.GetLogEvents, wlogs.GetLogEventsInput{LogGroupName: g, LogStreamName: "job/algo-1"}).Events); !slices.Equal(got, []string{"line 7"}) {
		t.Errorf("got %q", got)
	}
}

func TestPutLogEvents(t *testing.T) {
	b := fresh(t)
	put := wlogs.PutLogEvents
	e := func(offset time.Duration, message string) wlogs.InputLogEvent {
		return wlogs.InputLogEvent{Timestamp: new(start.Add(offset).UnixMilli()), Message: message}
	}
	in := func(events ...wlogs.InputLogEvent) wlogs.PutLogEventsInput {
		return wlogs.PutLogEventsInput{LogGroupName: "g", LogStreamName: "s", LogEvents: events}
	}
	refused(t, b, put, in(e(0, "x")), "ResourceNotFoundException", "log group")
	call(t, b, wlogs.CreateLogGroup, wlogs.CreateLogGroupInput{LogGroupName: "g"})
	refused(t, b, put, in(e(0, "x")), "ResourceNotFoundException", "log stream")
	call(t, b, wlogs.CreateLogStream, wlogs.CreateLogStreamInput{LogGroupName: "g", LogStreamName: "s"})
	refused(t, b, put, in(e(1, "a"), e(-time.Second, "b")), "InvalidParameterException", "chronological order")
	refused(t, b, put, in(e(0, "a"), e(25*time.Hour, "b")), "InvalidParameterException", "24 hours")
	refused(t, b, put, in(e(0, strings.Repeat("x", 1<<20))), "InvalidParameterException", "Upload too large")
	refused(t, b, put, in(), "ValidationException", "length greater than or equal to 1")

	out := call(t, b, put, in(e(0, "b"), e(0, "c"), e(time.Second, "d"), e(3*time.Hour, "of the future")))
	if out.NextSequenceToken == "" || out.RejectedLogEventsInfo == nil || *out.RejectedLogEventsInfo.TooNewLogEventStartIndex != 3 {
		t.Errorf("got %+v", out)
	}
	out = call(t, b, put, in(e(-15*24*time.Hour, "old")))
	if out.RejectedLogEventsInfo == nil || *out.RejectedLogEventsInfo.TooOldLogEventEndIndex != 1 {
		t.Errorf("got %+v", out.RejectedLogEventsInfo)
	}
	call(t, b, wlogs.PutRetentionPolicy, wlogs.PutRetentionPolicyInput{LogGroupName: "g", RetentionInDays: new(int64(1))})
	out = call(t, b, put, in(e(-25*time.Hour, "expired"), e(-time.Hour, "a")))
	if out.RejectedLogEventsInfo == nil || *out.RejectedLogEventsInfo.ExpiredLogEventEndIndex != 1 || out.RejectedLogEventsInfo.TooOldLogEventEndIndex != nil {
		t.Errorf("got %+v", out.RejectedLogEventsInfo)
	}
	got := messages(call(t, b, wlogs.GetLogEvents, wlogs.GetLogEventsInput{LogGroupName: "g", LogStreamName: "s"}).Events)
	if !slices.Equal(got, []string{"a", "b", "c", "d"}) {
		t.Errorf("late events are not in place: %q", got)
	}
}
