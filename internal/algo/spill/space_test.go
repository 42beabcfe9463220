// SPDX-License-Identifier: Apache-2.0

package spill

import (
	"runtime"
	"testing"
)

func TestSpace(t *testing.T) {
	const n = 1 << 18
	s := Of(5 << 20)
	defer s.Close()
	var arrays [][]float32
	for range 6 { // of 1 MiB each
		a, err := Make[float32](s, n)
		if err != nil {
			t.Fatal(err)
		}
		for i, v := range a {
			if v != 0 {
				t.Fatalf("element %d is %v", i, v)
			}
			a[i] = float32(i)
		}
		arrays = append(arrays, a)
		if spilled := s.Spilled(); spilled != (len(arrays) > 5) && runtime.GOOS == "linux" {
			t.Errorf("%d arrays: spilled is %v", len(arrays), spilled)
		}
	}
	for k, a := range arrays {
		Rest(s, a[3:n-3])
		for i, v := range a {
			if v != float32(i) {
				t.Fatalf("array %d: element %d is %v", k, i, v)
			}
		}
	}
}

func TestNilSpace(t *testing.T) {
	var s *Space
	a, err := Make[int64](s, 3)
	if err != nil || len(a) != 3 || s.Spilled() {
		t.Error(a, err)
	}
	Rest(s, a)
	s.Close()
}

func TestSmallArraysAreInMemory(t *testing.T) {
	s := Of(0)
	if a, err := Make[uint8](s, 100); err != nil || len(a) != 100 || s.Spilled() {
		t.Error(a, err)
	}
	if a, err := Make[uint8](s, 0); err != nil || len(a) != 0 {
		t.Error(a, err)
	}
}
