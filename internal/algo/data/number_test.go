// SPDX-License-Identifier: Apache-2.0

package data

import (
	"fmt"
	"math"
	"math/rand/v2"
	"strconv"
	"testing"
)

// checkNumber compares the quick scan with strconv, where the scan answers.
func checkNumber(t *testing.T, text string) (quick bool) {
	t.Helper()
	v, next, ok := scanNumber([]byte(text), 0)
	if !ok {
		return false
	}
	want, err := strconv.ParseFloat(text[:next], 32)
	if err != nil {
		t.Fatalf("%q was read as %v, but: %v", text[:next], v, err)
	}
	if math.Float32bits(v) != math.Float32bits(float32(want)) {
		t.Fatalf("%q was read as %v (%#x), want %v (%#x)", text[:next], v, math.Float32bits(v), float32(want), math.Float32bits(float32(want)))
	}
	return true
}

// TestScanNumber compares with strconv over every way of writing floats, and
// close to the middles between two float32, where rounding is decided.
func TestScanNumber(t *testing.T) {
	rng := rand.New(rand.NewPCG(7, 7))
	quick, n := 0, 0
	check := func(text string) {
		n++
		if checkNumber(t, text) {
			quick++
		}
	}
	draws := 200_000
	if raced {
		draws /= 10
	}
	for range draws {
		v := math.Float32frombits(rng.Uint32())
		if v != v || math.IsInf(float64(v), 0) {
			continue
		}
		check(strconv.FormatFloat(float64(v), 'g', -1, 32))
		check(strconv.FormatFloat(rng.NormFloat64(), 'f', rng.IntN(18), 64))
		middle := (float64(v) + float64(math.Nextafter32(v, float32(math.Inf(1))))) / 2
		for _, x := range []float64{middle, math.Nextafter(middle, 0), math.Nextafter(middle, 1e300)} {
			check(strconv.FormatFloat(x, 'e', 16+rng.IntN(3), 64))
		}
		check(fmt.Sprintf("%d.%de%d", rng.IntN(1e9), rng.IntN(1e9), rng.IntN(140)-70))
	}
	if quick < n/3 {
		t.Errorf("only %d of %d numbers took the quick path", quick, n)
	}
	usual := 0
	for range 10_000 {
		if checkNumber(t, strconv.FormatFloat(rng.NormFloat64()*100, 'f', 6, 64)) {
			usual++
		}
	}
	if usual < 9_990 {
		t.Errorf("only %d of 10000 usual numbers took the quick path", usual)
	}
}

func FuzzScanNumber(f *testing.F) {
	for _, seed := range []string{"0", "-0.0", "1.5e-45", "16777217", "3.4028236e38", "9007199791611905", "1e", ".", "+.5", "1.e5", "18446744073709551616", "12.1234567812345678,                   "} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) { checkNumber(t, text) })
}
