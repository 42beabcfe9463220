// SPDX-License-Identifier: Apache-2.0

package recordio

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"os"
	"reflect"
	"strings"
	"testing"
)

// show is a record as text, with all that counts.
func show(r *Record) string {
	var b strings.Builder
	for _, m := range []struct {
		name string
		vs   Values
	}{{"features", r.Features}, {"label", r.Label}} {
		for i := range m.vs {
			fmt.Fprintf(&b, "%s %s %s\n", m.name, m.vs[i].Name, showValue(&m.vs[i].Value))
		}
	}
	fmt.Fprintf(&b, "%q %q %q", r.UID, r.Metadata, r.Configuration)
	return b.String()
}

func showValue(v *Value) string {
	s := v.Kind.String()
	switch v.Kind {
	case Float32:
		s += fmt.Sprint(" ", v.Float32)
	case Float64:
		s += fmt.Sprint(" ", v.Float64)
	case Int32:
		s += fmt.Sprint(" ", v.Int32)
	case Bytes:
		return s + fmt.Sprintf(" %q %s", v.Bytes, v.ContentType)
	}
	if len(v.Keys) > 0 {
		s += fmt.Sprint(" at ", v.Keys)
	}
	if len(v.Shape) > 0 {
		s += fmt.Sprint(" of ", v.Shape)
	}
	return s
}

// TestGolden reads what the SageMaker SDK has written, and writes it again byte
// for byte.
func TestGolden(t *testing.T) {
	dense := map[string][]string{
		"float32": {"[1 2 0]", "[0 0 0]", "[-3.5 0 0.001]", "[0 0 7]"},
		"float64": {"[1 2 0]", "[0 0 0]", "[-3.5 0 0.001]", "[0 0 7]"},
		"int32":   {"[1 2 0]", "[0 0 0]", "[-3 0 0]", "[0 0 7]"},
	}
	sparse := map[string][]string{
		"float32": {"[1 2] at [0 1]", "[]", "[-3.5 0.001] at [0 2]", "[7] at [2]"},
		"float64": {"[1 2] at [0 1]", "[]", "[-3.5 0.001] at [0 2]", "[7] at [2]"},
		"int32":   {"[1 2] at [0 1]", "[]", "[-3] at [0]", "[7] at [2]"},
	}
	labels := []string{"[0]", "[1]", "[-2]", "[300]"}
	files := map[string][]string{
		"unlabelled": {},
		"everything": {`features image bytes ["\x89PNG\x00" "" "\n#\xd7\xce"] image/png
features nothing none
features wide float64 tensor [1.5 +Inf] at [0 1099511627775] of [1048576 1048576]
label count int32 tensor [-1 2147483647 -2147483648]
"row-1" "{\"née\": 1}" "{\"k\": 3}"`},
	}
	for kind := range dense {
		for i := range 4 {
			rest := "\nlabel values " + kind + " tensor " + labels[i] + "\n\"\" \"\" \"\""
			files["dense-"+kind] = append(files["dense-"+kind], "features values "+kind+" tensor "+dense[kind][i]+rest)
			files["sparse-"+kind] = append(files["sparse-"+kind], "features values "+kind+" tensor "+sparse[kind][i]+" of [3]"+rest)
		}
	}
	for _, row := range dense["float32"] {
		files["unlabelled"] = append(files["unlabelled"], "features values float32 tensor "+row+"\n\"\" \"\" \"\"")
	}
	for name, want := range files {
		t.Run(name, func(t *testing.T) {
			file, err := os.ReadFile("testdata/" + name + ".rec")
			if err != nil {
				t.Fatal(err)
			}
			payloads, err := readAll(bytes.NewReader(file), 0)
			if err != nil || len(payloads) != len(want) {
				t.Fatalf("%d records of %d: %v", len(payloads), len(want), err)
			}
			var r Record // one for all: nothing may stay of the one before
			var out bytes.Buffer
			w := NewWriter(&out)
			for i, p := range payloads {
				if err := r.Decode(p); err != nil {
					t.Fatal(err)
				}
				if got := show(&r); got != want[i] {
					t.Errorf("record %d is\n%s\nwant\n%s", i, got, want[i])
				}
				if err := w.Write(r.Append(nil)); err != nil {
					t.Fatal(err)
				}
			}
			if !bytes.Equal(out.Bytes(), file) {
				t.Errorf("written again\n%x, was\n%x", out.Bytes(), file)
			}
		})
	}
}

func TestDecode(t *testing.T) {
	entry := func(value string) string { // of features, named v
		e := "\x0a\x01v\x12" + string(rune(len(value))) + value
		return "\x0a" + string(rune(len(e))) + e
	}
	for _, c := range []struct{ name, in, want, err string }{
		{"nothing", "", `"" "" ""`, ""},
		{"numbers one by one", entry("\x12\x0e\x0d\x00\x00\x80\x3f\x10\x03\x0d\x00\x00\x00\x40\x18\x09"), "features v float32 tensor [1 2] at [3] of [9]\n\"\" \"\" \"\"", ""},
		{"packed and one by one", entry("\x3a\x06\x0a\x02\x01\x02\x08\x03"), "features v int32 tensor [1 2 3]\n\"\" \"\" \"\"", ""},
		{"of two kinds the last counts", entry("\x12\x06\x0a\x04\x00\x00\x80\x3f\x3a\x03\x0a\x01\x05"), "features v int32 tensor [5]\n\"\" \"\" \"\"", ""},
		{"two of one kind are one", entry("\x3a\x03\x0a\x01\x04\x3a\x03\x0a\x01\x05"), "features v int32 tensor [4 5]\n\"\" \"\" \"\"", ""},
		{"of two with one name the last counts", entry("\x3a\x03\x0a\x01\x04") + entry("\x3a\x03\x0a\x01\x05"), "features v int32 tensor [5]\n\"\" \"\" \"\"", ""},
		{"an entry without a name", "\x0a\x07\x12\x05\x3a\x03\x0a\x01\x04", "features  int32 tensor [4]\n\"\" \"\" \"\"", ""},
		{"an int32 of ten bytes", entry("\x3a\x0c\x0a\x0a\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01"), "features v int32 tensor [-1]\n\"\" \"\" \"\"", ""},
		{"fields that are not known are skipped", "\x30\x05\x39abcdefgh\x45abcd\x4b\x50\x01\x53\x54\x4c\x52\x01x\x1a\x01u", `"u" "" ""`, ""},
		{"a group that is not closed", "\x4b\x50\x01", "", "a group is not closed"},
		{"a group that another closes", "\x4b\x54", "", "a group is not closed"},
		{"groups without end", strings.Repeat("\x4b", 100), "", "within too many"},
		{"a text that is cut off", "\x1a\x05abc", "", "cut off"},
		{"a length above all", "\x1a\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", "", "cut off"},
		{"a tag without an end", "\xff", "", "cut off"},
		{"field 0", "\x02\x00", "", "there is no field 0"},
		{"a wire type that there is not", "\x1f", "", "field 3 has the wire type 7"},
		{"half a float", entry("\x12\x05\x0a\x03\x00\x00\x80"), "", `features: "v": float32 tensor: values: their encoding is another`},
		{"half a key", entry("\x12\x03\x12\x01\x80"), "", "keys or shape: a number is cut off"},
	} {
		t.Run(c.name, func(t *testing.T) {
			var r Record
			err := r.Decode([]byte(c.in))
			if c.err != "" {
				if !errors.Is(err, ErrRecord) || !strings.Contains(err.Error(), c.err) {
					t.Fatalf("error %v, want %q", err, c.err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if got := show(&r); got != c.want {
				t.Errorf("%s\nwant\n%s", got, c.want)
			}
		})
	}
}

// TestPlain takes what the SDK writes by the short way.
func TestPlain(t *testing.T) {
	for _, kind := range []string{"dense-float32", "dense-float64", "dense-int32", "sparse-float32", "sparse-float64", "sparse-int32", "unlabelled"} {
		file, err := os.ReadFile("testdata/" + kind + ".rec")
		if err != nil {
			t.Fatal(err)
		}
		payloads, err := readAll(bytes.NewReader(file), 0)
		if err != nil {
			t.Fatal(err)
		}
		var p Plain
		var r Record
		for i, payload := range payloads {
			if !p.Decode(payload) {
				t.Errorf("%s: record %d is not plain", kind, i)
				continue
			}
			samePlain(t, &p, &r, r.Decode(payload))
			for n := range payload { // cut off it is wrong or plain still
				if p.Decode(payload[:n]) {
					samePlain(t, &p, &r, r.Decode(payload[:n]))
				}
			}
		}
	}
}

func TestSize(t *testing.T) {
	for _, c := range []struct {
		name string
		v    Value
		want int
		err  string
	}{
		{"a dense vector", Value{Kind: Float32, Float32: []float32{1, 2}}, 2, ""},
		{"a dense matrix", Value{Kind: Float32, Float32: []float32{1, 2, 3, 4}, Shape: []uint64{2, 2}}, 4, ""},
		{"a sparse vector", Value{Kind: Int32, Int32: []int32{1}, Keys: []uint64{6}, Shape: []uint64{7}}, 7, ""},
		{"a row of zeros", Value{Kind: Float64, Shape: []uint64{7}}, 7, ""},
		{"no tensor", Value{Kind: Bytes}, 0, "bytes has no size"},
		{"a sparse vector without a shape", Value{Kind: Int32, Int32: []int32{1}, Keys: []uint64{6}}, 0, "has keys but no shape"},
		{"a key outside", Value{Kind: Int32, Int32: []int32{1}, Keys: []uint64{7}, Shape: []uint64{7}}, 0, "has the key 7"},
		{"fewer keys than numbers", Value{Kind: Int32, Int32: []int32{1, 2}, Keys: []uint64{6}, Shape: []uint64{7}}, 0, "2 values and 1 keys"},
		{"a dense one of another size", Value{Kind: Int32, Int32: []int32{1, 2}, Shape: []uint64{7}}, 0, "of shape [7] has 2 values"},
		{"a shape without bounds", Value{Kind: Int32, Int32: []int32{1}, Keys: []uint64{1}, Shape: []uint64{1 << 32, 1 << 32}}, 0, "is larger than"},
		{"a shape whose product is 0 by overflow", Value{Kind: Int32, Int32: []int32{1}, Keys: []uint64{1}, Shape: []uint64{1 << 40, 1 << 24}}, 0, "is larger than"},
	} {
		got, err := c.v.Size()
		if got != c.want || (err == nil) != (c.err == "") || err != nil && !strings.Contains(err.Error(), c.err) {
			t.Errorf("%s: %d, %v", c.name, got, err)
		}
	}
}

func TestDecodeAllocatesNothing(t *testing.T) {
	var r Record
	p := row(100).Append(nil)
	for range 2 {
		if err := r.Decode(p); err != nil {
			t.Fatal(err)
		}
	}
	if n := testing.AllocsPerRun(100, func() {
		if err := r.Decode(p); err != nil {
			t.Fatal(err)
		}
	}); n != 0 {
		t.Errorf("%v allocations a record", n)
	}
}

// row is a row of n features with a label.
func row(n int) *Record {
	r := &Record{UID: "u",
		Features: Values{{Vector, Value{Kind: Float32, Float32: make([]float32, n)}}},
		Label:    Values{{Vector, Value{Kind: Float32, Float32: []float32{1}}}}}
	for i := range n {
		r.Features[0].Value.Float32[i] = float32(i) / 3
	}
	return r
}

// samePlain compares a record that Plain has taken with the same decoded.
func samePlain(t *testing.T, p *Plain, r *Record, err error) {
	t.Helper()
	numbers := make([]float32, p.Features.Len)
	columns := make([]int32, len(numbers))
	if !p.Features.Numbers(numbers) {
		return
	}
	if p.Features.Sparse {
		if p.Features.Size > math.MaxInt32 {
			return
		}
		if _, ok := p.Features.Columns(columns); !ok {
			return
		}
	}
	v := r.Features.Get(Vector)
	if err != nil || v == nil {
		t.Fatalf("it is plain, but %v", err)
	}
	size, err := v.Size()
	if err != nil || size != p.Features.Size || v.Len() != p.Features.Len || v.Kind != p.Features.Kind || v.Sparse() != p.Features.Sparse {
		t.Fatalf("%+v is %s, %v", p.Features, showValue(v), err)
	}
	for i, x := range numbers {
		var want float32
		switch v.Kind {
		case Float32:
			want = v.Float32[i]
		case Float64:
			want = float32(v.Float64[i])
		case Int32:
			want = float32(v.Int32[i])
		}
		if x != want && (x == x || want == want) || p.Features.Sparse && uint64(columns[i]) != v.Keys[i] {
			t.Fatalf("number %d is %v of %s", i, x, showValue(v))
		}
	}
	if label := r.Label.Get(Vector); (label == nil) != (p.Label.Kind == None) || label != nil && label.Len() != p.Label.Len {
		t.Fatalf("%+v is not the label", p.Label)
	}
}

func FuzzDecode(f *testing.F) {
	names, err := os.ReadDir("testdata")
	if err != nil {
		f.Fatal(err)
	}
	for _, n := range names {
		if file, err := os.ReadFile("testdata/" + n.Name()); err == nil && strings.HasSuffix(n.Name(), ".rec") {
			payloads, err := readAll(bytes.NewReader(file), 0)
			if err != nil {
				f.Fatal(err)
			}
			for _, p := range payloads {
				f.Add(p)
			}
		}
	}
	f.Fuzz(func(t *testing.T, in []byte) {
		var r Record
		var p Plain
		err := r.Decode(in)
		if p.Decode(in) {
			samePlain(t, &p, &r, err)
		}
		if err != nil {
			return
		}
		for _, vs := range []Values{r.Features, r.Label} {
			for i := range vs {
				_, _ = vs[i].Value.Size()
			}
		}
		written := r.Append(nil)
		var again Record
		if err := again.Decode(written); err != nil {
			t.Fatalf("cannot read what was written: %v", err)
		}
		if a, b := show(&r), show(&again); a != b {
			t.Fatalf("%s\ncame back as\n%s", a, b)
		}
		if !bytes.Equal(again.Append(nil), written) {
			t.Fatal("written twice it differs")
		}
	})
}

// FuzzInverse writes records of any content and reads them again.
func FuzzInverse(f *testing.F) {
	f.Add("values", []byte("\x00\x00\x80\x3f\x01\x02\x03\x04"), uint8(1), "u", "m", true)
	f.Fuzz(func(t *testing.T, name string, raw []byte, kind uint8, uid, metadata string, sparse bool) {
		v := Value{Kind: Kind(kind % 5)}
		for i := 0; i+8 <= len(raw); i += 8 {
			n := binary.LittleEndian.Uint64(raw[i:])
			switch v.Kind {
			case Float32:
				v.Float32 = append(v.Float32, float32(int32(n)))
			case Float64:
				v.Float64 = append(v.Float64, float64(int64(n)))
			case Int32:
				v.Int32 = append(v.Int32, int32(n))
			case Bytes:
				v.Bytes = append(v.Bytes, raw[i:i+int(n%9)])
			}
			if sparse && v.Kind != Bytes && v.Kind != None {
				v.Keys = append(v.Keys, n)
				v.Shape = []uint64{n, math.MaxUint64}
			}
		}
		in := Record{UID: uid, Metadata: metadata, Features: Values{{name, v}}, Label: Values{{name, v}, {name + "'", v}}}
		got := *row(3) // whose storage is used again
		if err := got.Decode(in.Append(nil)); err != nil {
			t.Fatal(err)
		}
		if a, b := show(&in), show(&got); a != b {
			t.Fatalf("%s\ncame back as\n%s", a, b)
		}
		if n := in.Features.Get(name); !reflect.DeepEqual(n, &v) {
			t.Fatal("Get finds another")
		}
	})
}

// BenchmarkRead reads records as a file of 1 MB chunks would give them.
func BenchmarkRead(b *testing.B) {
	for _, n := range []int{10, 100, 10_000} {
		var out bytes.Buffer
		w := NewWriter(&out)
		p := row(n).Append(nil)
		for out.Len() < 8<<20 {
			_ = w.Write(p)
		}
		for _, decode := range []bool{false, true} {
			b.Run(fmt.Sprintf("features=%d/decode=%v", n, decode), func(b *testing.B) {
				b.SetBytes(int64(out.Len()))
				b.ReportAllocs()
				var rec Record
				for b.Loop() {
					r := NewReader(bytes.NewReader(out.Bytes()), 0)
					for {
						p, err := r.Next()
						if err != nil {
							break
						}
						if decode {
							if err := rec.Decode(p); err != nil {
								b.Fatal(err)
							}
						}
					}
				}
			})
		}
	}
}

func BenchmarkWrite(b *testing.B) {
	r := row(100)
	w := NewWriter(discard{})
	var buf []byte
	b.SetBytes(int64(HeaderSize + len(r.Append(nil))))
	for b.Loop() {
		buf = r.Append(buf[:0])
		if err := w.Write(buf); err != nil {
			b.Fatal(err)
		}
	}
}

type discard struct{}

func (discard) Write(p []byte) (int, error) { return len(p), nil }
