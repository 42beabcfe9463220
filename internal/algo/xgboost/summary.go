// SPDX-License-Identifier: Apache-2.0

package xgboost

import (
	"context"
	"encoding/binary"
	"fmt"
	"slices"

	"github.com/sagebrush-ml/sagebrush/internal/algo"
	"github.com/sagebrush-ml/sagebrush/internal/algo/collective"
	"github.com/sagebrush-ml/sagebrush/internal/algo/spill"
	"github.com/sagebrush-ml/sagebrush/internal/algo/vec"
)

// run is a value and how many rows have it.
type run struct {
	key uint32 // sortKey of the value
	n   int
}

// summaryRuns is how many runs per bin a host tells of a feature at the least
// when it does not tell of each value. The rank of any value is then wrong by at
// most one part in summaryRuns of the mean number of rows per bin; what the
// hosts tell together is wrong by no larger a part.
const summaryRuns = 16

// exactRuns is how many different values of a feature a host tells of one by
// one. What it tells is then exact, and so is the model: at six bytes or so for
// a value that is cheaper than a model that depends on the number of hosts.
const exactRuns = 1 << 20

// mostRuns is how many runs a host tells of a feature at most, if it is to tell
// of so many values one by one.
func mostRuns(maxBin, exact int) int { return max(summaryRuns*maxBin, exact) }

// summarize tells of sorted values in at most 2·most+1 runs. In a run that stands
// for more than one value the largest is named. A value that fills a run by
// itself has one of its own.
//
// This is the summary of weighted quantiles of the XGBoost paper (appendix A)
// in its simplest case: the values are at hand, sorted, and only thinned out.
func summarize(values []float32, most int) []run {
	var runs []run
	distinct := 0
	for i := range values {
		if i == 0 || values[i] != values[i-1] {
			distinct++
		}
	}
	full := 1 // rows that close a run
	if distinct > most {
		full = (len(values) + most - 1) / most
	}
	var open run // not closed yet
	for i := 0; i < len(values); {
		next := i + 1
		for next < len(values) && values[next] == values[i] {
			next++
		}
		if open.n > 0 && open.n+next-i > full { // so that no run is fuller than that but of one value
			runs = append(runs, open)
			open = run{}
		}
		open = run{sortKey(values[i]), open.n + next - i}
		if open.n >= full {
			runs = append(runs, open)
			open = run{}
		}
		i = next
	}
	if open.n > 0 {
		runs = append(runs, open)
	}
	return runs
}

// appendSummary writes one feature of one host: 1 if rows lack it, the number of
// runs, and for each the step from the key before and the rows.
func appendSummary(b []byte, missing bool, runs []run) []byte {
	flag := byte(0)
	if missing {
		flag = 1
	}
	b = binary.AppendUvarint(append(b, flag), uint64(len(runs)))
	last := uint32(0)
	for _, r := range runs {
		b = binary.AppendUvarint(b, uint64(r.key-last))
		b = binary.AppendUvarint(b, uint64(r.n))
		last = r.key
	}
	return b
}

// readSummary inverts appendSummary and gives what follows. ok is false for
// what it would not write.
func readSummary(b []byte) (missing bool, runs []run, rest []byte, ok bool) {
	if len(b) == 0 || b[0] > 1 {
		return false, nil, nil, false
	}
	missing, b = b[0] == 1, b[1:]
	next := func() uint64 {
		v, n := binary.Uvarint(b)
		if ok = n > 0; ok {
			b = b[n:]
		}
		return v
	}
	count := next()
	if !ok || count > uint64(len(b))/2 {
		return false, nil, nil, false
	}
	runs = make([]run, 0, count)
	key := uint64(0)
	for i := range count {
		step := next()
		if !ok {
			break
		}
		rows := next()
		if !ok {
			break
		}
		key += step
		if ok = step <= 1<<32 && key < 1<<32 && (step > 0 || i == 0) && rows > 0 && rows < 1<<40; !ok {
			break
		}
		runs = append(runs, run{uint32(key), int(rows)})
	}
	if !ok {
		return false, nil, nil, false
	}
	return missing, runs, b, true
}

// mergeRuns adds up b into a; both ascend.
func mergeRuns(a, b []run) []run {
	out := make([]run, 0, len(a)+len(b))
	for len(a) > 0 && len(b) > 0 {
		switch {
		case a[0].key < b[0].key:
			out, a = append(out, a[0]), a[1:]
		case a[0].key > b[0].key:
			out, b = append(out, b[0]), b[1:]
		default:
			out = append(out, run{a[0].key, a[0].n + b[0].n})
			a, b = a[1:], b[1:]
		}
	}
	return append(append(out, a...), b...)
}

// cutsOfRuns is cutsOf for runs, in ascending order.
func cutsOfRuns(runs []run, maxBin int) []float32 {
	if len(runs) == 0 {
		return emptyCuts()
	}
	total := 0
	for _, r := range runs {
		total += r.n
	}
	return cutsAt(func(yield func(float32, int) bool) {
		below := runs[0].n
		for _, r := range runs[1:] {
			if !yield(floatOf(r.key), below) {
				return
			}
			below += r.n
		}
	}, len(runs), total, floatOf(runs[len(runs)-1].key), maxBin)
}

// summaryFeatures is of how many features the hosts tell each other at once when
// none has more rows: it bounds the memory.
func summaryFeatures(most, rows int) int { return max(1, 1<<20/max(1, min(most, rows))) }

// cutAcross is cut for a matrix of which each host has some rows. All get the
// same bins. Where no host has more than mostRuns(maxBin, exact) different values
// of a feature, they are those that one host with all rows would make.
func cutAcross(ctx context.Context, peers *collective.Group, memory *spill.Space, m *algo.Matrix, maxBin, exact, threads int) (cutting, error) {
	if peers.Size() == 1 {
		return cut(memory, m, maxBin, threads)
	}
	maxBin = limitBins(maxBin)
	most := mostRuns(maxBin, exact)
	rows := []float64{float64(m.Rows)}
	if err := peers.MaxFloats(ctx, rows); err != nil {
		return cutting{}, fmt.Errorf("find common bins: %w", err)
	}
	c := cutting{make([][]float32, m.Cols), make([]bool, m.Cols)}
	group := summaryFeatures(most, int(rows[0]))
	for from := 0; from < m.Cols; from += group {
		n := min(group, m.Cols-from)
		told := make([][]byte, n)
		wrong := make([]bool, n)
		eachColumn(memory, m, threads, from, from+n, func(f int, values, tmp []float32) {
			i := f - from
			if wrong[i] = hasInfinity(values); wrong[i] {
				return
			}
			sortFloats(values, tmp)
			told[i] = appendSummary(nil, len(values) < m.Rows, summarize(values, most))
		})
		if i := slices.Index(wrong, true); i >= 0 {
			return c, infinite(from + i)
		}
		features, err := gatherRuns(ctx, peers, told, func(i int) { c.missing[from+i] = true })
		if err != nil {
			return c, fmt.Errorf("find common bins: %w", err)
		}
		vec.Parallel(threads, n, func(_, i int) {
			f := from + i
			c.bounds[f] = cutsOfRuns(features[i], binsOf(maxBin, c.missing[f]))
		})
	}
	return c, nil
}

// gatherRuns gives of some features the runs of all hosts together. told has
// what this host says of each, and lacks is called for those that rows lack.
func gatherRuns(ctx context.Context, peers *collective.Group, told [][]byte, lacks func(i int)) ([][]run, error) {
	all, err := peers.AllGather(ctx, slices.Concat(told...))
	if err != nil {
		return nil, err
	}
	features := make([][]run, len(told))
	for _, b := range all {
		for i := range told {
			missing, runs, rest, ok := readSummary(b)
			if !ok {
				return nil, errPeer
			}
			if b = rest; missing {
				lacks(i)
			}
			features[i] = mergeRuns(features[i], runs)
		}
		if len(b) > 0 {
			return nil, errPeer
		}
	}
	return features, nil
}
