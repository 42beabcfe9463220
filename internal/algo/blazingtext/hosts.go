// SPDX-License-Identifier: Apache-2.0

package blazingtext

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"

	"github.com/sagebrush-ml/sagebrush/internal/algo/collective"
)

// Of several hosts each learns from its own text and, some times in each epoch,
// takes the mean of all hosts' vectors, each weighed by its share of the text.
// All draw from one dictionary. What they learn is near to what one host learns
// of all the text, not the same.
//
// Source: Ji et al., 2016, section III.E.
const meansPerEpoch = 8

// together puts the words that all hosts counted in one counter, in the order of
// the hosts' ranks, and tells where this host's own are in it.
func together(ctx context.Context, peers *collective.Group, own *counter) (all *counter, places []int32, err error) {
	var b []byte
	for _, e := range own.entries {
		b = binary.AppendUvarint(append(binary.AppendUvarint(b, uint64(len(e.word))), e.word...), uint64(e.count))
	}
	each, err := peers.AllGather(ctx, b)
	if err != nil {
		return nil, nil, err
	}
	all = newCounter()
	for rank, b := range each {
		for len(b) > 0 {
			n, at := binary.Uvarint(b)
			if at <= 0 || n > uint64(len(b)-at) {
				return nil, nil, fmt.Errorf("host %s sent words that cannot be read", peers.Host(rank))
			}
			word := b[at : at+int(n)]
			b = b[at+int(n):]
			count, at := binary.Uvarint(b)
			if at <= 0 {
				return nil, nil, fmt.Errorf("host %s sent words that cannot be read", peers.Host(rank))
			}
			b = b[at:]
			place := all.add(bytes.Clone(word), hashOf(word), int64(count))
			if rank == peers.Rank() {
				places = append(places, place)
			}
		}
	}
	return all, places, nil
}

// merged is how many values are put together at a time.
const merged = 1 << 20

// average makes m the mean of all hosts', of which this one's has a weight.
func average(ctx context.Context, peers *collective.Group, m *matrix, weight float64) error {
	block := max(merged/m.dim, 1)
	sum := make([]float64, 0, min(block, m.rows)*m.dim)
	for from := 0; from < m.rows; from += block {
		to := min(from+block, m.rows)
		sum = sum[:0]
		for i := from; i < to; i++ {
			for _, v := range m.row(i) {
				sum = append(sum, weight*float64(v))
			}
		}
		if err := peers.SumFloats(ctx, sum); err != nil {
			return err
		}
		for i := from; i < to; i++ {
			for j, v := range sum[(i-from)*m.dim : (i-from+1)*m.dim] {
				m.row(i)[j] = float32(v)
			}
		}
	}
	return nil
}
