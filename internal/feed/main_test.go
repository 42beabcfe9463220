// SPDX-License-Identifier: Apache-2.0

//go:build unix

package feed

import (
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/sagebrush-ml/sagebrush/internal/recordio"
	"github.com/sagebrush-ml/sagebrush/internal/runtime/process"
)

// TestMain lets the test's own binary be a feeder as cmd/sagebrush is one, and
// what the process runtime runs a task by.
func TestMain(m *testing.M) {
	if len(os.Args) > 2 {
		switch os.Args[1] {
		case "task":
			os.Exit(process.RunTask(os.Args[2:]))
		case "feed":
			os.Exit(feedMain(os.Args[2]))
		}
	}
	goleak.VerifyTestMain(m)
}

func feedMain(path string) int {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	spec, err := Load(path)
	if err == nil {
		err = Run(ctx, spec, Options{Log: slog.New(slog.NewTextHandler(os.Stdout, nil))})
	}
	if err != nil {
		fmt.Println(err)
		return 1
	}
	return 0
}

// lab is a feeder under test.
type lab struct {
	t    *testing.T
	dir  string
	spec Spec
	o    Options

	stop context.CancelFunc
	done chan error
}

func newLab(t *testing.T) *lab {
	dir := t.TempDir()
	return &lab{t: t, dir: dir, spec: Spec{Version: Version, Failure: filepath.Join(dir, "failure.json")}}
}

// file makes a file to be sent.
func (l *lab) file(name, text string) string {
	l.t.Helper()
	path := filepath.Join(l.dir, name)
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		l.t.Fatal(err)
	}
	return path
}

// channel adds a channel that sends files.
func (l *lab) channel(c Channel, paths ...string) {
	l.t.Helper()
	c.Dir, c.List = filepath.Join(l.dir, "data"), filepath.Join(l.dir, c.Name+".list")
	if err := WriteList(c.List, Files(slices.Values(paths))); err != nil {
		l.t.Fatal(err)
	}
	l.spec.Channels = append(l.spec.Channels, c)
}

// start starts the feeder, which the test must end by stopped or failed.
func (l *lab) start() {
	l.t.Helper()
	if err := Prepare(l.spec); err != nil {
		l.t.Fatal(err)
	}
	ctx, stop := context.WithCancel(l.t.Context())
	l.stop, l.done = stop, make(chan error, 1)
	go func() { l.done <- Run(ctx, l.spec, l.o) }()
	l.t.Cleanup(stop)
}

func (l *lab) wait() error {
	l.t.Helper()
	select {
	case err := <-l.done:
		return err
	case <-time.After(20 * time.Second):
		l.t.Fatal("the feeder does not end")
		return nil
	}
}

// stopped ends the feeder, which must have done all well.
func (l *lab) stopped() {
	l.t.Helper()
	l.stop()
	if err := l.wait(); err != nil {
		l.t.Fatal(err)
	}
	if _, ok, err := ReadFailure(l.spec.Failure); ok || err != nil {
		l.t.Fatalf("a failure is there: %v", err)
	}
}

// failed waits for the feeder's failure.
func (l *lab) failed(says string) Failure {
	l.t.Helper()
	err := l.wait()
	f, ok, readErr := ReadFailure(l.spec.Failure)
	if err == nil || !ok || readErr != nil || !strings.Contains(err.Error(), f.Message) || !strings.Contains(f.Message, says) {
		l.t.Fatalf("error %v, failure %+v (%v), want %q", err, f, readErr, says)
	}
	return f
}

// open opens an epoch's FIFO as a container does, which waits for it.
func (l *lab) open(name string) *os.File {
	l.t.Helper()
	path := filepath.Join(l.dir, "data", name)
	for end := time.Now().Add(20 * time.Second); ; time.Sleep(time.Millisecond) {
		f, err := os.Open(path)
		if err == nil {
			l.t.Cleanup(func() { f.Close() })
			return f
		}
		if !errors.Is(err, fs.ErrNotExist) || time.Now().After(end) {
			l.t.Fatal(err)
		}
	}
}

// read is all of an epoch.
func (l *lab) read(name string) string {
	l.t.Helper()
	f := l.open(name)
	b, err := io.ReadAll(f)
	if err != nil {
		l.t.Fatal(err)
	}
	return string(b)
}

func (l *lab) exists(name string) bool {
	_, err := os.Lstat(filepath.Join(l.dir, "data", name))
	return err == nil
}

func zipped(text string) string {
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	_, _ = w.Write([]byte(text))
	_ = w.Close()
	return b.String()
}

// records frames texts.
func records(t *testing.T, texts ...string) string {
	t.Helper()
	var b bytes.Buffer
	w := recordio.NewWriter(&b)
	for _, text := range texts {
		if err := w.Write([]byte(text)); err != nil {
			t.Fatal(err)
		}
	}
	return b.String()
}
