// SPDX-License-Identifier: Apache-2.0

//go:build unix

package feed

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/sagebrush-ml/sagebrush/internal/recordio"
)

func TestSends(t *testing.T) {
	big := strings.Repeat("0123456789abcdef", 100_000) // more than a FIFO holds
	for _, c := range []struct {
		name  string
		c     Channel
		files []string
		want  string
	}{
		{"objects one after another", Channel{}, []string{"one\n", "", big, "two"}, "one\n" + big + "two"},
		{"records of objects", Channel{Wrap: RecordIO}, []string{"one", "", big, "12345"}, records(t, "one", "", big, "12345")},
		{"what is RecordIO already", Channel{Wrap: RecordIO}, []string{records(t, "a", "b"), "c", records(t, big)}, records(t, "a", "b", "c", big)},
		{"what only begins like it", Channel{Wrap: RecordIO}, []string{records(t, "abcd")[:11]}, records(t, records(t, "abcd")[:11])},
		{"gzip", Channel{Gzip: true}, []string{zipped("one\n"), zipped(big), zipped("a") + zipped("b")}, "one\n" + big + "ab"},
		{"records of gzip", Channel{Gzip: true, Wrap: RecordIO}, []string{zipped("one"), zipped(""), zipped(big + big + big), zipped(records(t, "x"))}, records(t, "one", "", big+big+big, "x")},
		{"no objects", Channel{}, nil, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			l := newLab(t)
			var paths []string
			for i, text := range c.files {
				paths = append(paths, l.file(fmt.Sprint("object", i), text))
			}
			c.c.Name = "train"
			l.channel(c.c, paths...)
			l.start()
			for epoch := range 3 {
				if got := l.read(fmt.Sprint("train_", epoch)); got != c.want {
					t.Fatalf("epoch %d: %d bytes %.60q, want %d bytes %.60q", epoch, len(got), got, len(c.want), c.want)
				}
			}
			l.stopped()
		})
	}
}

func TestEpochs(t *testing.T) {
	l := newLab(t)
	big := strings.Repeat("x", 3<<20)
	l.channel(Channel{Name: "train"}, l.file("big", big))
	l.channel(Channel{Name: "test"}, l.file("small", "s"))
	l.start()
	if !l.exists("train_0") || !l.exists("test_0") || l.exists("train_1") {
		t.Fatal("before the first reader there must be the FIFOs of epoch 0 and no others")
	}
	f := l.open("train_0")
	head := make([]byte, 10)
	if _, err := io.ReadFull(f, head); err != nil {
		t.Fatal(err)
	}
	if !l.exists("train_1") || l.exists("test_1") {
		t.Fatal("with the first bytes of an epoch the next FIFO must be there, and of that channel alone")
	}
	if got := l.read("test_0"); got != "s" { // while train is in the middle
		t.Fatalf("test has %q", got)
	}
	f.Close() // early
	if got := l.read("train_1"); got != big {
		t.Fatalf("after a reader that left early: %d bytes", len(got))
	}
	if l.exists("train_0") || l.exists("train_1") || l.exists("test_0") {
		t.Error("FIFOs of past epochs are still there")
	}
	l.stopped()
}

func TestManyReadersThatLeave(t *testing.T) {
	l := newLab(t)
	l.channel(Channel{Name: "c"}, l.file("o", strings.Repeat("x", 3<<20)))
	l.start()
	for epoch := range 50 {
		f := l.open(fmt.Sprint("c_", epoch))
		if epoch%2 == 0 {
			if _, err := f.Read(make([]byte, 1)); err != nil {
				t.Fatal(err)
			}
		}
		f.Close()
	}
	if got := l.read("c_50"); len(got) != 3<<20 {
		t.Fatalf("%d bytes", len(got))
	}
	l.stopped()
}

func TestShuffle(t *testing.T) {
	epochs := func(seed *int64) (out []string) {
		l := newLab(t)
		var paths []string
		for i := range 20 {
			paths = append(paths, l.file(fmt.Sprint(i), fmt.Sprintf("%02d ", i)))
		}
		l.channel(Channel{Name: "c", ShuffleSeed: seed}, paths...)
		l.start()
		for epoch := range 3 {
			out = append(out, l.read(fmt.Sprint("c_", epoch)))
		}
		l.stopped()
		return out
	}
	plain := epochs(nil)
	if plain[0] != plain[1] || plain[0][:6] != "00 01 " {
		t.Errorf("without a seed: %q", plain)
	}
	a, b, c := epochs(new(int64(7))), epochs(new(int64(7))), epochs(new(int64(-8)))
	if a[0] == a[1] || a[1] == a[2] || a[0] == plain[0] {
		t.Errorf("epochs have one order: %q", a)
	}
	if fmt.Sprint(a) != fmt.Sprint(b) || a[0] == c[0] {
		t.Errorf("the seed does not decide: %q %q %q", a, b, c)
	}
	for _, e := range a {
		for i := range 20 {
			if !strings.Contains(e, fmt.Sprintf("%02d ", i)) || len(e) != len(plain[0]) {
				t.Errorf("%q lacks %d", e, i)
			}
		}
	}
}

// TestFailures are those of the data: the reader meets an end of file, but the
// failure is told before it does.
func TestFailures(t *testing.T) {
	big := strings.Repeat("x", 3<<20)
	for _, c := range []struct {
		name, second, says string
		c                  Channel
		data               bool
	}{
		{"an object that is gone", "", "no such file", Channel{}, true},
		{"what is no gzip", "text", "decompress", Channel{Gzip: true}, true},
		{"gzip that is cut off", zipped(big)[:1000], "decompress", Channel{Gzip: true}, true},
		{"gzip that is cut off, in records", zipped(big)[:1000], "decompress", Channel{Gzip: true, Wrap: RecordIO}, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			l := newLab(t)
			first, second := "first", filepath.Join(l.dir, "second")
			if c.c.Gzip {
				first = zipped(first)
			}
			if c.second != "" {
				l.file("second", c.second)
			}
			c.c.Name = "c"
			l.channel(c.c, l.file("first", first), second)
			l.channel(Channel{Name: "other"}, l.file("big", big))
			l.start()
			other := l.open("other_0") // is cut in the middle, by the failure of c
			f := l.open("c_0")
			if _, err := io.ReadAll(f); err != nil {
				t.Fatal(err)
			}
			if _, ok, _ := ReadFailure(l.spec.Failure); !ok {
				t.Fatal("the reader has met the end before the failure was told")
			}
			if got := l.failed(c.says); got.Data != c.data || !strings.Contains(got.Message, second) {
				t.Errorf("%+v", got)
			}
			if b, _ := io.ReadAll(other); len(b) == len(big) {
				t.Error("the other channel was not ended")
			}
		})
	}
}

func TestTooLargeForARecord(t *testing.T) {
	l := newLab(t)
	path := l.file("large", "")
	if err := os.Truncate(path, recordio.MaxPart+1); err != nil { // takes no room
		t.Fatal(err)
	}
	l.channel(Channel{Name: "c", Wrap: RecordIO}, path)
	l.start()
	l.read("c_0")
	if f := l.failed("536870912 bytes: at most"); !f.Data {
		t.Errorf("%+v", f)
	}
}

func TestStoppedWithinAnEpoch(t *testing.T) {
	l := newLab(t)
	l.channel(Channel{Name: "c"}, l.file("o", strings.Repeat("x", 3<<20)))
	l.start()
	f := l.open("c_0")
	if _, err := f.Read(make([]byte, 1)); err != nil {
		t.Fatal(err)
	}
	l.stop()
	if err := l.wait(); !errors.Is(err, ErrCut) {
		t.Fatalf("error %v", err)
	}
}

// gate is an object whose bytes come when the test says so.
type gate struct {
	begun, end chan struct{}
	err        error
}

func (g *gate) Read(p []byte) (int, error) {
	select {
	case g.begun <- struct{}{}:
		return copy(p, "begun"), nil
	case <-g.end:
		return 0, g.err
	}
}

func (g *gate) Close() error { return nil }

func TestReaderGoesWhileNothingIsSent(t *testing.T) {
	l := newLab(t)
	g := &gate{begun: make(chan struct{}), end: make(chan struct{}), err: io.EOF}
	l.o.Open = func(context.Context, string) (io.ReadCloser, error) { return g, nil }
	l.channel(Channel{Name: "c"}, "/gate")
	l.start()
	f := l.open("c_0")
	<-g.begun
	f.Close()
	l.stop() // no write has told the feeder that the reader is gone
	close(g.end)
	if err := l.wait(); err != nil {
		t.Fatal(err)
	}
}

func TestAReadThatFails(t *testing.T) {
	l := newLab(t)
	g := &gate{begun: make(chan struct{}), end: make(chan struct{}), err: errors.New("input/output error")}
	l.o.Open = func(context.Context, string) (io.ReadCloser, error) { return g, nil }
	l.channel(Channel{Name: "c"}, "/gate")
	l.start()
	l.open("c_0")
	<-g.begun
	close(g.end)
	if f := l.failed("send /gate: input/output error"); f.Data {
		t.Error("the disk's fault is called the data's")
	}
}

// TestGrowsBetweenTwoReads has an object that is another when it is read for
// the second time: a record's size must not be a lie.
func TestGrowsBetweenTwoReads(t *testing.T) {
	for _, grow := range []int{1, -1} {
		l := newLab(t)
		var opened atomic.Int32
		l.o.Open = func(context.Context, string) (io.ReadCloser, error) {
			n := peekSize + 100 + grow*int(opened.Add(1))
			return io.NopCloser(strings.NewReader(strings.Repeat("x", n))), nil
		}
		l.channel(Channel{Name: "c", Wrap: RecordIO}, "/changing")
		l.start()
		l.read("c_0")
		l.failed("send /changing")
	}
}

func TestNotAFIFO(t *testing.T) {
	l := newLab(t)
	l.channel(Channel{Name: "c"}, l.file("o", "x"))
	if err := os.MkdirAll(filepath.Join(l.dir, "data", "c_0"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := Prepare(l.spec); err == nil || !strings.Contains(err.Error(), "is something else") {
		t.Errorf("Prepare: %v", err)
	}
}

// TestNextIsReplaced has a container that puts a link where the next FIFO was.
func TestNextIsReplaced(t *testing.T) {
	l := newLab(t)
	l.channel(Channel{Name: "c"}, l.file("o", strings.Repeat("x", 3<<20)))
	victim := l.file("victim", "precious")
	l.start()
	f := l.open("c_0")
	if _, err := f.Read(make([]byte, 1)); err != nil {
		t.Fatal(err)
	}
	next := filepath.Join(l.dir, "data", "c_1")
	if err := os.Remove(next); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(victim, next); err != nil {
		t.Fatal(err)
	}
	f.Close()
	l.failed("open the FIFO of epoch 1")
	if b, _ := os.ReadFile(victim); string(b) != "precious" {
		t.Errorf("the victim is %q", b)
	}
}

func TestPrepareTwice(t *testing.T) {
	l := newLab(t)
	l.channel(Channel{Name: "c", UID: new(os.Getuid()), Mode: 0o660}, l.file("o", "x"))
	for range 2 {
		if err := Prepare(l.spec); err != nil {
			t.Fatal(err)
		}
	}
	names, err := os.ReadDir(filepath.Join(l.dir, "data"))
	if err != nil || len(names) != 1 {
		t.Fatalf("%v %v", names, err)
	}
	info, err := names[0].Info()
	if err != nil || info.Mode() != fs.ModeNamedPipe|0o660 {
		t.Errorf("%v %v", info.Mode(), err)
	}
}

func TestSpec(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "spec.json")
	good := Channel{Name: "c", Dir: dir, List: filepath.Join(dir, "list"), Wrap: RecordIO, Gzip: true, ShuffleSeed: new(int64(3))}
	if err := (Spec{Failure: dir + "/f", Channels: []Channel{good}}).Save(path); err != nil {
		t.Fatal(err)
	}
	s, err := Load(path)
	if err != nil || len(s.Channels) != 1 || *s.Channels[0].ShuffleSeed != 3 || s.Channels[0].Wrap != RecordIO {
		t.Fatalf("%+v %v", s, err)
	}
	bad := func(f func(*Spec)) Spec {
		s := Spec{Failure: dir + "/f", Channels: []Channel{good}}
		f(&s)
		return s
	}
	for says, s := range map[string]Spec{
		"that is no name":    bad(func(s *Spec) { s.Channels[0].Name = "../c" }),
		"no absolute path":   bad(func(s *Spec) { s.Failure = "f" }),
		"not absolute paths": bad(func(s *Spec) { s.Channels[0].List = "" }),
		`no wrap "Gzip"`:     bad(func(s *Spec) { s.Channels[0].Wrap = "Gzip" }),
		"is there twice":     bad(func(s *Spec) { s.Channels = append(s.Channels, s.Channels[0]) }),
	} {
		if err := s.Save(path); err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%s: %v", says, err)
		}
	}
	if err := os.WriteFile(path, []byte(`{"Version": 2, "Failure": "/f"}`), 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := Load(path); err == nil || !strings.Contains(err.Error(), "has version 2, this program reads 1") {
		t.Errorf("another version: %v", err)
	}
}
