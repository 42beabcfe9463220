// SPDX-License-Identifier: Apache-2.0

//go:build linux

package logs

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/sagebrush-ml/sagebrush/internal/algo/xgboost"
	"github.com/sagebrush-ml/sagebrush/internal/runtime"
	"github.com/sagebrush-ml/sagebrush/internal/runtime/process"
	"github.com/sagebrush-ml/sagebrush/internal/telemetry"
	wlogs "github.com/sagebrush-ml/sagebrush/internal/wire/logs"
)

// TestMain lets the test's own binary be a task's parent and its command.
func TestMain(m *testing.M) {
	if len(os.Args) > 1 {
		switch os.Args[1] {
		case "task":
			os.Exit(process.RunTask(os.Args[2:]))
		case "print":
			printLines(os.Args[2], os.Args[3])
			os.Exit(0)
		case "binary":
			printBinary()
			os.Exit(0)
		}
	}
	os.Exit(m.Run())
}

// sizedLine is the n-th line of a chatty job, 100 bytes with its end; every
// hundredth one has a value of two of XGBoost's metrics.
func sizedLine(n int) string {
	text := fmt.Sprintf("step %08d loss=0.693147 lr=0.001 throughput=812 samples/s of a job that tells of each step", n)
	if n%100 == 0 {
		text = fmt.Sprintf("[%d]\ttrain-logloss:0.%06d\tvalidation-logloss:0.%06d of a round of boosting", n, n%1_000_000, n%999_983)
	}
	return (text + strings.Repeat(".", 99))[:99] + "\n"
}

// printLines prints so many lines, at most rate of them a second when that is
// not zero.
func printLines(count, rate string) {
	n, _ := strconv.Atoi(count)
	perSecond, _ := strconv.Atoi(rate)
	out := bufio.NewWriterSize(os.Stdout, 1<<16)
	began := time.Now()
	for i := range n {
		_, _ = out.WriteString(sizedLine(i))
		if perSecond > 0 && i%100 == 99 {
			_ = out.Flush()
			time.Sleep(time.Until(began.Add(time.Duration(i+1) * time.Second / time.Duration(perSecond))))
		}
	}
	_ = out.Flush()
}

// printBinary prints what no terminal likes: four million random bytes, a line of
// a million letters, a progress bar, and a last line without an end.
func printBinary() {
	random := make([]byte, 4<<20)
	_, _ = rand.NewChaCha8([32]byte{1}).Read(random)
	_, _ = os.Stdout.Write(random)
	fmt.Printf("\n%s\n\r 50%%|##  |\r100%%|####|\nthe end", strings.Repeat("é", 1_000_000))
}

// path runs a task that prints and ships its log with the metrics of XGBoost
// into b, and answers when all is kept, and how many values were found.
func (b *bench) path(t testing.TB, r *process.Runtime, name string, args ...string) (values int) {
	t.Helper()
	var definitions []telemetry.Definition
	for _, m := range (xgboost.Algorithm{}).Spec().Metrics {
		definitions = append(definitions, telemetry.Definition{Name: m.Name, Regex: m.Regex})
	}
	scraper, err := telemetry.NewScraper(definitions)
	if err != nil {
		t.Fatal(err)
	}
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	id := runtime.ID(name)
	if err := r.Start(t.Context(), runtime.Task{ID: id, Command: append([]string{exe}, args...)}); err != nil {
		t.Fatal(err)
	}
	err = telemetry.Ship(t.Context(), telemetry.Shipment{Logs: b, At: at("g", name),
		Open: func(ctx context.Context, from int64) (io.ReadCloser, error) { return r.Logs(ctx, id, from) },
		Observe: func(events []telemetry.Event, _ bool) {
			for _, e := range events {
				values += len(scraper.Scan(e))
			}
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	return values
}

func taskRuntime(t testing.TB) *process.Runtime {
	t.Helper()
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	r, err := process.New(process.Options{Dir: t.TempDir(), Self: []string{exe, "task"}})
	if err != nil {
		t.Skip(err)
	}
	return r
}

// A task prints as fast as it can, or 50,000 lines a second, through its
// parent, the log file, the shipper with the metrics of XGBoost, into the store:
// every line is there once, in order, and soon.
func TestNoLineIsLostOnTheWholePath(t *testing.T) {
	r := taskRuntime(t)
	for _, c := range []struct {
		name        string
		lines, rate int
	}{{"as fast as it can", 100_000, 0}, {"50,000 lines a second", 50_000, 50_000}} {
		t.Run(c.name, func(t *testing.T) {
			b := fresh(t)
			b.Service.now = time.Now
			began := time.Now()
			values := b.path(t, r, fmt.Sprintf("rate%d", c.rate), "print", strconv.Itoa(c.lines), strconv.Itoa(c.rate))
			took := time.Since(began)
			if want := c.lines / 100 * 2; values != want {
				t.Errorf("%d metric values were found, want %d", values, want)
			}
			i, latest := 0, int64(0)
			in := wlogs.GetLogEventsInput{LogGroupName: "g", LogStreamName: fmt.Sprintf("rate%d", c.rate), StartFromHead: new(true)}
			for {
				page := call(t, b, wlogs.GetLogEvents, in)
				if len(page.Events) == 0 {
					break
				}
				for _, e := range page.Events {
					if want := telemetry.Text(strings.TrimSuffix(sizedLine(i), "\n")); e.Message != want {
						t.Fatalf("line %d is %q", i, e.Message)
					}
					latest = max(latest, *e.IngestionTime-*e.Timestamp)
					i++
				}
				in.NextToken = page.NextForwardToken
			}
			if i != c.lines {
				t.Errorf("%d lines of %d are kept", i, c.lines)
			}
			t.Logf("%.0f lines/s, the latest after %d ms", float64(c.lines)/took.Seconds(), latest)
			if latest > 10_000 { // a loaded machine has its time
				t.Errorf("a line came after %d ms", latest)
			}
		})
	}
}

func TestAnyBytesPassTheWholePath(t *testing.T) {
	b := fresh(t)
	b.path(t, taskRuntime(t), "binary", "binary")
	got := readAll(t, b, "g", "binary")
	n := len(got)
	if n < 100 || got[n-1] != "the end" || got[n-2] != "#015 50%|##  |#015100%|####|" {
		t.Fatalf("%d events, of which the last are %.100q", n, got[max(n-2, 0):])
	}
	for _, m := range got {
		if !utf8.ValidString(m) || m == "" || len(m) > maxMessage {
			t.Errorf("an event of %d bytes: %.100q", len(m), m)
		}
	}
	// Two million bytes are eight events.
	long := strings.Join(got[n-10:n-2], "")
	if long != strings.Repeat("é", 1_000_000) {
		t.Errorf("the long line has %d bytes", len(long))
	}
}

// endless is the log of a job that prints as fast as it is read.
type endless struct {
	ctx  context.Context
	rest string
	n    int
}

func (e *endless) Read(p []byte) (int, error) {
	if err := e.ctx.Err(); err != nil {
		return 0, err
	}
	if e.rest == "" {
		var b strings.Builder
		for range 1000 {
			fmt.Fprintf(&b, "1795123456789\t%s", sizedLine(e.n))
			e.n++
		}
		e.rest = b.String()
	}
	n := copy(p, e.rest)
	e.rest = e.rest[n:]
	return n, nil
}

func (e *endless) Close() error { return nil }

// Three jobs that print without end leave a fourth its turn: its line is there
// soon.
func TestChattyJobsDoNotDelayAnother(t *testing.T) {
	b := fresh(t)
	ctx, cancel := context.WithCancel(t.Context())
	var jobs sync.WaitGroup
	for i := range 3 {
		jobs.Go(func() {
			err := telemetry.Ship(ctx, telemetry.Shipment{Logs: b, At: at("g", fmt.Sprint("chatty", i)),
				Open: func(ctx context.Context, _ int64) (io.ReadCloser, error) { return &endless{ctx: ctx}, nil }})
			if !errors.Is(err, context.Canceled) {
				t.Errorf("a chatty job: %v", err)
			}
		})
	}
	r, w := io.Pipe()
	quiet := make(chan struct{})
	go func() {
		defer close(quiet)
		err := telemetry.Ship(ctx, telemetry.Shipment{Logs: b, At: at("g", "quiet"),
			Open: func(context.Context, int64) (io.ReadCloser, error) { return r, nil }})
		if err != nil {
			t.Errorf("the quiet job: %v", err)
		}
	}()
	for i := range 10 {
		began := time.Now()
		fmt.Fprintf(w, "1\tline %d\n", i)
		for len(readAll(t, b, "g", "quiet")) <= i {
			if time.Since(began) > 10*time.Second {
				t.Fatalf("line %d is not there after %v", i, time.Since(began))
			}
			time.Sleep(time.Millisecond) // poll: the store tells nobody
		}
		t.Logf("line %d was there after %v", i, time.Since(began).Round(time.Millisecond))
	}
	w.Close()
	<-quiet
	cancel()
	jobs.Wait()
}

// BenchmarkPath is the whole path of three million lines of a job: how many a
// second, and the processor time that the server spends on each.
func BenchmarkPath(b *testing.B) {
	const n = 3_000_000
	r := taskRuntime(b)
	spent := func(who int) time.Duration {
		var u syscall.Rusage
		if err := syscall.Getrusage(who, &u); err != nil {
			b.Fatal(err)
		}
		return time.Duration(u.Utime.Nano() + u.Stime.Nano())
	}
	for b.Loop() {
		s := fresh(b)
		self, began := spent(syscall.RUSAGE_SELF), time.Now()
		s.path(b, r, fmt.Sprintf("b%d", time.Now().UnixNano()), "print", strconv.Itoa(n), "0")
		b.ReportMetric(n/time.Since(began).Seconds(), "lines/s")
		b.ReportMetric((spent(syscall.RUSAGE_SELF)-self).Seconds()*1e9/n, "server-ns/line")
	}
}
