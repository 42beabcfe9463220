// SPDX-License-Identifier: Apache-2.0

package docker

import (
	"bytes"
	"encoding/binary"
	"io"
	"strconv"
	"strings"
	"testing"
	"testing/iotest"
	"time"
)

// stamped is the frame of a message with its time, in seconds of 2026.
func stamped(stream byte, second int, text string) string {
	message := time.Date(2026, 1, 1, 0, 0, second, 7, time.UTC).Format(time.RFC3339Nano) + " " + text
	header := make([]byte, 8)
	header[0] = stream
	binary.BigEndian.PutUint32(header[4:], uint32(len(message)))
	return string(header) + message
}

func stamp(second int) string {
	return strconv.FormatInt(time.Date(2026, 1, 1, 0, 0, second, 0, time.UTC).UnixMilli(), 10) + "\t"
}

func readLines(r io.Reader) (string, error) {
	var b strings.Builder
	for l := newLines(r); ; {
		text, err := l.next()
		b.Write(text)
		if err != nil {
			return b.String(), err
		}
	}
}

func TestFramesBecomeLines(t *testing.T) {
	part := strings.Repeat("x", partSize)
	for _, c := range []struct {
		name   string
		frames []string
		want   string
	}{
		{"nothing", nil, ""},
		{"a line", []string{stamped(1, 1, "one\n")}, stamp(1) + "one\n"},
		{"an empty line", []string{stamped(1, 1, "\n")}, stamp(1) + "\n"},
		{"a line may hold tabs and no letters", []string{stamped(2, 1, "a\tb\xff\n")}, stamp(1) + "a\tb\xff\n"},
		{"a carriage return before the end goes", []string{stamped(1, 1, "bar\rbar\r\n")}, stamp(1) + "bar\rbar\n"},
		{"parts are one line with the time of the first", []string{stamped(1, 1, part), stamped(1, 2, "end\n")}, stamp(1) + part + "end\n"},
		{"a last part needs no end", []string{stamped(1, 1, part), stamped(1, 2, "end"), stamped(1, 3, "next\n")}, stamp(1) + part + "end\n" + stamp(3) + "next\n"},
		{"a last part may be empty", []string{stamped(1, 1, part), stamped(1, 2, ""), stamped(1, 3, "next\n")}, stamp(1) + part + "\n" + stamp(3) + "next\n"},
		{"streams do not mix", []string{stamped(1, 1, part), stamped(2, 2, "other\n"), stamped(1, 3, "end\n")}, stamp(2) + "other\n" + stamp(1) + part + "end\n"},
		{"what is left at the end is a line", []string{stamped(1, 1, part)}, stamp(1) + part + "\n"},
		{"lines have a largest length", []string{strings.Repeat(stamped(1, 1, part), 16), stamped(1, 2, "end\n")},
			stamp(1) + strings.Repeat(part, 16)[:maxLine] + "\n" + stamp(1) + strings.Repeat("x", 26) + "end\n"},
	} {
		t.Run(c.name, func(t *testing.T) {
			for _, r := range []io.Reader{strings.NewReader(strings.Join(c.frames, "")), iotest.OneByteReader(strings.NewReader(strings.Join(c.frames, "")))} {
				if got, err := readLines(r); got != c.want || err != io.EOF {
					t.Errorf("got %.300q, %v", got, err)
				}
			}
		})
	}
}

func TestLettersAreNotCutInTwo(t *testing.T) {
	part := strings.Repeat("ä", partSize/2)
	got, err := readLines(strings.NewReader(stamped(1, 1, "x"+part[:partSize-1]) + strings.Repeat(stamped(1, 1, part[1:]+"\xc3"), 20)))
	if err != io.EOF {
		t.Fatal(err)
	}
	for line := range strings.Lines(got) {
		_, text, _ := strings.Cut(line, "\t")
		if len(text) > maxLine+1 || strings.HasPrefix(text, "\xa4") {
			t.Errorf("a line of %d bytes begins with %.10q", len(text), text)
		}
	}
}

func TestDamagedLogsAreErrors(t *testing.T) {
	whole := stamped(1, 1, "one\n")
	for name, text := range map[string]string{
		"a header that is cut off":  whole + "\x01\x00",
		"a message that is cut off": whole[:len(whole)-1],
		"an unknown stream":         "\x04" + whole[1:],
		"a header with other bytes": "\x01\x01" + whole[2:],
		"a size beyond reason":      "\x01\x00\x00\x00\xff\xff\xff\xff",
		"a message without a time":  "\x01\x00\x00\x00\x00\x00\x00\x05hello",
		"an error of the engine":    stamped(3, 1, "disk on fire"),
	} {
		if _, err := readLines(strings.NewReader(text)); err == nil || err == io.EOF {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func FuzzLines(f *testing.F) {
	f.Add([]byte(stamped(1, 1, "one\n") + stamped(2, 2, "x") + stamped(1, 3, "two\n") + stamped(2, 4, "end")))
	f.Add([]byte(stamped(1, 1, "one\r\n\x00\xff")))
	f.Add([]byte("\x01\x00\x00\x00\x00\x00\x00\x05hello"))
	f.Fuzz(func(t *testing.T, data []byte) {
		got, err := readLines(bytes.NewReader(data))
		if err == nil {
			t.Fatal("it does not end")
		}
		again, _ := readLines(iotest.HalfReader(bytes.NewReader(data)))
		if got != again {
			t.Fatalf("how it is read makes a difference: %q, %q", got, again)
		}
		if err == io.EOF && got != "" && !strings.HasSuffix(got, "\n") {
			t.Fatalf("%q has no end", got)
		}
	})
}
