// SPDX-License-Identifier: Apache-2.0

package xgboost

import (
	"context"
	"encoding/binary"
	"errors"
	"math"

	"github.com/sagebrush-ml/sagebrush/internal/algo"
	"github.com/sagebrush-ml/sagebrush/internal/algo/collective"
)

// place is where this host's rows stand among those of all hosts, taken one
// after the other in the order of the hosts. The zero place is one host by
// itself with unknown rows.
type place struct {
	peers *collective.Group // nil for one host
	first uint64            // number of the rows of the hosts before this one
	all   uint64            // rows of all hosts
}

// several tells whether there are other hosts.
func (p place) several() bool { return p.peers.Size() > 1 }

var errPeer = errors.New("another host sent something that cannot be read")

// gatherFloats gives what all hosts have, by host; each has as many numbers.
func gatherFloats(ctx context.Context, peers *collective.Group, v ...float64) ([][]float64, error) {
	var own []byte
	for _, x := range v {
		own = binary.LittleEndian.AppendUint64(own, math.Float64bits(x))
	}
	all, err := peers.AllGather(ctx, own)
	if err != nil {
		return nil, err
	}
	out := make([][]float64, len(all))
	for host, b := range all {
		if len(b) != len(own) {
			return nil, errPeer
		}
		for ; len(b) > 0; b = b[8:] {
			out[host] = append(out[host], math.Float64frombits(binary.LittleEndian.Uint64(b)))
		}
	}
	return out, nil
}

// settle finds what the hosts' parts of one data set come to together: where
// the rows of this one stand, and how many columns there are, which m gets too.
// Rows of a table must have the same number of columns everywhere; a host
// without rows takes what the others have.
func settle(ctx context.Context, peers *collective.Group, name string, m *algo.Matrix) (place, error) {
	at := place{peers: peers, all: uint64(m.Rows)}
	dense := 0.0
	if !m.Sparse() && m.Rows > 0 {
		dense = 1
	}
	all, err := gatherFloats(ctx, peers, float64(m.Rows), float64(m.Cols), dense)
	if err != nil {
		return at, err
	}
	at.all = 0
	table := -1 // a host with rows of a table
	for host, v := range all {
		if host == peers.Rank() {
			at.first = at.all
		}
		at.all += uint64(v[0])
		if v[2] == 0 {
			m.Cols = max(m.Cols, int(v[1]))
			continue
		}
		if table >= 0 && all[table][1] != v[1] {
			return at, algo.ClientErrorf("%s channel: the rows have %d features on host %s and %d on host %s",
				name, int(all[table][1]), peers.Host(table), int(v[1]), peers.Host(host))
		}
		table = host
		m.Cols = max(m.Cols, int(v[1]))
	}
	if at.all == 0 {
		return at, algo.ClientErrorf("No data in %s channel", name)
	}
	return at, nil
}
