// SPDX-License-Identifier: Apache-2.0

// Package across reads a channel whose rows several hosts share, such that what
// they learn together is what one host would learn from all of them: each row
// has its place among those of all hosts.
package across

import (
	"context"
	"errors"
	"fmt"

	"github.com/sagebrush-ml/sagebrush/internal/algo"
	"github.com/sagebrush-ml/sagebrush/internal/algo/data"
)

// Part is a host's part of the rows of a channel. Cols is the same on all hosts.
type Part struct {
	*algo.Matrix
	First int // the place of its first row among those of all hosts
	Total int // rows of all hosts
	// AnySparse says that some host's rows are sparse.
	AnySparse bool
}

// Load reads the part of channel ch that this host has: of a sharded channel its
// own rows, of a replicated one a stretch of them, so that no row counts twice.
// One host of several may have none. Errors are those of data.Load, and client
// errors when no host has a row or the hosts' rows are of different lengths.
func Load(ctx context.Context, in algo.Input, ch *algo.Channel, opts data.Options) (Part, error) {
	several := in.Peers.Size() > 1
	if len(in.Hosts) > 1 && !several {
		return Part{}, fmt.Errorf("train on %d hosts: they are not connected", len(in.Hosts))
	}
	m, err := data.Load(ch, opts)
	switch {
	case several && errors.Is(err, data.ErrNoRows):
		m = new(algo.Matrix)
	case err != nil:
		return Part{}, err
	case !several:
		return Part{Matrix: m, Total: m.Rows, AnySparse: m.Sparse()}, nil
	}
	rank, hosts := in.Peers.Rank(), in.Peers.Size()
	if !ch.Sharded {
		m = Stretch(m, rank*m.Rows/hosts, (rank+1)*m.Rows/hosts)
	}
	all := make([]int64, 3*hosts)
	all[3*rank], all[3*rank+1] = int64(m.Rows), int64(m.Cols)
	if m.Sparse() {
		all[3*rank+2] = 1
	}
	if err := in.Peers.SumInts(ctx, all); err != nil {
		return Part{}, err
	}
	p := Part{Matrix: m}
	cols, from := 0, 0
	for h := range hosts {
		if h < rank {
			p.First += int(all[3*h])
		}
		p.Total += int(all[3*h])
		p.AnySparse = p.AnySparse || all[3*h+2] == 1
		if c := int(all[3*h+1]); all[3*h] > 0 && c > cols {
			cols, from = c, h
		}
	}
	if p.Total == 0 {
		return Part{}, algo.ClientErrorf("%s channel: %w", ch.Name, data.ErrNoRows)
	}
	for h := range hosts {
		if rows, c, sparse := all[3*h], int(all[3*h+1]), all[3*h+2] == 1; rows > 0 && !sparse && c != cols {
			return Part{}, algo.ClientErrorf("%s channel: the rows of host %s have %d features, those of host %s %d",
				ch.Name, in.Peers.Host(h), c, in.Peers.Host(from), cols)
		}
	}
	m.Cols = cols
	return p, nil
}

// Stretch is rows from to to of m. The two share memory.
func Stretch(m *algo.Matrix, from, to int) *algo.Matrix {
	s := &algo.Matrix{Rows: to - from, Cols: m.Cols}
	if m.Sparse() {
		s.Values, s.Index, s.Start = m.Values, m.Index, m.Start[from:to+1]
	} else {
		s.Values = m.Values[from*m.Cols : to*m.Cols]
	}
	if m.Label != nil {
		s.Label = m.Label[from:to]
	}
	if m.Weight != nil {
		s.Weight = m.Weight[from:to]
	}
	return s
}
