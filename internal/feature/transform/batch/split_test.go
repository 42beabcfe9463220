// SPDX-License-Identifier: Apache-2.0

package batch

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/bits"
	"slices"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/sagebrush-ml/sagebrush/internal/recordio"
)

// cut is all mini-batches of data; a buffer is used again as an agent does.
func cut(data []byte, how Rules) ([]string, error) {
	s := New(iotest.HalfReader(bytes.NewReader(data)), how)
	var out []string
	var buf []byte
	for range len(data) + 2 {
		var err error
		if buf, err = s.Next(buf); err == io.EOF {
			return out, nil
		} else if err != nil {
			return out, err
		}
		out = append(out, string(buf))
	}
	return out, errors.New("it does not end")
}

func tf(records ...string) []byte {
	var out []byte
	for _, r := range records {
		out, _ = (&tfRecords{}).frame(out, []byte(r))
	}
	return out
}

func rio(records ...string) []byte {
	var out bytes.Buffer
	w := recordio.NewWriter(&out)
	for _, r := range records {
		_ = w.Write([]byte(r))
	}
	return out.Bytes()
}

func TestSplit(t *testing.T) {
	for _, c := range []struct {
		name string
		data []byte
		how  Rules
		want []string
	}{
		{"whole", []byte("a\nb\n"), Rules{Limit: 4}, []string{"a\nb\n"}},
		{"whole without a limit", []byte("a\nb\n"), Rules{}, []string{"a\nb\n"}},
		{"an empty object asks for nothing", nil, Rules{Limit: 4}, nil},
		{"lines that fit together", []byte("1\n2\n3\n"), Rules{Split: Line, Limit: 4}, []string{"1\n2\n", "3\n"}},
		{"the last line needs no end", []byte("1\n2\n3"), Rules{Split: Line, Limit: 4}, []string{"1\n2\n", "3"}},
		{"all in one", []byte("1\n2\n3"), Rules{Split: Line, Limit: 100}, []string{"1\n2\n3"}},
		{"a line of just the limit", []byte("1234\n5678\n9\n"), Rules{Split: Line, Limit: 4}, []string{"1234", "5678", "9\n"}},
		{"the last one of just the limit", []byte("12\n1234"), Rules{Split: Line, Limit: 4}, []string{"12\n", "1234"}},
		{"no mini-batch of blank lines", []byte("12\n\n\n\n\n\n\n3\n\n\n\n\n\n\n"), Rules{Split: Line, Limit: 4}, []string{"12\n\n", "3\n\n\n"}},
		{"each line", []byte("1\r\n\n22\n3"), Rules{Split: Line, Single: true, Limit: 4}, []string{"1", "22", "3"}},
		{"each line of any length", []byte("1\n" + strings.Repeat("x", 600<<10) + "\n"), Rules{Split: Line, Single: true}, []string{"1", strings.Repeat("x", 600<<10)}},
		{"records", rio("a", "bb", "ccc"), Rules{Split: RecordIO, Limit: 24}, []string{string(rio("a", "bb")), string(rio("ccc"))}},
		{"each record without its frame", rio("a", "bb", ""), Rules{Split: RecordIO, Limit: 24, Single: true}, []string{"a", "bb", ""}},
		{"TensorFlow's", tf("a", "bb", "ccc"), Rules{Split: TFRecord, Limit: 40}, []string{string(tf("a", "bb")), string(tf("ccc"))}},
		{"each of TensorFlow's", tf("a", "bb"), Rules{Split: TFRecord, Limit: 40, Single: true}, []string{"a", "bb"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, err := cut(c.data, c.how)
			if err != nil || !slices.Equal(got, c.want) {
				t.Errorf("got %.200q, %v; want %.200q", got, err, c.want)
			}
		})
	}
}

// The CRC of "123456789" is the check value of CRC-32C; the mask is
// TensorFlow's, tsl/lib/hash/crc32c.h.
func TestTFRecordFrame(t *testing.T) {
	const check = uint32(0xe3069283)
	if got, want := maskedCRC([]byte("123456789")), bits.RotateLeft32(check, -15)+0xa282ead8; got != want {
		t.Errorf("masked CRC is %#x, want %#x", got, want)
	}
	got := tf("123456789")
	if len(got) != 8+4+9+4 || binary.LittleEndian.Uint64(got) != 9 || binary.LittleEndian.Uint32(got[21:]) != maskedCRC([]byte("123456789")) {
		t.Errorf("framed as %x", got)
	}
}

func TestSplitRefuses(t *testing.T) {
	big := strings.Repeat("x", 1<<20)
	flip := func(b []byte, at int) []byte { b = bytes.Clone(b); b[at] ^= 1; return b }
	for _, c := range []struct {
		name string
		data []byte
		how  Rules
		size int64 // of a TooLargeError; 0 for ErrFormat
	}{
		{"an object over the limit", []byte("12345"), Rules{Limit: 4}, 5},
		{"a line over it", []byte("1\n" + big + "\n2\n"), Rules{Split: Line, Limit: 1000}, 1 << 20},
		{"the last line over it", []byte("1\n12345"), Rules{Split: Line, Limit: 4}, 5},
		{"a single line over it", []byte("1\n" + big + "\n2\n"), Rules{Split: Line, Limit: 1000, Single: true}, 1 << 20},
		{"a record over it", rio("a", "1234567890123"), Rules{Split: RecordIO, Limit: 12}, 13},
		{"a record over it with its frame", rio("1234567"), Rules{Split: RecordIO, Limit: 10}, 16},
		{"TensorFlow's over it", tf("12345678901"), Rules{Split: TFRecord, Limit: 10}, 11},
		{"no RecordIO", []byte("hello, world"), Rules{Split: RecordIO, Limit: 100}, 0},
		{"half a record", rio("a")[:10], Rules{Split: RecordIO, Limit: 100}, 0},
		{"a length that is wrong", flip(tf("abc"), 0), Rules{Split: TFRecord, Limit: 100}, 0},
		{"data that is wrong", flip(tf("abc"), 13), Rules{Split: TFRecord, Limit: 100}, 0},
		{"half a record of TensorFlow's", tf("abc")[:14], Rules{Split: TFRecord, Limit: 100}, 0},
		{"half a header", tf("abc")[:5], Rules{Split: TFRecord, Limit: 100}, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := cut(c.data, c.how)
			large, ok := errors.AsType[*TooLargeError](err)
			if c.size == 0 && !errors.Is(err, ErrFormat) || c.size > 0 && (!ok || large.Size != c.size || large.Limit != int64(c.how.Limit)) {
				t.Errorf("got %v", err)
			}
		})
	}
}

func TestSplitTellsReadErrors(t *testing.T) {
	broken := errors.New("broken")
	for _, split := range []string{None, Line, RecordIO, TFRecord} {
		for _, single := range []bool{false, true} {
			s := New(io.MultiReader(strings.NewReader(""), iotest.ErrReader(broken)), Rules{Split: split, Single: single, Limit: 100})
			if _, err := s.Next(nil); !errors.Is(err, broken) {
				t.Errorf("%s: %v", split, err)
			}
		}
	}
}

// FuzzLines: nothing is lost but blank lines and the ends of lines that fill the
// payload, nothing is over the limit.
func FuzzLines(f *testing.F) {
	f.Add([]byte("1,2\n3,4\n\n5"), 4)
	f.Add([]byte("1234\r\n\n\n"), 5)
	f.Fuzz(func(t *testing.T, data []byte, limit int) {
		limit = 1 + limit&63
		for _, single := range []bool{false, true} {
			got, err := cut(data, Rules{Split: Line, Limit: limit, Single: single})
			if _, large := errors.AsType[*TooLargeError](err); large {
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			var lines, want []string
			for _, b := range got {
				if len(b) > limit {
					t.Fatalf("a mini-batch of %d bytes, over %d", len(b), limit)
				}
				if single {
					lines = append(lines, b)
					continue
				}
				for l := range strings.SplitSeq(b, "\n") {
					if l = strings.TrimRight(l, "\r"); l != "" {
						lines = append(lines, l)
					}
				}
			}
			for l := range strings.SplitSeq(string(data), "\n") {
				if l = strings.TrimRight(l, "\r"); l != "" {
					want = append(want, l)
				}
			}
			if fmt.Sprintf("%q", lines) != fmt.Sprintf("%q", want) {
				t.Fatalf("single %v: %q became %q", single, want, lines)
			}
		}
	})
}

// FuzzRecords: what is no records is refused, what is comes out whole.
func FuzzRecords(f *testing.F) {
	f.Add(tf("a", "bb"))
	f.Add(rio("a", "bb"))
	f.Fuzz(func(t *testing.T, data []byte) {
		if got, err := cut(data, Rules{Split: TFRecord}); err == nil && strings.Join(got, "") != string(data) {
			t.Errorf("%x became %x", data, got)
		}
		_, _ = cut(data, Rules{Split: TFRecord, Limit: 10, Single: true})
		_, _ = cut(data, Rules{Split: RecordIO, Limit: 10})
	})
}
