// SPDX-License-Identifier: Apache-2.0

package firstparty

import (
	"fmt"

	"github.com/sagebrush-ml/sagebrush/internal/algo"
	"github.com/sagebrush-ml/sagebrush/internal/recordio"
)

// Field is a named part of each row of a Prediction.
type Field struct {
	Name    string // "closest_cluster"
	Width   int    // columns of the Prediction
	List    bool   // written as a list, even of one
	Integer bool   // a whole number, written as one
	Verbose bool   // only where the Accept header says verbose=true
}

// Layout is how an algorithm words its predictions. A Model that embeds one is
// an algo.Formatter:
//
//	application/json                  {"predictions": [{"score": 0.5}]}
//	application/jsonlines             {"score": 0.5} per line
//	text/csv                          the values of a row per line
//	application/x-recordio-protobuf   a record per row, with a label per field
//
// Source: "Common Data Formats for Inference" in the SageMaker developer guide.
type Layout struct {
	Of     string  // the list's name: "predictions"
	Fields []Field // of a row, in order; their widths make that of the Prediction
}

var _ algo.Formatter = Layout{}

var mediaTypes = []string{"application/json", "application/jsonlines", "text/csv", "application/x-recordio-protobuf"}

// Accepts has JSON first, the default of first-party algorithms.
func (Layout) Accepts() []string { return mediaTypes }

// Width is how many columns the Prediction has.
func (l Layout) Width() int {
	width := 0
	for _, f := range l.Fields {
		width += f.Width
	}
	return width
}

// Format implements algo.Formatter.
func (l Layout) Format(dst []byte, how algo.Answer, p algo.Prediction) ([]byte, error) {
	width := l.Width()
	if p.Width != width {
		return dst, fmt.Errorf("a prediction of width %d for fields of %d", p.Width, width)
	}
	rows, verbose := len(p.Values)/width, how.Param("verbose") == "true" || how.Param("verbose") == "True"
	write := l.jsonRow
	switch how.Accept {
	case "application/json":
		dst = append(append(append(dst, `{"`...), l.Of...), `": [`...)
	case "text/csv":
		write = l.csvRow
	case "application/x-recordio-protobuf":
		write = l.record
	}
	dst = algo.AppendRows(dst, rows, func(dst []byte, from, to int) []byte {
		for i := from; i < to; i++ {
			if i > 0 && how.Accept == "application/json" {
				dst = append(dst, ", "...)
			}
			dst = write(dst, p.Values[i*width:(i+1)*width], verbose)
			if how.Accept == "text/csv" || how.Accept == "application/jsonlines" {
				dst = append(dst, '\n')
			}
		}
		return dst
	})
	if how.Accept == "application/json" {
		dst = append(dst, "]}"...)
	}
	return dst, nil
}

// each calls do with the fields that are asked for, and their values.
func (l Layout) each(row []float32, verbose bool, do func(f Field, values []float32)) {
	for _, f := range l.Fields {
		values := row[:f.Width]
		row = row[f.Width:]
		if verbose || !f.Verbose {
			do(f, values)
		}
	}
}

func (l Layout) jsonRow(dst []byte, row []float32, verbose bool) []byte {
	head := `{"`
	l.each(row, verbose, func(f Field, values []float32) {
		dst = append(append(append(dst, head...), f.Name...), `": `...)
		head = `, "`
		if f.List {
			dst = append(dst, '[')
		}
		for i, v := range values {
			if i > 0 {
				dst = append(dst, ", "...)
			}
			dst = f.number(dst, v, algo.AppendJSONNumber)
		}
		if f.List {
			dst = append(dst, ']')
		}
	})
	return append(dst, '}')
}

func (l Layout) csvRow(dst []byte, row []float32, verbose bool) []byte {
	from := len(dst)
	l.each(row, verbose, func(f Field, values []float32) {
		for _, v := range values {
			if len(dst) > from {
				dst = append(dst, ',')
			}
			dst = f.number(dst, v, algo.AppendNumber)
		}
	})
	return dst
}

func (f Field) number(dst []byte, v float32, write func([]byte, float32) []byte) []byte {
	if f.Integer && v == float32(int64(v)) {
		return fmt.Appendf(dst, "%d", int64(v))
	}
	return write(dst, v)
}

func (l Layout) record(dst []byte, row []float32, verbose bool) []byte {
	var rec recordio.Record
	l.each(row, verbose, func(f Field, values []float32) {
		rec.Label = append(rec.Label, recordio.Entry{Name: f.Name, Value: recordio.Value{Kind: recordio.Float32, Float32: values}})
	})
	dst, err := recordio.AppendWhole(dst, rec.Append(nil))
	if err != nil { // half a gigabyte in one row
		panic(err)
	}
	return dst
}
