// SPDX-License-Identifier: Apache-2.0

package xgboost

import (
	"github.com/sagebrush-ml/sagebrush/internal/algo"
	"github.com/sagebrush-ml/sagebrush/internal/recordio"
)

// recordType is the media type of answers in RecordIO-protobuf.
const recordType = "application/x-recordio-protobuf"

// scoreRecords appends a record for each row, whose label "score" is the
// prediction.
func scoreRecords(dst []byte, p algo.Prediction) []byte {
	width := max(1, p.Width)
	return algo.AppendRows(dst, len(p.Values)/width, func(dst []byte, from, to int) []byte {
		for i := from; i < to; i++ {
			dst = appendRecord(dst, recordio.Entry{
				Name: "score", Value: recordio.Value{Kind: recordio.Float32, Float32: p.Values[i*width : (i+1)*width]},
			})
		}
		return dst
	})
}

// record appends what is selected of a row: a label for each key.
func (s selection) record(dst []byte, row []float32) []byte {
	entries := make([]recordio.Entry, len(s.order))
	for i, key := range s.order {
		v := s.value(key, row)
		if !v.isList {
			v.list = []float64{v.number}
		}
		values := make([]float32, len(v.list))
		for j, x := range v.list {
			values[j] = float32(x)
		}
		entries[i] = recordio.Entry{Name: key, Value: recordio.Value{Kind: recordio.Float32, Float32: values}}
	}
	return appendRecord(dst, entries...)
}

// appendRecord appends a record with these labels.
func appendRecord(dst []byte, labels ...recordio.Entry) []byte {
	rec := recordio.Record{Label: labels}
	dst, err := recordio.AppendWhole(dst, rec.Append(nil))
	if err != nil { // half a gigabyte in one row
		panic(err)
	}
	return dst
}
