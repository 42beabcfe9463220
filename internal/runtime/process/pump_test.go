// SPDX-License-Identifier: Apache-2.0

//go:build unix

package process

import (
	"bytes"
	"errors"
	"io"
	"strconv"
	"strings"
	"testing"
	"testing/iotest"
	"time"
)

// texts gives the lines that pump made of what r gave.
func texts(t *testing.T, r io.Reader) []string {
	t.Helper()
	var out bytes.Buffer
	if err := pump(&out, r); err != nil {
		t.Fatal(err)
	}
	var got []string
	for line := range strings.Lines(out.String()) {
		ms, text, ok := strings.Cut(line, "\t")
		n, err := strconv.ParseInt(ms, 10, 64)
		if !ok || err != nil || time.Since(time.UnixMilli(n)).Abs() > time.Minute || !strings.HasSuffix(text, "\n") {
			t.Fatalf("line %.80q is malformed", line)
		}
		got = append(got, strings.TrimSuffix(text, "\n"))
	}
	return got
}

func TestPump(t *testing.T) {
	long := strings.Repeat("x", maxLine)
	for _, c := range []struct {
		name, in string
		want     []string
	}{
		{"nothing gives no line", "", nil},
		{"a line", "a\n", []string{"a"}},
		{"an empty line is a line", "\n\n", []string{"", ""}},
		{"a last line without an end is kept", "a\nb", []string{"a", "b"}},
		{"the DOS line end is one", "a\r\nb\r\n", []string{"a", "b"}},
		{"a progress bar is one line", "1%\r2%\r3%\n", []string{"1%\r2%\r3%"}},
		{"tabs and bytes that are not UTF-8 stay", "a\tb\xff\xfe\n", []string{"a\tb\xff\xfe"}},
		{"a line of the longest length is whole", long + "\n", []string{long}},
		{"a longer one is cut", long + "yz\n", []string{long, "yz"}},
		{"and an endless one too", long + long + "z", []string{long, long, "z"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			for _, r := range []io.Reader{strings.NewReader(c.in), iotest.HalfReader(strings.NewReader(c.in)), iotest.DataErrReader(strings.NewReader(c.in))} {
				got := texts(t, r)
				if strings.Join(got, "|") != strings.Join(c.want, "|") || len(got) != len(c.want) {
					t.Errorf("got %d lines %.200q, want %d", len(got), got, len(c.want))
				}
			}
		})
	}
}

func TestPumpReadsOnWhenTheDiskIsFull(t *testing.T) {
	r := strings.NewReader(strings.Repeat("line\n", 200_000))
	full := errors.New("no space left")
	if err := pump(fullDisk{full}, r); !errors.Is(err, full) {
		t.Errorf("got %v", err)
	}
	if r.Len() != 0 {
		t.Errorf("%d bytes are left unread", r.Len())
	}
}

type fullDisk struct{ error }

func (d fullDisk) Write([]byte) (int, error) { return 0, d.error }

func FuzzPump(f *testing.F) {
	f.Add([]byte("a\r\n\nb"), true)
	f.Add([]byte("\r"), false)
	f.Fuzz(func(t *testing.T, in []byte, slow bool) {
		if len(in) > maxLine { // cutting is the table's
			return
		}
		var want []string
		for line := range bytes.Lines(in) {
			line, ended := bytes.CutSuffix(line, []byte("\n"))
			if ended {
				line = bytes.TrimSuffix(line, []byte("\r"))
			}
			want = append(want, string(line))
		}
		var r io.Reader = bytes.NewReader(in)
		if slow {
			r = iotest.OneByteReader(r)
		}
		if got := texts(t, r); strings.Join(got, "\n") != strings.Join(want, "\n") || len(got) != len(want) {
			t.Errorf("got %q, want %q", got, want)
		}
	})
}

func BenchmarkPump(b *testing.B) {
	text := strings.Repeat("[12]\ttrain-logloss:0.31\tvalidation-logloss:0.35\n", 100_000)
	b.SetBytes(int64(len(text)))
	for b.Loop() {
		_ = pump(io.Discard, strings.NewReader(text))
	}
}
