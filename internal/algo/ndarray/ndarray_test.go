// SPDX-License-Identifier: Apache-2.0

package ndarray

import (
	"reflect"
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

func FuzzRead(f *testing.F) {
	f.Add([]byte(golden))
	f.Fuzz(func(t *testing.T, b []byte) {
		arrays, err := Read(b)
		if err != nil {
			return
		}
		for _, a := range arrays {
			if len(a.Values) > len(b) {
				t.Errorf("%d values of %d bytes", len(a.Values), len(b))
			}
		}
	})
}
