// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"regexp"
	"strings"
	"time"

	"github.com/sagebrush-ml/sagebrush/internal/client"
)

// logReader prints the streams of a job or an endpoint as one log. Each stream
// is read by tokens, so that no line is lost or printed twice, whatever its time.
type logReader struct {
	client *client.Client
	work   *work
	since  time.Time
	host   string // "" for all
	noTime bool
	out    io.Writer

	streams []*logStream
}

// logStream is one stream and what was read ahead of it.
type logStream struct {
	name, label string
	token       string
	page        []logEvent
}

type logEvent struct {
	Timestamp int64
	Message   string
}

// round prints what there is, merged by time. Of work that goes on it prints
// nothing from after the round began, so that the round ends however much a job
// prints, and the hosts keep step.
func (r *logReader) round(ctx context.Context) error {
	out := bufio.NewWriter(r.out)
	until := time.Time{}
	if !r.work.ended() {
		until = time.Now()
	}
	if err := r.find(ctx); err != nil {
		return err
	}
	labels := r.host == "" && max(r.work.instances, len(r.streams)) > 1
	for _, s := range r.streams {
		if err := r.fill(ctx, s, until); err != nil {
			return err
		}
	}
	for {
		var next *logStream
		for _, s := range r.streams {
			if len(s.page) > 0 && (next == nil || s.page[0].Timestamp < next.page[0].Timestamp) {
				next = s
			}
		}
		if next == nil {
			return out.Flush()
		}
		e := next.page[0]
		next.page = next.page[1:]
		if !r.noTime {
			fmt.Fprint(out, time.UnixMilli(e.Timestamp).Format("2006-01-02 15:04:05.000 "))
		}
		if labels {
			fmt.Fprintf(out, "%s | ", next.label)
		}
		fmt.Fprintln(out, e.Message)
		if len(next.page) == 0 {
			if err := out.Flush(); err != nil {
				return err
			}
			if err := r.fill(ctx, next, until); err != nil {
				return err
			}
		}
	}
}

// find adds the streams that are new.
func (r *logReader) find(ctx context.Context) error {
	names, err := r.work.streams(ctx, r.client)
	if err != nil {
		return err
	}
	known := map[string]bool{}
	for _, s := range r.streams {
		known[s.name] = true
	}
	for _, name := range names {
		label := hostOf(r.work, name)
		if !known[name] && (r.host == "" || label == r.host || strings.HasPrefix(label, r.host+"/")) {
			r.streams = append(r.streams, &logStream{name: name, label: label})
		}
	}
	return nil
}

// epoch is the time at the end of a stream's name, before what follows it.
var epoch = regexp.MustCompile(`-\d{9,}(/|$)`)

// hostOf is what people call the host of a stream: "algo-1" of
// "job/algo-1-1795123456"; the streams of an endpoint are called so already.
func hostOf(w *work, stream string) string {
	if w.endpoint() {
		return stream
	}
	return epoch.ReplaceAllString(strings.TrimPrefix(stream, w.name+"/"), "$1")
}

// fill reads the next page of a stream that has none.
func (r *logReader) fill(ctx context.Context, s *logStream, until time.Time) error {
	if len(s.page) > 0 {
		return nil
	}
	in := map[string]any{"logGroupName": r.work.logGroup(), "logStreamName": s.name, "startFromHead": true, "startTime": r.since.UnixMilli()}
	if !until.IsZero() {
		if !until.After(r.since) {
			return nil
		}
		in["endTime"] = until.UnixMilli()
	}
	if s.token != "" {
		in["nextToken"] = s.token
	}
	var page struct {
		Events           []logEvent
		NextForwardToken string
	}
	if err := r.client.Call(ctx, client.Logs, "GetLogEvents", in, &page); err != nil {
		return err
	}
	s.page, s.token = page.Events, page.NextForwardToken
	return nil
}

// pause is how long to wait between two rounds: a moment, and longer when there
// are many streams to ask.
func (r *logReader) pause() time.Duration {
	return min(200*time.Millisecond+time.Duration(len(r.streams))*20*time.Millisecond, 2*time.Second)
}
