// SPDX-License-Identifier: Apache-2.0

package ndarray

import (
	"bytes"
	"encoding/hex"
	"reflect"
	"slices"
	"strings"
	"testing"
)

func TestAppendIsRead(t *testing.T) {
	for _, arrays := range [][]Array{
		{{"mean", []int{1, 3}, []float32{1, 2, 3}}, {"v", []int{2, 2}, []float32{4, 5, 6, 7}}},
		{{"", []int{0, 5}, []float32{}}},
		nil,
	} {
		got, err := Read(Append(nil, arrays...))
		if err != nil || !reflect.DeepEqual(got, arrays) {
			t.Errorf("%v comes back as %v, %v", arrays, got, err)
		}
	}
}

// What mx.nd.save("f", [mx.nd.array([[1, 2]])]) of MXNet 1.9 writes.
const golden = "\x12\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x01\x00\x00\x00\x00\x00\x00\x00" +
	"\xc9\xfa\x93\xf9\x00\x00\x00\x00\x02\x00\x00\x00\x01\x00\x00\x00\x00\x00\x00\x00\x02\x00\x00\x00\x00\x00\x00\x00" +
	"\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x80\x3f\x00\x00\x00\x40\x00\x00\x00\x00\x00\x00\x00\x00"

func TestLayoutIsMXNets(t *testing.T) {
	if got := string(Append(nil, Array{Shape: []int{1, 2}, Values: []float32{1, 2}})); got != golden {
		t.Errorf("%q, want %q", got, golden)
	}
}

func TestReadRefuses(t *testing.T) {
	for name, text := range map[string]string{
		"nothing": "", "another file": strings.Repeat("x", 64), "a cut file": golden[:60], "a file without names": golden[:len(golden)-8],
	} {
		if _, err := Read([]byte(text)); err == nil {
			t.Errorf("%s is read", name)
		}
	}
}

// spread is what MXNet 1.9.1 saves of {"arg:v": row_sparse, "arg:w": [[1]]}, where
// v has the rows 0 0 0, 1 2 3, 0 0 0, 4 5 6.
const spread = "120100000000000000000000000000000200000000000000c9fa93f9010000000200000002000000000000000300000000000000020000000400000000000000" +
	"0300000000000000010000000000000000000000060000000100000002000000000000000000803f0000004000004040000080400000a0400000c0400100000000000000" +
	"0300000000000000c9fa93f90000000002000000010000000000000001000000000000000100000000000000000000000000803f020000000000000005000000000000006172" +
	"673a7605000000000000006172673a77"

func TestReadRowSparse(t *testing.T) {
	b, err := hex.DecodeString(spread)
	if err != nil {
		t.Fatal(err)
	}
	arrays, err := Named(b)
	if err != nil {
		t.Fatal(err)
	}
	if v := arrays["arg:v"]; !slices.Equal(v.Shape, []int{4, 3}) || !slices.Equal(v.Values, []float32{0, 0, 0, 1, 2, 3, 0, 0, 0, 4, 5, 6}) {
		t.Errorf("%+v", v)
	}
	if w := arrays["arg:w"]; !slices.Equal(w.Values, []float32{1}) {
		t.Errorf("%+v", w)
	}
	b[bytes.Index(b, []byte{3, 0, 0, 0, 0, 0, 0, 0, 0xc9})] = 4 // the second row that is stored
	if _, err := Read(b); err == nil || !strings.Contains(err.Error(), "row 4 of 4") {
		t.Errorf("a row that is none: %v", err)
	}
}

func FuzzRead(f *testing.F) {
	f.Add([]byte(golden))
	if b, err := hex.DecodeString(spread); err == nil {
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		arrays, err := Read(b)
		if err != nil {
			return
		}
		for _, a := range arrays {
			if len(a.Values) > maxSpread*len(b) {
				t.Errorf("%d values of %d bytes", len(a.Values), len(b))
			}
		}
	})
}
