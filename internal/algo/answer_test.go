// SPDX-License-Identifier: Apache-2.0

package algo

import (
	"math"
	"strings"
	"testing"
)

// What several goroutines write is what one would.
func TestManyRowsAreWrittenAsFewAre(t *testing.T) {
	for _, rows := range []int{Many - 1, Many, 5*Many + 3} {
		for _, width := range []int{1, 3} {
			p := Prediction{Width: width}
			for i := range rows * width {
				p.Values = append(p.Values, float32(math.Sin(float64(i))))
			}
			for _, how := range []Answer{{Accept: "text/csv"}, {Accept: "text/csv", Batch: true}, {Accept: "application/json"}, {Accept: "application/jsonlines"}} {
				all, err := AppendScores([]byte("x"), how, p)
				if err != nil {
					t.Fatal(err)
				}
				head, tail := "x", ""
				if how.Accept == "application/json" {
					head, tail = `x{"predictions": [`, "]}"
				}
				if want := head + string(appendSome(nil, how, p.Values, width, 0, rows)) + tail; string(all) != want {
					t.Errorf("%d rows of %d, %+v: they differ", rows, width, how)
				}
			}
		}
	}
	// However many cores there are.
	for parts := 2; parts < 5; parts++ {
		got := appendParts(nil, 10, parts, func(dst []byte, from, to int) []byte { return append(dst, "0123456789"[from:to]...) })
		if string(got) != "0123456789" {
			t.Errorf("%d parts: %q", parts, got)
		}
	}
}

func TestFewRowsMakeNoGarbage(t *testing.T) {
	p := Prediction{Values: []float32{0.5, 0.25, 1}, Width: 1}
	dst := make([]byte, 0, 100)
	for accept, want := range map[string]string{
		"text/csv":              "0.5,0.25,1.0",
		"application/json":      `{"predictions": [{"score": 0.5}, {"score": 0.25}, {"score": 1.0}]}`,
		"application/jsonlines": "{\"score\": 0.5}\n{\"score\": 0.25}\n{\"score\": 1.0}\n",
	} {
		var out []byte
		if n := testing.AllocsPerRun(100, func() { out, _ = AppendScores(dst, Answer{Accept: accept}, p) }); n > 0 || string(out) != want {
			t.Errorf("%s: %v allocations, %q", accept, n, out)
		}
	}
	if _, err := AppendScores(nil, Answer{Accept: "image/png"}, p); err == nil || !strings.Contains(err.Error(), "image/png") {
		t.Errorf("another type: %v", err)
	}
}
