// SPDX-License-Identifier: Apache-2.0

package algo

import (
	"bytes"
	"fmt"
	"math"
	"runtime"
	"strconv"
	"strings"
	"sync"
)

// Answer says how a prediction is to be written.
type Answer struct {
	Accept string // a media type that the Formatter accepts, lower case
	// Params is what followed it in the request: "verbose=true".
	Params string
	// Batch is set under batch transform (SAGEMAKER_BATCH), where CSV answers
	// hold one row per line so that they can be assembled by line.
	Batch bool
	// Output is SAGEMAKER_INFERENCE_OUTPUT, the content that the caller
	// selected, in order; nil when unset.
	Output []string
}

// Param is the parameter name of the Accept header, "" when it has none. A
// parameter without a value, as ";verbose", is "true".
func (a Answer) Param(name string) string {
	for param := range strings.SplitSeq(a.Params, ";") {
		key, value, has := strings.Cut(param, "=")
		if !strings.EqualFold(strings.TrimSpace(key), name) {
			continue
		}
		if !has {
			return "true"
		}
		return strings.Trim(strings.TrimSpace(value), `"`)
	}
	return ""
}

// Formatter is a Model that words its own answers. Others are answered as
// JSON, JSON Lines or CSV with one "score" per row.
type Formatter interface {
	// Accepts is the media types that Format writes; the first is the default.
	Accepts() []string
	// Format appends p to dst. It is safe for concurrent use.
	Format(dst []byte, how Answer, p Prediction) ([]byte, error)
}

// RowChecker is a Model that refuses rows of the wrong shape before they are
// predicted. format is "csv", "libsvm", "json" or "jsonlines". Its error is a
// client error.
type RowChecker interface {
	CheckRows(format string, rows *Matrix) error
}

// AppendNumber appends v as Python's str(float(v)) prints it, which is how the
// AWS containers answer: the shortest text that gives the float64 of v back,
// with ".0" on whole numbers, "nan" and "inf".
func AppendNumber(dst []byte, v float32) []byte { return AppendNumber64(dst, float64(v)) }

// AppendNumber64 is AppendNumber of a float64.
func AppendNumber64(dst []byte, x float64) []byte {
	switch abs := math.Abs(x); {
	case math.IsNaN(x):
		return append(dst, "nan"...)
	case math.IsInf(x, 1):
		return append(dst, "inf"...)
	case math.IsInf(x, -1):
		return append(dst, "-inf"...)
	case abs != 0 && (abs < 1e-4 || abs >= 1e16): // the limits of Python's repr
		return strconv.AppendFloat(dst, x, 'e', -1, 64)
	}
	from := len(dst)
	dst = strconv.AppendFloat(dst, x, 'f', -1, 64)
	if bytes.IndexByte(dst[from:], '.') < 0 {
		dst = append(dst, ".0"...)
	}
	return dst
}

// AppendJSONNumber appends v as Python's json.dumps prints it: as AppendNumber,
// but NaN and Infinity, which JSON itself lacks.
func AppendJSONNumber(dst []byte, v float32) []byte { return AppendJSONNumber64(dst, float64(v)) }

// AppendJSONNumber64 is AppendJSONNumber of a float64.
func AppendJSONNumber64(dst []byte, x float64) []byte {
	switch {
	case math.IsNaN(x):
		return append(dst, "NaN"...)
	case math.IsInf(x, 1):
		return append(dst, "Infinity"...)
	case math.IsInf(x, -1):
		return append(dst, "-Infinity"...)
	}
	return AppendNumber64(dst, x)
}

// AppendScores writes p in the layout that the XGBoost container established:
//
//	text/csv                one line, joined by commas; under Batch one row per
//	                        line with a line end; a row wider than one is a list
//	                        [p0, p1]
//	application/json        {"predictions": [{"score": 0.5}]}
//	application/jsonlines   {"score": 0.5} per line
//
// Its error is another how.Accept.
func AppendScores(dst []byte, how Answer, p Prediction) ([]byte, error) {
	switch how.Accept {
	case "text/csv", "application/jsonlines":
		return appendAll(dst, how, p), nil
	case "application/json":
		dst = append(dst, `{"predictions": [`...)
		return append(appendAll(dst, how, p), "]}"...), nil
	}
	return dst, fmt.Errorf("cannot write a prediction as %s", how.Accept)
}

// appendAll appends all rows of p.
func appendAll(dst []byte, how Answer, p Prediction) []byte {
	width := max(1, p.Width)
	rows := len(p.Values) / width
	if rows < Many { // without a closure, which is garbage
		return appendSome(dst, how, p.Values, width, 0, rows)
	}
	return AppendRows(dst, rows, func(dst []byte, from, to int) []byte {
		return appendSome(dst, how, p.Values, width, from, to)
	})
}

// appendSome appends rows from to to.
func appendSome(dst []byte, how Answer, values []float32, width, from, to int) []byte {
	for i := from; i < to; i++ {
		row := values[i*width : (i+1)*width]
		switch how.Accept {
		case "text/csv":
			if i > 0 && !how.Batch {
				dst = append(dst, ',')
			}
			dst = appendRow(dst, row, AppendNumber)
			if how.Batch {
				dst = append(dst, '\n')
			}
		case "application/json":
			if i > 0 {
				dst = append(dst, ", "...)
			}
			dst = appendScore(dst, row)
		default:
			dst = append(appendScore(dst, row), '\n')
		}
	}
	return dst
}

// Many is from how many rows on AppendRows divides the work: half of them are
// worth a goroutine.
const Many = 1 << 11

// pieces keeps memory of parts of answers for reuse.
var pieces = sync.Pool{New: func() any { return new([]byte) }}

// AppendRows appends rows 0 to n to dst by write, which appends those from one
// to before another. Of many rows each core writes a part; write is then called
// by several goroutines at once.
func AppendRows(dst []byte, n int, write func(dst []byte, from, to int) []byte) []byte {
	parts := min(n/(Many/2), runtime.GOMAXPROCS(0))
	if parts <= 1 {
		return write(dst, 0, n)
	}
	return appendParts(dst, n, parts, write)
}

func appendParts(dst []byte, n, parts int, write func(dst []byte, from, to int) []byte) []byte {
	var wait sync.WaitGroup
	written := make([]*[]byte, parts)
	for i := 1; i < parts; i++ {
		wait.Go(func() {
			b := pieces.Get().(*[]byte)
			*b = write((*b)[:0], i*n/parts, (i+1)*n/parts)
			written[i] = b
		})
	}
	dst = write(dst, 0, n/parts)
	wait.Wait()
	for _, b := range written[1:] {
		dst = append(dst, *b...)
		pieces.Put(b)
	}
	return dst
}

func appendScore(dst []byte, row []float32) []byte {
	dst = append(dst, `{"score": `...)
	return append(appendRow(dst, row, AppendJSONNumber), '}')
}

// appendRow writes one number bare and more as a list, as Python does.
func appendRow(dst []byte, row []float32, number func([]byte, float32) []byte) []byte {
	if len(row) == 1 {
		return number(dst, row[0])
	}
	dst = append(dst, '[')
	for i, v := range row {
		if i > 0 {
			dst = append(dst, ", "...)
		}
		dst = number(dst, v)
	}
	return append(dst, ']')
}
