// SPDX-License-Identifier: Apache-2.0

package runtimetest

import (
	"bytes"
	"context"
	"errors"
	"io"
	"strings"
	"time"

	"github.com/sagebrush-ml/sagebrush/internal/runtime"
)

// firstLine waits for the first line of the log.
func (s *suite) firstLine(id runtime.ID) string {
	s.Helper()
	ctx, cancel := context.WithTimeout(s.ctx, patience)
	defer cancel()
	l, err := s.rt.Logs(ctx, id, 0)
	if err != nil {
		s.Fatal(err)
	}
	defer l.Close()
	var got []byte
	for buf := make([]byte, 512); !bytes.ContainsRune(got, '\n'); {
		n, err := l.Read(buf)
		got = append(got, buf[:n]...)
		if err != nil {
			s.Fatalf("read log of %s: %v after %q", id, err, got)
		}
	}
	return string(got)
}

func logLines(s *suite) {
	got := s.output(s.scripted("rt-log", `echo one; echo; printf 'a\tb\n'; echo ä`, `say one -- say -- say "a\tb" -- say ä`, "FAKE_LOG", "one\n\na\tb\nä\n"))
	s.equal("log", got, "one\n\na\tb\nä\n")
}

func logOffset(s *suite) {
	s.start(s.scripted("rt-offset", "echo one; echo two", "say one -- say two", "FAKE_LOG", "one\ntwo\n"))
	all := s.log("rt-offset", 0)
	for _, from := range []int{1, strings.IndexByte(all, '\n') + 1, len(all)} {
		s.equal("log", s.log("rt-offset", int64(from)), all[from:])
	}
	s.equal("log past its end", s.log("rt-offset", int64(len(all))+100), "")
}

func logFollow(s *suite) {
	s.start(s.scripted("rt-follow", "echo ready; exec sleep 1000", "say ready -- pause", "FAKE_RUN_FOR", "forever", "FAKE_LOG", "ready\n"))
	s.equal("first line", s.text(s.firstLine("rt-follow")), "ready\n")
	all := make(chan string)
	go func() { all <- s.log("rt-follow", 0) }()
	select {
	case <-all:
		s.Error("the reader ended before the task")
	case <-time.After(50 * time.Millisecond):
	}
	if err := s.rt.Stop(s.ctx, "rt-follow", 0); err != nil {
		s.Fatal(err)
	}
	s.equal("log", s.text(<-all), "ready\n")
}

func logCancel(s *suite) {
	s.start(s.forever("rt-cancel"))
	s.until("rt-cancel", runtime.Running)
	ctx, cancel := context.WithCancel(s.ctx)
	byCtx, err := s.rt.Logs(ctx, "rt-cancel", 0)
	if err != nil {
		s.Fatal(err)
	}
	byClose, err := s.rt.Logs(s.ctx, "rt-cancel", 0)
	if err != nil {
		s.Fatal(err)
	}
	ends := make(chan error, 2)
	for _, l := range []io.Reader{byCtx, byClose} {
		go func() { _, err := io.ReadAll(l); ends <- err }()
	}
	cancel()
	if err := <-ends; !errors.Is(err, context.Canceled) {
		s.Errorf("after cancel: %v", err)
	}
	byClose.Close()
	if err := <-ends; err == nil {
		s.Error("after Close the reader says that the task ended")
	}
}

func events(s *suite) {
	ctx, cancel := context.WithTimeout(s.ctx, patience)
	defer cancel()
	told := s.rt.Events(ctx)
	s.start(s.scripted("rt-event", "exit 0", "exit 0"))
	for id := range told {
		if id == "rt-event" && s.inspect(id).Phase == runtime.Exited {
			return
		}
	}
	s.Error("nothing was told of the end")
}

func eventsClose(s *suite) {
	ctx, cancel := context.WithCancel(s.ctx)
	told := s.rt.Events(ctx)
	cancel()
	deadline := time.After(patience)
	for {
		select {
		case _, ok := <-told:
			if !ok {
				return
			}
		case <-deadline:
			s.Fatal("it stays open")
		}
	}
}
