// SPDX-License-Identifier: Apache-2.0

package algotest

import (
	"bytes"
	"strings"

	"github.com/sagebrush-ml/sagebrush/internal/algo"
	"github.com/sagebrush-ml/sagebrush/internal/recordio"
)

// RecordIO is a channel of one RecordIO-protobuf file with the rows of a dense
// matrix and their labels. sparse leaves zeros out.
func RecordIO(m *algo.Matrix, sparse bool) Channel {
	var b []byte
	for r := range m.Rows {
		row := m.Values[r*m.Cols : (r+1)*m.Cols]
		x := recordio.Value{Kind: recordio.Float32, Float32: row}
		if sparse {
			x = recordio.Value{Kind: recordio.Float32, Shape: []uint64{uint64(m.Cols)}}
			for f, v := range row {
				if v != 0 {
					x.Keys, x.Float32 = append(x.Keys, uint64(f)), append(x.Float32, v)
				}
			}
		}
		rec := recordio.Record{Features: recordio.Values{{Name: recordio.Vector, Value: x}}}
		if m.Label != nil {
			rec.Label = recordio.Values{{Name: recordio.Vector, Value: recordio.Value{Kind: recordio.Float32, Float32: m.Label[r : r+1]}}}
		}
		b = frame(b, rec.Append(nil))
	}
	return Channel{ContentType: "application/x-recordio-protobuf", Files: map[string]string{"data.rec": string(b)}}
}

// frame appends payload as a record.
func frame(b, payload []byte) []byte {
	b, err := recordio.AppendWhole(b, payload)
	if err != nil { // half a gigabyte
		panic(err)
	}
	return b
}

// pieces takes a file apart where it may be divided among hosts: after lines, or
// after records.
func pieces(contentType, text string) []string {
	var all []string
	if !strings.Contains(contentType, "recordio") {
		if all = strings.SplitAfter(text, "\n"); all[len(all)-1] == "" {
			all = all[:len(all)-1]
		}
		return all
	}
	for r := recordio.NewReader(bytes.NewReader([]byte(text)), 0); ; {
		payload, err := r.Next()
		if err != nil {
			return all
		}
		all = append(all, string(frame(nil, payload)))
	}
}
