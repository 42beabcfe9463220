// SPDX-License-Identifier: Apache-2.0

package telemetry

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/iotest"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// keeper is a Logs in memory.
type keeper struct {
	mu      sync.Mutex
	offset  int64
	made    bool
	events  []Event
	batches []int
	fail    func(call int) (before, after error) // of the n-th append
	calls   int
}

func (k *keeper) Offset(context.Context, Stream) (int64, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.offset, nil
}

func (k *keeper) Append(_ context.Context, _ Stream, from, to int64, events []Event) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.calls++
	var before, after error
	if k.fail != nil {
		before, after = k.fail(k.calls)
	}
	if before != nil {
		return before
	}
	if from != k.offset {
		return ErrOffset
	}
	k.made, k.offset = true, to
	k.events = append(k.events, events...)
	if len(events) > 0 {
		k.batches = append(k.batches, len(events))
	}
	return after
}

func (k *keeper) text() []string {
	k.mu.Lock()
	defer k.mu.Unlock()
	var out []string
	for _, e := range k.events {
		out = append(out, e.Message)
	}
	return out
}

func open(log string) func(context.Context, int64) (io.ReadCloser, error) {
	return func(_ context.Context, from int64) (io.ReadCloser, error) {
		return io.NopCloser(strings.NewReader(log[from:])), nil
	}
}

func TestShip(t *testing.T) {
	tests := []struct {
		name, log string
		want      []string
	}{
		{"no lines make an empty stream", "", nil},
		{"a line", "1000\thello\n", []string{"hello"}},
		{"tabs and other control characters are octal", "1000\t[0]\ttrain-auc:0.5\r\x1b\x7f\n", []string{"[0]#011train-auc:0.5#015#033#177"}},
		{"empty lines are left out", "1000\ta\n1001\t\n1002\tb\n", []string{"a", "b"}},
		{"letters beyond ASCII stay", "1\tzażółć 漢字\n", []string{"zażółć 漢字"}},
		{"bytes that are no text are replaced", "1\ta\xff\xfeb\n", []string{"a\uFFFDb"}},
		{"a last line without an end counts", "1\ta\n2\tb", []string{"a", "b"}},
		{"a line without a time is text", "torn\n", []string{"torn"}},
		{"a hash stays a hash", "1\t#metrics {}\n", []string{"#metrics {}"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			k := &keeper{}
			if err := Ship(t.Context(), Shipment{Open: open(tt.log), Logs: k}); err != nil {
				t.Fatal(err)
			}
			if got := k.text(); !slices.Equal(got, tt.want) {
				t.Errorf("%q", got)
			}
			if !k.made || k.offset != int64(len(tt.log)) {
				t.Errorf("made %v, offset %d of %d", k.made, k.offset, len(tt.log))
			}
		})
	}
}

func TestShipKeepsTimes(t *testing.T) {
	k := &keeper{}
	if err := Ship(t.Context(), Shipment{Open: open("1795123456789\ta\ntorn\n"), Logs: k}); err != nil {
		t.Fatal(err)
	}
	for _, e := range k.events { // a torn line has the time of the line before
		if e.Time != time.UnixMilli(1795123456789).UTC() {
			t.Errorf("%q is of %v", e.Message, e.Time)
		}
	}
}

// In a bubble no time passes while there are lines, so only counts and sizes
// end a batch.
func TestShipBatches(t *testing.T) { synctest.Test(t, shipBatches) }

func shipBatches(t *testing.T) {
	var b strings.Builder
	for i := range 10_000 {
		fmt.Fprintf(&b, "1\tline %d\n", i)
	}
	k := &keeper{}
	if err := Ship(t.Context(), Shipment{Open: open(b.String()), Logs: k}); err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(k.batches, []int{4000, 4000, 2000}) {
		t.Errorf("batches of %v", k.batches)
	}
	long := "1\t" + strings.Repeat("x", 300<<10) + "\n"
	k = &keeper{}
	if err := Ship(t.Context(), Shipment{Open: open(strings.Repeat(long, 10)), Logs: k}); err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(k.batches, []int{4, 4, 2}) {
		t.Errorf("batches of long lines are %v", k.batches)
	}
}

// A line is in the stream 50 ms after it was written, though the log goes on.
func TestShipFollows(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, w := io.Pipe()
		k := &keeper{}
		done := make(chan error)
		go func() {
			done <- Ship(t.Context(), Shipment{Logs: k, Open: func(context.Context, int64) (io.ReadCloser, error) { return r, nil }})
		}()
		for i, want := range []int{2, 3} {
			if i == 0 {
				fmt.Fprint(w, "1\ta\n")
			}
			fmt.Fprint(w, "2\tb\n3\t") // the last line is not whole yet
			time.Sleep(batchWait)
			synctest.Wait()
			if got := len(k.text()); got != want {
				t.Errorf("%d lines after the %d. write", got, i+1)
			}
		}
		w.Close()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}

func TestShipEndsWithItsContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		r, w := io.Pipe()
		defer w.Close()
		time.AfterFunc(time.Second, cancel)
		err := Ship(ctx, Shipment{Logs: &keeper{}, Open: func(ctx context.Context, _ int64) (io.ReadCloser, error) {
			context.AfterFunc(ctx, func() { r.Close() })
			return r, nil
		}})
		if !errors.Is(err, context.Canceled) && !errors.Is(err, io.ErrClosedPipe) {
			t.Errorf("%v", err)
		}
	})
}

// Cut off at any append, before or after it took effect, and shipped again: each
// line is there once, and the observer of the last shipment has seen all.
func TestShipIsExactlyOnce(t *testing.T) {
	var b strings.Builder
	var want []string
	for i := range 14_000 {
		fmt.Fprintf(&b, "%d\tline %d\n", i, i)
		want = append(want, fmt.Sprintf("line %d", i))
	}
	broken := errors.New("broken")
	for cut := 1; cut <= 5; cut++ {
		for _, effect := range []bool{false, true} {
			t.Run(fmt.Sprintf("append %d is cut, effect %v", cut, effect), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					k := &keeper{fail: func(call int) (before, after error) {
						switch {
						case call != cut:
							return nil, nil
						case effect:
							return nil, broken
						}
						return broken, nil
					}}
					var seen, fresh []string
					s := Shipment{Open: open(b.String()), Logs: k, Observe: func(events []Event, isNew bool) {
						for _, e := range events {
							seen = append(seen, e.Message)
							if isNew {
								fresh = append(fresh, e.Message)
							}
						}
					}}
					if err := Ship(t.Context(), s); !errors.Is(err, broken) {
						t.Fatalf("%v", err)
					}
					before := len(fresh)
					seen = nil
					if err := Ship(t.Context(), s); err != nil {
						t.Fatal(err)
					}
					if !slices.Equal(k.text(), want) {
						t.Errorf("%d lines, want %d", len(k.text()), len(want))
					}
					if !slices.Equal(seen, want) {
						t.Errorf("the observer saw %d lines, want %d", len(seen), len(want))
					}
					// What was kept without our knowing is not new to anyone again.
					if most := len(want); len(fresh) > most || (!effect && len(fresh) != most) || before > len(fresh) {
						t.Errorf("%d lines were new, want %d", len(fresh), most)
					}
				})
			})
		}
	}
}

// Two servers ship the same log during a handover: neither loses nor doubles.
func TestShipTwiceAtOnce(t *testing.T) {
	var b strings.Builder
	for i := range 20_000 {
		fmt.Fprintf(&b, "%d\tline %d\n", i, i)
	}
	k := &keeper{}
	var group sync.WaitGroup
	for range 2 {
		group.Go(func() {
			if err := Ship(t.Context(), Shipment{Open: open(b.String()), Logs: k}); err != nil {
				t.Error(err)
			}
		})
	}
	group.Wait()
	if got := k.text(); len(got) != 20_000 || got[19_999] != "line 19999" {
		t.Errorf("%d lines", len(got))
	}
}

func TestShipErrors(t *testing.T) {
	missing := errors.New("no log")
	if err := Ship(t.Context(), Shipment{Logs: &keeper{}, Open: func(context.Context, int64) (io.ReadCloser, error) { return nil, missing }}); !errors.Is(err, missing) {
		t.Errorf("%v", err)
	}
	// A stream that went backwards cannot be mended by shipping.
	k := &keeper{fail: func(call int) (error, error) {
		if call > 1 {
			return ErrOffset, nil
		}
		return nil, nil
	}}
	if err := Ship(t.Context(), Shipment{Open: open("1\ta\n"), Logs: k}); !errors.Is(err, ErrOffset) {
		t.Errorf("%v", err)
	}
}

func FuzzText(f *testing.F) {
	f.Add("a\tb")
	f.Add("\xff\x00\x7f")
	f.Fuzz(func(t *testing.T, s string) {
		out := Text(s)
		for _, c := range []byte(out) {
			if c < ' ' || c == 0x7f {
				t.Fatalf("%q has a control character", out)
			}
		}
		if Text(out) != out {
			t.Fatalf("%q is shown as %q the second time", out, Text(out))
		}
	})
}

// A log that breaks in the middle of a line is shipped up to that line, and
// the next shipment has it whole.
func TestShipKeepsNoLineThatIsCutOff(t *testing.T) {
	const log = "1\tone\n2\tanother\n"
	broken := errors.New("broken")
	k := &keeper{}
	err := Ship(t.Context(), Shipment{Logs: k, Open: func(context.Context, int64) (io.ReadCloser, error) {
		return io.NopCloser(io.MultiReader(strings.NewReader(log[:12]), iotest.ErrReader(broken))), nil
	}})
	if !errors.Is(err, broken) {
		t.Fatalf("%v", err)
	}
	if err := Ship(t.Context(), Shipment{Logs: k, Open: open(log)}); err != nil {
		t.Fatal(err)
	}
	if got := k.text(); !slices.Equal(got, []string{"one", "another"}) {
		t.Errorf("%q", got)
	}
}

// Who observes nothing does not read again what is kept.
func TestShipGoesOnWhereItWas(t *testing.T) {
	const log = "1\ta\n2\tb\n"
	k := &keeper{made: true, offset: 4}
	var from []int64
	s := Shipment{Logs: k, Open: func(ctx context.Context, at int64) (io.ReadCloser, error) {
		from = append(from, at)
		return open(log)(ctx, at)
	}}
	if err := Ship(t.Context(), s); err != nil {
		t.Fatal(err)
	}
	s.Observe = func([]Event, bool) {}
	if err := Ship(t.Context(), s); err != nil {
		t.Fatal(err)
	}
	if got := k.text(); !slices.Equal(got, []string{"b"}) || !slices.Equal(from, []int64{4, 0}) || k.offset != int64(len(log)) {
		t.Errorf("%q, opened at %v, offset %d", got, from, k.offset)
	}
}

// Lines that the reads cut anywhere are the same lines.
func TestShipOfLongAndShortLines(t *testing.T) {
	var b strings.Builder
	var want []string
	for i := range 300 {
		text := strings.Repeat(string(rune('a'+i%26)), 1+i*i%9000)
		if i == 100 {
			text = strings.Repeat("long", 300_000) // longer than is read at once
		}
		want = append(want, text)
		fmt.Fprintf(&b, "%d\t%s\n", i, text)
	}
	for name, wrap := range map[string]func(io.Reader) io.Reader{
		"as they come": func(r io.Reader) io.Reader { return r }, "in halves": iotest.HalfReader, "with the end": iotest.DataErrReader,
	} {
		k := &keeper{}
		err := Ship(t.Context(), Shipment{Logs: k, Open: func(context.Context, int64) (io.ReadCloser, error) {
			return io.NopCloser(wrap(strings.NewReader(b.String()))), nil
		}})
		if err != nil || !slices.Equal(k.text(), want) || k.offset != int64(b.Len()) {
			t.Errorf("%s: %d lines up to %d of %d, %v", name, len(k.events), k.offset, b.Len(), err)
		}
	}
}
