// SPDX-License-Identifier: Apache-2.0

package xgboost

import (
	"bytes"
	"math"
	"math/rand/v2"
	"slices"
	"testing"
)

// runsOf makes a run of each different value.
func runsOf(sorted []float32) []run { return summarize(sorted, len(sorted)+1) }

func TestCutsOfRunsAreThoseOfValues(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 5))
	for range 300 {
		values := make([]float32, rng.IntN(2000))
		spread := math.Exp2(rng.Float64() * 12)
		for i := range values {
			values[i] = float32(math.Floor(rng.NormFloat64() * spread))
		}
		maxBin := 2 + rng.IntN(300)
		want := cutsOf(values, make([]float32, len(values)), maxBin)
		if got := cutsOfRuns(runsOf(values), maxBin); !slices.Equal(got, want) {
			t.Fatalf("%d values, %d bins: cuts %v, want %v", len(values), maxBin, got, want)
		}
		// In whatever way the values are divided.
		at := rng.IntN(len(values) + 1)
		var parts [2][]float32
		for i, v := range values {
			k := 0
			if i*7919%max(len(values), 1) >= at {
				k = 1
			}
			parts[k] = append(parts[k], v)
		}
		if got := cutsOfRuns(mergeRuns(runsOf(parts[0]), runsOf(parts[1])), maxBin); !slices.Equal(got, want) {
			t.Fatalf("%d values in two parts, %d bins: cuts %v, want %v", len(values), maxBin, got, want)
		}
	}
}

// Bins made of summaries must be as full as they should be, up to the error
// that summaryRuns tells of.
func TestSummariesKeepTheirError(t *testing.T) {
	const hosts, rows, maxBin = 3, 20_000, 64
	rng := rand.New(rand.NewPCG(1, 9))
	var all []float32
	var merged []run
	for host := range hosts {
		values := make([]float32, rows)
		for i := range values {
			values[i] = float32(rng.NormFloat64()*float64(host+1) + float64(host)) // differently distributed
			if i%4 == 0 {
				values[i] = 1.5 // a value that repeats
			}
		}
		all = append(all, values...)
		slices.Sort(values)
		runs := summarize(values, summaryRuns*maxBin)
		if len(runs) > 2*summaryRuns*maxBin+1 {
			t.Fatalf("%d runs", len(runs))
		}
		merged = mergeRuns(merged, runs)
	}
	slices.Sort(all)
	// The rank that the runs give a value is off by no more than a part in
	// summaryRuns of a bin.
	below, allowed := 0, hosts*rows/maxBin/summaryRuns+hosts
	for i, r := range merged {
		v := floatOf(r.key)
		below += r.n
		upTo := len(all)
		if i+1 < len(merged) {
			upTo, _ = slices.BinarySearch(all, math.Nextafter32(v, float32(math.Inf(1))))
		}
		if d := below - upTo; d > allowed || d < -allowed {
			t.Fatalf("rank of %v is %d, said to be %d: more than %d apart", v, upTo, below, allowed)
		}
	}
	cuts := cutsOfRuns(merged, maxBin)
	if len(cuts) != maxBin {
		t.Fatalf("%d bins", len(cuts))
	}
	last := 0
	for _, c := range cuts {
		end, _ := slices.BinarySearch(all, c)
		// Three quarters of the values share the bins but one.
		if n := end - last; n > hosts*rows/maxBin+2*allowed && !(c > 1.5 && floatOf(sortKey(c)) < 1.6) {
			t.Errorf("a bin up to %v holds %d rows", c, n)
		}
		last = end
	}
}

func TestSortKeyIsInverted(t *testing.T) {
	for _, v := range []float32{0, 1, -1, math.MaxFloat32, -math.MaxFloat32, math.SmallestNonzeroFloat32, -math.SmallestNonzeroFloat32, 3.25} {
		if got := floatOf(sortKey(v)); got != v {
			t.Errorf("%v becomes %v", v, got)
		}
	}
}

func FuzzSummary(f *testing.F) {
	f.Add(appendSummary(nil, true, []run{{1, 2}, {5, 1 << 30}, {math.MaxUint32, 1}}))
	f.Add(appendSummary(nil, false, nil))
	f.Add([]byte{0, 255, 255, 255, 255, 15})
	f.Fuzz(func(t *testing.T, b []byte) {
		missing, runs, rest, ok := readSummary(b)
		if !ok {
			return
		}
		again := appendSummary(nil, missing, runs)
		m2, r2, rest2, ok := readSummary(again)
		if !ok || m2 != missing || !slices.Equal(r2, runs) || len(rest2) > 0 || len(rest) > len(b) {
			t.Fatalf("%v becomes %v", runs, r2)
		}
		cutsOfRuns(runs, 16)
	})
}

func FuzzLevels(f *testing.F) {
	f.Add(encodeLevels([]level{{math.MaxUint32, 1, 2}, {7, 0.5, 0}, {0, 0, 1 << 40}}))
	f.Fuzz(func(t *testing.T, b []byte) {
		levels, ok := decodeLevels(b)
		if !ok {
			return
		}
		again, ok := decodeLevels(encodeLevels(levels))
		if !ok || len(again) != len(levels) {
			t.Fatalf("%d levels become %d", len(levels), len(again))
		}
		for i, l := range levels {
			if again[i].key != l.key || math.Float64bits(again[i].negative) != math.Float64bits(l.negative) && l.negative == l.negative {
				t.Fatalf("level %d: %v becomes %v", i, l, again[i])
			}
		}
	})
}

func TestSplitsTravel(t *testing.T) {
	want := split{gain: 1.25, feature: 70_000, bin: 255, missingLeft: true, left: sums{-5, 1 << 50}}
	b := want.append(nil)
	if got := readSplit(b); got != want || len(b) != splitBytes {
		t.Errorf("%+v in %d bytes", got, len(b))
	}
	if !bytes.Equal(split{}.append(nil), make([]byte, splitBytes)) {
		t.Error("no split is not all zeros")
	}
}
