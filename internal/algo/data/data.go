// SPDX-License-Identifier: Apache-2.0

// Package data reads what algorithms learn from and predict: CSV, libsvm,
// RecordIO-protobuf and the JSON forms of inference requests, from channels and
// from payloads.
package data

import (
	"runtime"
	"sync"
	"sync/atomic"

	"github.com/sagebrush-ml/sagebrush/internal/algo"
	"github.com/sagebrush-ml/sagebrush/internal/algo/spill"
)

// Options says how rows are laid out.
type Options struct {
	Weights bool // CSV has the instance weight in its second column
	Threads int  // worker goroutines; 0 is one per core
	NoLabel bool // rows hold features alone, as in inference requests

	// What follows is for Load alone.

	// Memory is where the matrix lies, which is valid until it is closed; nil is
	// Go's heap. Labels and weights are always there.
	Memory *spill.Space

	// Formats are those that the channel may have, the first the one of a
	// channel that does not say; nil is what the XGBoost container takes.
	Formats []Format
	// Unsupervised reads labels only to leave them out: a CSV has one in front of
	// each row unless its content type says label_size=0, as AWS has it.
	Unsupervised bool
	// Cols is how many features each row must have, 0 for any. ColsOf says in
	// errors why, in front of the number; "" is "feature_dim is".
	Cols   int
	ColsOf string
	// Finite refuses missing values, NaN and infinity.
	Finite bool
	// Bounds refuses values outside of them; nil takes all.
	Bounds *Bounds
	// CheckLabel refuses a label by an error that says what was expected; nil
	// takes all.
	CheckLabel func(y float32) error
}

// OfTrain is Options.ColsOf of a channel that must be as wide as the train channel.
const OfTrain = "the train channel has"

// Bounds are the smallest and the largest value that a feature may have. Want
// says in errors what was expected.
type Bounds struct {
	Min, Max float32
	Want     string
}

// Squarable bounds the values of rows whose squared distances are to be compared:
// the largest, summed up, are float32s still.
var Squarable = &Bounds{Min: -1e15, Max: 1e15, Want: "a number from -1e15 to 1e15, whose squares can be summed up,"}

// source is one file, or one payload under the name "".
type source struct {
	name   string
	b      []byte
	mapped bool // b is a file's own pages
}

// chunk is whole lines of one source.
type chunk struct {
	src      *source
	from, to int // bytes of src.b
}

func (c chunk) bytes() []byte { return c.src.b[c.from:c.to] }

// rest says that c is not needed for a while: a mapped file that has been read
// would count as memory of the process.
func (c chunk) rest() {
	if c.src.mapped {
		spill.RestFile(c.bytes())
	}
}

// A chunk has smallChunk to chunkBytes: it is large beside the cost of handing
// it over and small beside the whole, so that the cores end together.
const (
	chunkBytes = 1 << 20
	smallChunk = 128 << 10
	manyChunks = 32 // of these the whole is made where it is neither small nor large
)

// split cuts the sources into chunks that end at line ends.
func split(sources []source) []chunk {
	whole := 0
	for i := range sources {
		whole += len(sources[i].b)
	}
	size := min(max(whole/manyChunks, smallChunk), chunkBytes)
	var chunks []chunk
	for i := range sources {
		src := &sources[i]
		for from := skipBOM(src.b); from < len(src.b); {
			to := lineEnd(src.b, min(from+size, len(src.b))-1)
			c := chunk{src, from, to}
			c.rest() // the look at its end may bring many pages
			chunks = append(chunks, c)
			from = to
		}
	}
	return chunks
}

// each calls do for every i < n on up to threads goroutines. The error is that
// of the smallest failing i, whatever the timing: a call is left out only when
// a smaller one has failed.
func each(n, threads int, do func(i int) error) error {
	if threads <= 0 {
		threads = runtime.GOMAXPROCS(0)
	}
	if threads = min(threads, n); threads <= 1 {
		for i := range n {
			if err := do(i); err != nil {
				return err
			}
		}
		return nil
	}
	var (
		wg     sync.WaitGroup
		next   atomic.Int64
		mu     sync.Mutex
		failed atomic.Int64
		first  error
	)
	failed.Store(int64(n))
	for range threads {
		wg.Go(func() {
			for {
				i := next.Add(1) - 1
				if i >= failed.Load() {
					return
				}
				err := do(int(i))
				if err == nil {
					continue
				}
				mu.Lock()
				if i < failed.Load() {
					failed.Store(i)
					first = err
				}
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	return first
}

// resize gives s with length n, its memory reused where it suffices. The
// content is not defined.
func resize[T any](s []T, n int) []T {
	if cap(s) >= n {
		return s[:n]
	}
	return make([]T, n)
}

// room gives s with length n, from the space of o when there is one.
func room[T float32 | int32 | int64](o Options, s []T, n int) ([]T, error) {
	if cap(s) >= n || o.Memory == nil {
		return resize(s, n), nil
	}
	return spill.Make[T](o.Memory, n)
}

// clearMatrix empties m and keeps its memory.
func clearMatrix(m *algo.Matrix) {
	m.Rows, m.Cols = 0, 0
	m.Values, m.Index, m.Start = m.Values[:0], m.Index[:0], m.Start[:0]
	m.Label, m.Weight = m.Label[:0], m.Weight[:0]
	m.Groups = nil
}
