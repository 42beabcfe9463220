// SPDX-License-Identifier: Apache-2.0

package algo

import (
	"bytes"
	"fmt"
	"math"
	"strconv"
)

// Answer says how a prediction is to be written.
type Answer struct {
	Accept string // a media type that the Formatter accepts, lower case
	// Batch is set under batch transform (SAGEMAKER_BATCH), where CSV answers
	// hold one row per line so that they can be assembled by line.
	Batch bool
	// Output is SAGEMAKER_INFERENCE_OUTPUT, the content that the caller
	// selected, in order; nil when unset.
	Output []string
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
	width := max(1, p.Width)
	rows := len(p.Values) / width
	switch how.Accept {
	case "text/csv":
		for i := range rows {
			if i > 0 && !how.Batch {
				dst = append(dst, ',')
			}
			dst = appendRow(dst, p.Values[i*width:(i+1)*width], AppendNumber)
			if how.Batch {
				dst = append(dst, '\n')
			}
		}
	case "application/json":
		dst = append(dst, `{"predictions": [`...)
		for i := range rows {
			if i > 0 {
				dst = append(dst, ", "...)
			}
			dst = appendScore(dst, p.Values[i*width:(i+1)*width])
		}
		dst = append(dst, "]}"...)
	case "application/jsonlines":
		for i := range rows {
			dst = append(appendScore(dst, p.Values[i*width:(i+1)*width]), '\n')
		}
	default:
		return dst, fmt.Errorf("cannot write a prediction as %s", how.Accept)
	}
	return dst, nil
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
