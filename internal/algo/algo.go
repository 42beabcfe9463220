// SPDX-License-Identifier: Apache-2.0

// Package algo is the frame of the built-in algorithms. An algorithm says what
// it takes (Spec), learns (Train) and loads what it learned (Load); the frame
// reads /opt/ml, checks parameters, reports, and serves /ping and /invocations.
package algo

import (
	"context"
	"io/fs"
	"log/slog"

	"github.com/sagebrush-ml/sagebrush/internal/algo/collective"
)

// Algorithm is one built-in algorithm.
type Algorithm interface {
	Spec() Spec
	// Train learns from in. An error made by ClientErrorf is the user's to mend
	// and ends as FailureReason "ClientError: …"; any other as "AlgorithmError: …".
	// When ctx is cancelled (SIGTERM) it returns the model so far, or ctx's error
	// when there is nothing worth keeping.
	Train(ctx context.Context, in Input) (Model, error)
	// Load reads what Save wrote, or what the reference library wrote.
	Load(artifacts fs.FS) (Model, error)
}

// Model is what an algorithm learned.
type Model interface {
	// Save writes the artifact into the folder dir (/opt/ml/model).
	Save(dir string) error
	// Predict gives one row of the result for each row. It is safe for
	// concurrent use and keeps nothing of rows.
	Predict(ctx context.Context, rows *Matrix) (Prediction, error)
}

// IntoPredictor is a Model that can predict without making garbage.
type IntoPredictor interface {
	// PredictInto is Predict with the memory of values, whatever it holds, for
	// the result's where it suffices.
	PredictInto(ctx context.Context, rows *Matrix, values []float32) (Prediction, error)
}

// Responder is a Model whose requests are no rows of numbers: words, pairs of
// names and addresses. It reads and writes its bodies itself, in place of
// Predict, which nothing calls then.
type Responder interface {
	// Accepts is the media types that Respond writes; the first is the default.
	Accepts() []string
	// Respond appends the answer to a body of the type contentType (with its
	// parameters) to dst. A client error is one of the body; an error that wraps
	// ErrContentType says that bodies of the type cannot be read. It is safe for
	// concurrent use.
	Respond(ctx context.Context, dst []byte, how Answer, contentType string, body []byte) ([]byte, error)
}

// Mirror is a Responder that answers in the form of the request, whatever the
// Accept header says.
type Mirror interface {
	// AnswerType is the media type of the answer to a body of the type contentType.
	AnswerType(contentType string) string
}

// Compacter is a Model that holds more than prediction needs.
type Compacter interface {
	// Compact gives a model that predicts the same and holds nothing else; it
	// need not be able to Save. The two share memory.
	Compact() Model
}

// Sizer is a Model that knows how much memory it takes.
type Sizer interface {
	// MemoryBytes is that, in bytes.
	MemoryBytes() int64
}

// Prediction is n×Width, row-major.
type Prediction struct {
	Values []float32
	Width  int
}

// Matrix is Rows×Cols of float32, dense or sparse.
//
// Dense: Start is nil and Values is row-major, a missing value is NaN.
// Sparse (CSR): row i is Values[Start[i]:Start[i+1]] at the columns
// Index[Start[i]:Start[i+1]], ascending; what is not stored is missing.
type Matrix struct {
	Rows, Cols int
	Values     []float32
	Index      []int32
	Start      []int64

	Label  []float32 // Rows, or nil
	Weight []float32 // Rows, or nil for all 1
	Groups []int     // where each query group of a ranking begins, and Rows; nil where rows tell of none
}

// Sparse reports whether m is in CSR form.
func (m *Matrix) Sparse() bool { return m.Start != nil }

// Fits reports whether the rows are those of a model of so many features: sparse
// ones may end earlier.
func (m *Matrix) Fits(features int) bool {
	return m.Cols == features || m.Sparse() && m.Cols < features
}

// Row gives row i with all its Cols values. What a sparse row does not store is
// 0, as the first-party algorithms take it; the row is then written into room,
// which has Cols values. That of a dense matrix is its own memory.
func (m *Matrix) Row(i int, room []float32) []float32 {
	if !m.Sparse() {
		return m.Values[i*m.Cols : (i+1)*m.Cols]
	}
	room = room[:m.Cols]
	clear(room)
	for at := m.Start[i]; at < m.Start[i+1]; at++ {
		room[m.Index[at]] = m.Values[at]
	}
	return room
}

// Dense gives m with all its values, as Row does: m itself when it is dense.
func (m *Matrix) Dense() *Matrix {
	if !m.Sparse() {
		return m
	}
	d := &Matrix{Rows: m.Rows, Cols: m.Cols, Values: make([]float32, m.Rows*m.Cols), Label: m.Label, Weight: m.Weight}
	for i := range m.Rows {
		m.Row(i, d.Values[i*m.Cols:(i+1)*m.Cols])
	}
	return d
}

// Input is what Train works on.
type Input struct {
	Params   Params
	Channels map[string]*Channel // by name; the frame has checked Spec.Channels
	Host     string              // "algo-1"
	Hosts    []string            // sorted
	Peers    *collective.Group   // the Hosts of an algorithm whose Spec says Distributed; nil for one
	Threads  int                 // worker goroutines to use, ≥ 1
	Log      *slog.Logger        // diagnostics
	// Checkpoints is the folder for what an interrupted job goes on with, "" where
	// the job keeps none. What lies there when Train begins is of an earlier attempt.
	Checkpoints string
	// Output is the folder whose content becomes output.tar.gz, /opt/ml/output/data;
	// it may not be there yet. "" where there is none.
	Output string
	Print  func(format string, args ...any)
	// Print writes one line to the job's log exactly as given: the lines that
	// metric regexes match. A tab stays a tab; the log pipeline escapes it.
}

// Channel is one input channel.
type Channel struct {
	Name        string
	Dir         string // /opt/ml/input/data/<name>
	Pipe        bool   // in Pipe mode: in place of the folder Dir there are FIFOs Dir_0, Dir_1, ..., one for each epoch
	Wrapped     bool   // RecordWrapperType RecordIO: each object is one record
	ContentType string // as in the job, "" when absent
	Sharded     bool   // each host has its own part of the files, else all of them
}

// Spec is what an algorithm takes.
type Spec struct {
	Name     string // "xgboost"
	Params   []Param
	Channels []ChannelSpec
	Metrics  []Metric
	// Distributed says that Train works with Input.Peers. Of another algorithm
	// each host trains by itself, and the first one's model is kept.
	Distributed bool
}

// ChannelSpec is one channel that an algorithm reads.
type ChannelSpec struct {
	Name         string
	Required     bool
	Pipe         bool     // may come in Pipe mode
	ContentTypes []string // the accepted ones; the first is the default
}

// Metric is an objective that the log reports.
type Metric struct {
	Name     string // "validation:auc"
	Regex    string // finds it in a log event (tabs shown as #011)
	Maximize bool
}

// ParamKind is the type of a hyperparameter.
type ParamKind int

// The kinds. List is a comma-separated list of strings.
const (
	Int ParamKind = iota
	Float
	Enum
	Bool
	String
	List
)

// TuneRange is a range of values to search, bounds included.
type TuneRange struct{ Min, Max float64 }

// Param is one hyperparameter with its bounds.
type Param struct {
	Name     string
	Alias    []string
	Kind     ParamKind
	Required bool
	Default  string // "" when there is none
	// Min and Max bound Int and Float; nil is unbounded. The Open flags exclude
	// the bound itself.
	Min, Max         *float64
	OpenMin, OpenMax bool
	Values           []string // of Enum, and of each item of a List; a List without takes any
	Auto             bool     // "auto" is a value too: the algorithm chooses
	Tunable          bool
	// Tune is the range that AWS recommends for tuning an Int or Float; nil when
	// it publishes none. Autotune takes it.
	Tune *TuneRange
	Doc  string // one line for the generated table
}
