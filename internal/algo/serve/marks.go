// SPDX-License-Identifier: Apache-2.0

package serve

import (
	"bytes"

	"github.com/sagebrush-ml/sagebrush/internal/recordio"
)

// marked gives the records of an answer the uids and metadata of those of the
// request, body. It is the answer itself where the request has none.
//
// Source: "Common Data Formats for Inference" in the SageMaker developer guide,
// "Multi-record inference with protobuf input".
func marked(answer, body []byte) []byte {
	var marks [][]byte
	some := false
	for r := recordio.NewReader(bytes.NewReader(body), 0); ; {
		record, err := r.Next()
		if err != nil { // the end: it was read before
			break
		}
		m := recordio.AppendMarks(nil, record)
		marks, some = append(marks, m), some || len(m) > 0
	}
	if !some {
		return answer
	}
	var out []byte
	r := recordio.NewReader(bytes.NewReader(answer), 0)
	for _, m := range marks {
		record, err := r.Next()
		if err == nil {
			out, err = recordio.AppendWhole(out, append(record, m...))
		}
		if err != nil { // another number of records, or one too large: an answer without is one
			return answer
		}
	}
	return out
}
