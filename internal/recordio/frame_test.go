// SPDX-License-Identifier: Apache-2.0

package recordio

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"io"
	"os"
	"slices"
	"strings"
	"testing"
	"testing/iotest"
)

func readAll(r io.Reader, limit int) (records [][]byte, err error) {
	rr := NewReader(r, limit)
	for {
		b, err := rr.Next()
		if err == io.EOF {
			return records, nil
		}
		if err != nil {
			return records, err
		}
		records = append(records, slices.Clone(b))
	}
}

// part is a part made by hand.
func part(kind uint32, payload string) string {
	b := binary.LittleEndian.AppendUint32(nil, Magic)
	b = binary.LittleEndian.AppendUint32(b, kind<<29|uint32(len(payload)))
	return string(b) + payload + strings.Repeat("\x00", -len(payload)&3)
}

const magicBytes = "\x0a\x23\xd7\xce"

func TestReader(t *testing.T) {
	long := strings.Repeat("0123456789abcdef", readSize/16+1)
	for _, c := range []struct {
		name, in string
		limit    int
		want     []string
		err      error
		says     string
	}{
		{"an empty stream has no records", "", 0, nil, nil, ""},
		{"records of all paddings", part(0, "") + part(0, "a") + part(0, "ab") + part(0, "abc") + part(0, "abcd"), 0, []string{"", "a", "ab", "abc", "abcd"}, nil, ""},
		{"a record longer than the buffer", part(0, long) + part(0, "x"), 0, []string{long, "x"}, nil, ""},
		{"parts are joined by the magic word", part(1, "abcd") + part(2, "") + part(3, "e") + part(0, "f"), 0, []string{"abcd" + magicBytes + magicBytes + "e", "f"}, nil, ""},
		{"another magic word is refused", part(0, "abc") + "PK\x03\x04\x00\x00\x00\x00", 0, []string{"abc"}, ErrFormat, "at byte 12: not RecordIO: 0x04034b50 stands in place"},
		{"a middle part without a first", part(2, "abcd"), 0, nil, ErrFormat, "begins with part 2"},
		{"a record within a record", part(1, "abcd") + part(0, "x"), 0, nil, ErrFormat, "at byte 12: not RecordIO: a record begins within another"},
		{"a kind that there is not", part(4, "abcd"), 0, nil, ErrFormat, "no part of kind 4"},
		{"a stream that ends in a header", part(0, "abcd") + magicBytes, 0, []string{"abcd"}, io.ErrUnexpectedEOF, "at byte 12"},
		{"a stream that ends in a payload", part(0, "abcd")[:10], 0, nil, io.ErrUnexpectedEOF, "at byte 0"},
		{"a stream that ends in the padding", part(0, "abc")[:11], 0, nil, io.ErrUnexpectedEOF, ""},
		{"a stream that ends between parts", part(1, "abcd"), 0, nil, io.ErrUnexpectedEOF, "at byte 12"},
		{"a length that is a lie", "\x0a\x23\xd7\xce\xff\xff\xff\x1fabc", 0, nil, io.ErrUnexpectedEOF, ""},
		{"a record at the limit", part(0, "abcd"), 4, []string{"abcd"}, nil, ""},
		{"a record above the limit", part(0, "abcde"), 4, nil, ErrFormat, "has 5 bytes or more, 4 are allowed"},
		{"parts that come to more than the limit", part(1, "abcd") + part(3, ""), 7, nil, ErrFormat, "has 8 bytes or more, 7 are allowed"},
	} {
		t.Run(c.name, func(t *testing.T) {
			for _, r := range []io.Reader{strings.NewReader(c.in), iotest.OneByteReader(strings.NewReader(c.in))} {
				got, err := readAll(r, c.limit)
				if !errors.Is(err, c.err) || err != nil && !strings.Contains(err.Error(), c.says) {
					t.Fatalf("error %v, want %v with %q", err, c.err, c.says)
				}
				if len(got) != len(c.want) {
					t.Fatalf("%d records, want %d", len(got), len(c.want))
				}
				for i := range got {
					if string(got[i]) != c.want[i] {
						t.Errorf("record %d is %.40q, want %.40q", i, got[i], c.want[i])
					}
				}
			}
		})
	}
}

func TestReaderPassesErrorsOn(t *testing.T) {
	broken := errors.New("broken")
	if _, err := readAll(io.MultiReader(strings.NewReader(part(0, "abcd")), iotest.ErrReader(broken)), 0); !errors.Is(err, broken) {
		t.Fatalf("error %v", err)
	}
}

// TestSplitIsMXNets compares with a file of MXNet's own writer.
func TestSplitIsMXNets(t *testing.T) {
	file, err := os.ReadFile("testdata/split.rec")
	if err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile("testdata/split.json")
	if err != nil {
		t.Fatal(err)
	}
	var want []string
	if err := json.Unmarshal(text, &want); err != nil {
		t.Fatal(err)
	}
	got, err := readAll(bytes.NewReader(file), 0)
	if err != nil || len(got) != len(want) {
		t.Fatalf("%d records of %d: %v", len(got), len(want), err)
	}
	var out bytes.Buffer
	w := NewWriter(&out)
	for i, b := range got {
		if hex.EncodeToString(b) != want[i] {
			t.Errorf("record %d is %x, want %s", i, b, want[i])
		}
		if err := w.WriteSplit(b); err != nil {
			t.Fatal(err)
		}
	}
	if !bytes.Equal(out.Bytes(), file) {
		t.Errorf("WriteSplit writes\n%x, MXNet\n%x", out.Bytes(), file)
	}
}

func TestTooLong(t *testing.T) {
	if _, err := Header(MaxPart); err != nil {
		t.Error(err)
	}
	if _, err := Header(MaxPart + 1); err == nil || !strings.Contains(err.Error(), "536870912 bytes") {
		t.Errorf("error %v", err)
	}
}

func TestBegins(t *testing.T) {
	for _, c := range []struct {
		name, head string
		size       int64
		want       bool
	}{
		{"a whole record", part(0, "abc"), 12, true},
		{"the first part of one", part(1, "abcd"), 24, true},
		{"a middle part", part(2, "abcd"), 24, false},
		{"a record that the stream is too short for", part(0, "abc"), 11, false},
		{"something else", "\x89PNG\r\n\x1a\n", 100, false},
		{"nothing", "", 0, false},
	} {
		if got := Begins([]byte(c.head), c.size); got != c.want {
			t.Errorf("%s: %v", c.name, got)
		}
	}
}

func TestNextAllocatesNothing(t *testing.T) {
	file := []byte(strings.Repeat(part(0, strings.Repeat("x", 1000))+part(1, "abcd")+part(3, "abcd"), 1000))
	r := NewReader(bytes.NewReader(file), 0)
	if _, err := r.Next(); err != nil {
		t.Fatal(err)
	}
	if _, err := r.Next(); err != nil {
		t.Fatal(err)
	}
	if n := testing.AllocsPerRun(900, func() {
		if _, err := r.Next(); err != nil {
			t.Fatal(err)
		}
	}); n != 0 {
		t.Errorf("%v allocations a record", n)
	}
}

func FuzzReader(f *testing.F) {
	f.Add([]byte(part(0, "abc")+part(1, "abcd")+part(2, "")+part(3, "e")), 0)
	f.Add([]byte(part(0, "abc")), 2)
	f.Add([]byte("\x0a\x23\xd7\xce\xff\xff\xff\x1f"), 0)
	f.Fuzz(func(t *testing.T, in []byte, limit int) {
		records, err := readAll(bytes.NewReader(in), limit)
		// What was read is the same in either form of writing.
		for _, split := range []bool{false, true} {
			var out bytes.Buffer
			w := NewWriter(&out)
			for _, b := range records {
				write := w.Write
				if split {
					write = w.WriteSplit
				}
				if err := write(b); err != nil {
					t.Fatal(err)
				}
			}
			again, err := readAll(&out, 0)
			if err != nil || !slices.EqualFunc(records, again, bytes.Equal) {
				t.Fatalf("%q came back as %q: %v", records, again, err)
			}
		}
		if err == nil && limit > 0 {
			for _, b := range records {
				if len(b) > limit {
					t.Fatalf("a record of %d bytes, limit %d", len(b), limit)
				}
			}
		}
	})
}

func FuzzSplit(f *testing.F) {
	f.Add([]byte("abcd" + magicBytes + "ef"))
	f.Add([]byte(magicBytes + magicBytes))
	f.Fuzz(func(t *testing.T, record []byte) {
		var out bytes.Buffer
		if err := NewWriter(&out).WriteSplit(record); err != nil {
			t.Fatal(err)
		}
		got, err := readAll(bytes.NewReader(out.Bytes()), 0)
		if err != nil || len(got) != 1 || !bytes.Equal(got[0], record) {
			t.Fatalf("%x came back as %x: %v", record, got, err)
		}
	})
}
