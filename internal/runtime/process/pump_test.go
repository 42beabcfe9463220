// SPDX-License-Identifier: Apache-2.0

//go:build unix

package process

import (
	"bytes"
	"errors"
	"fmt"
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
		{"a letter is not cut", long[1:] + "éé\n", []string{long[1:], "éé"}},
		{"nor one of an endless line", long[2:] + "漢" + long, []string{long[2:], "漢" + long[3:], "xxx"}},
		{"what is no text is cut anywhere", long[4:] + "\x80\x80\x80\x80\x80\n", []string{long[4:] + "\x80\x80\x80\x80", "\x80"}},
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

// A log that has reached its largest size keeps its beginning and its end, and
// tells between them what is missing.
func TestPumpLeavesOutTheMiddle(t *testing.T) {
	const limit = 1 << 20
	var in strings.Builder
	count := 0
	for ; in.Len() < 8<<20; count++ {
		fmt.Fprintf(&in, "line %d %s\n", count, strings.Repeat("x", count%200))
	}
	in.WriteString("the end")
	var out bytes.Buffer
	if err := pumpInto(&logFile{w: &out, room: limit}, strings.NewReader(in.String())); err != nil {
		t.Fatal(err)
	}
	if out.Len() > limit+2*keptTail+2*maxLine {
		t.Errorf("the log has %d bytes", out.Len())
	}
	var told, missing, last, kept int
	for line := range strings.Lines(out.String()) {
		_, text, ok := strings.Cut(line, "\t")
		if !ok || !strings.HasSuffix(text, "\n") {
			t.Fatalf("line %.80q is malformed", line)
		}
		kept += len(line)
		if n, _ := fmt.Sscanf(text, "sagebrush: the log has reached its largest size; %d bytes are left out here", &missing); n == 1 {
			told++
			last = -1
			kept -= len(line)
			continue
		}
		var i int
		if n, _ := fmt.Sscanf(text, "line %d", &i); n == 1 {
			if last >= 0 && i != last+1 && i > 0 {
				t.Fatalf("line %d follows line %d", i, last)
			}
			last = i
		}
	}
	if told != 1 || last != count-1 || !strings.HasSuffix(out.String(), "\tthe end\n") {
		t.Errorf("told %d times, the last line is %d of %d", told, last, count)
	}
	stamps := (count + 1) * len("1795123456789\t")
	if all := in.Len() + 1 + stamps; kept+missing != all {
		t.Errorf("%d bytes are kept and %d missing, %d in all", kept, missing, all)
	}
}

// A disk that was full for a while makes a gap that the log tells of.
func TestPumpGoesOnWhenThereIsRoomAgain(t *testing.T) {
	full := errors.New("no space left")
	var out bytes.Buffer
	l := &logFile{w: &moody{w: &out, err: full, from: 2, to: 5}, room: maxLog}
	r := iotest.OneByteReader(strings.NewReader("a\nbcd\ne\nf\ng\nh\n"))
	if err := pumpInto(l, r); !errors.Is(err, full) {
		t.Errorf("got %v", err)
	}
	var got []string
	for line := range strings.Lines(out.String()) {
		_, text, _ := strings.Cut(line, "\t")
		got = append(got, strings.TrimSuffix(text, "\n"))
	}
	// The second write has a torn line, two more fail, and so do those that tell.
	if len(got) != 5 || got[0] != "a" || !strings.HasPrefix(got[2], "sagebrush: 4") || !strings.HasSuffix(got[2], "no space left") || got[3] != "g" || got[4] != "h" {
		t.Errorf("got %q", got)
	}
}

// moody fails the writes from number from to before number to, the first of
// them after seven bytes.
type moody struct {
	w        io.Writer
	err      error
	n        int
	from, to int
}

func (m *moody) Write(p []byte) (int, error) {
	m.n++
	switch {
	case m.n < m.from || m.n >= m.to:
		return m.w.Write(p)
	case m.n == m.from:
		n, _ := m.w.Write(p[:7])
		return n, m.err
	}
	return 0, m.err
}

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
