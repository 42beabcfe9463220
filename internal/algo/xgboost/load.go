// SPDX-License-Identifier: Apache-2.0

package xgboost

import (
	"errors"
	"slices"

	"github.com/sagebrush-ml/sagebrush/internal/algo"
	"github.com/sagebrush-ml/sagebrush/internal/algo/data"
)

// loadChannels reads the channels train and validation; valid is nil where there
// is none. fits refuses labels.
func loadChannels(in algo.Input, c *config, fits func(float32) error, several bool) (train, valid *algo.Matrix, err error) {
	opts := data.Options{Weights: c.csvWeights, Threads: in.Threads, Memory: c.memory, CheckLabel: fits}
	if train, err = load(in.Channels["train"], opts, several); err != nil {
		return nil, nil, err
	}
	if ch := in.Channels["validation"]; ch != nil {
		if valid, err = loadValidation(ch, opts, train, several); err != nil {
			return nil, nil, err
		}
	}
	if c.dask && several { // its workers divide among them what all hosts have
		train, valid = shareOf(train, in), shareOf(valid, in)
	}
	return train, valid, nil
}

// loadValidation reads the channel validation. Of a CSV with csv_weights the
// containers from 1.3 on read weights here too, and those before did not: whose
// rows have no more columns than one weight less than those of train has none.
func loadValidation(ch *algo.Channel, opts data.Options, train *algo.Matrix, several bool) (*algo.Matrix, error) {
	// libsvm may well have more features, which then are the model's.
	if f, _, ok := data.ParseType(ch.ContentType); ok && f != data.LibSVM && train.Rows > 0 && !train.Sparse() {
		opts.Cols, opts.ColsOf = train.Cols, data.OfTrain
	}
	m, err := load(ch, opts, several)
	if !opts.Weights || ch.Pipe || err == nil && m.Cols+1 != train.Cols {
		return m, err
	}
	opts.Weights = false
	if plain, err := load(ch, opts, several); err == nil && plain.Cols == train.Cols {
		return plain, nil
	}
	return m, err
}

// load reads a channel. Of several hosts one may have no rows.
func load(ch *algo.Channel, opts data.Options, several bool) (*algo.Matrix, error) {
	m, err := data.Load(ch, opts)
	if several && errors.Is(err, data.ErrNoRows) {
		return new(algo.Matrix), nil
	}
	return m, err
}

// fitsDask refuses the channels that training by Dask does not take, in the
// words of the container.
func fitsDask(in algo.Input) error {
	for _, name := range []string{"train", "validation"} {
		ch := in.Channels[name]
		if ch == nil {
			continue
		}
		format, _, _ := data.ParseType(ch.ContentType)
		switch {
		case ch.Pipe:
			return algo.ClientErrorf("%s channel: Dask training is not supported for pipe mode input.", name)
		case !slices.Contains([]data.Format{data.CSV, data.Parquet}, format):
			return algo.ClientErrorf("%s channel: Dask training is only supported for CSV and Parquet input.", name)
		case ch.Sharded && len(in.Hosts) > 1:
			return algo.ClientErrorf("%s channel: Dask distributed training requires FullyReplicated data.", name)
		}
	}
	return nil
}

// shareOf is this host's share of the rows of m, which all hosts have; it is
// dense, and in the memory of m.
func shareOf(m *algo.Matrix, in algo.Input) *algo.Matrix {
	if m == nil {
		return nil
	}
	lo, hi := in.Peers.Rank()*m.Rows/in.Peers.Size(), (in.Peers.Rank()+1)*m.Rows/in.Peers.Size()
	part := &algo.Matrix{Rows: hi - lo, Cols: m.Cols, Values: m.Values[lo*m.Cols : hi*m.Cols], Label: m.Label[lo:hi]}
	if m.Weight != nil {
		part.Weight = m.Weight[lo:hi]
	}
	return part
}
