// SPDX-License-Identifier: Apache-2.0

package builtin

import (
	"encoding/json"
	"fmt"
	"regexp"
	"runtime"
	"runtime/metrics"
	"slices"
	"strings"
	"testing"
	"text/tabwriter"
	"time"

	"github.com/sagebrush-ml/sagebrush/internal/algo"
	"github.com/sagebrush-ml/sagebrush/internal/algo/algotest"
)

// outcome is what comes of a cell of the table: a model, or an error of four
// parts.
type outcome struct {
	trains  bool
	channel string // as the error names it; "train channel" when empty
	file    string // that of the format when empty, none for "-": what no file alone is to blame for
	row     int    // 0 for none
	want    string // the words that say what was expected
}

// badCase is one kind of data, for the formats and algorithms for which it makes sense.
type badCase struct {
	name    string
	formats []string
	of      func(s subject) bool // the algorithms; nil for all
	params  map[string]string    // laid over the subject's
	rows    func(s subject) rows // nil for good ones
	edit    func(t *testing.T, text string) string
	job     func(t *testing.T, s subject, format string, channels map[string]algotest.Channel)
	outcome func(s subject, format string) outcome
	d       int  // features of the model that is learned; 0 for those of good rows, -1 for none
	same    bool // the model is that of good rows
}

// Each algorithm is given each kind of data in each format: it trains, and the
// model that was saved predicts finite numbers, or the job fails by an error of
// the user's that names channel, file and row, and says what was expected. Run it
// with -v for the whole table.
func TestBadData(t *testing.T) {
	if len(subjects) != len(Names()) {
		t.Errorf("%d subjects of %d algorithms", len(subjects), len(Names()))
	}
	var table strings.Builder
	w := tabwriter.NewWriter(&table, 0, 0, 2, ' ', 0)
	for _, c := range cases {
		if !slices.ContainsFunc(subjects, func(s subject) bool { return c.suits(s) != nil }) {
			t.Errorf("%s is tried by none", c.name)
		}
		for _, s := range subjects {
			for _, format := range c.suits(s) {
				t.Run(c.name+"/"+s.name+"/"+format, func(t *testing.T) {
					fmt.Fprintf(w, "%s\t%s\t%s\t%s\n", c.name, s.name, format, c.try(t, s, format))
				})
			}
		}
	}
	_ = w.Flush()
	t.Logf("\n%s", table.String())
}

// suits gives the formats in which s is tried.
func (c badCase) suits(s subject) (formats []string) {
	for _, format := range s.formats {
		if slices.Contains(c.formats, format) && (c.of == nil || c.of(s)) {
			formats = append(formats, format)
		}
	}
	return formats
}

// try trains s on the data of c in a format, checks what comes of it, and says it.
func (c badCase) try(t *testing.T, s subject, format string) string {
	r := good(s)
	if c.rows != nil {
		r = c.rows(s)
	}
	text := r.file(t, s, format)
	if c.edit != nil {
		text = c.edit(t, text)
	}
	channels := map[string]algotest.Channel{"train": s.channel(format, text)}
	if c.job != nil {
		c.job(t, s, format, channels)
	}
	began := time.Now()
	told, model := s.train(t, c.params, channels)
	if took := time.Since(began); took > patience {
		t.Errorf("it took %v", took)
	}
	want := c.outcome(s, format)
	if model == nil {
		want.check(t, format, told)
		return told
	}
	if !want.trains {
		t.Errorf("it trains, want an error that says %q", want.want)
	}
	d := max(c.d, 0)
	if c.d == 0 {
		d = features
	}
	got := predictions(t, model, s, d)
	if c.same {
		_, model = s.train(t, c.params, map[string]algotest.Channel{"train": s.channel(format, good(s).file(t, s, format))})
		if want := predictions(t, model, s, d); got != want {
			t.Errorf("it predicts %s, where good rows make it %s", got, want)
		}
	}
	return "trains"
}

// patience is how long a cell may take: seconds where others use the processors.
const patience = 10 * time.Second

// train gives the model that was saved and loaded again, nil for a failed job, and
// its log or FailureReason.
func (s subject) train(t *testing.T, more map[string]string, channels map[string]algotest.Channel) (string, algo.Model) {
	with := s.with(more)
	if s.free {
		delete(with.params, "feature_dim")
	}
	params, err := json.Marshal(with.params)
	if err != nil {
		t.Fatal(err)
	}
	if ch, ok := channels["train"]; ok && s.sharded {
		ch.Distribution = algotest.Sharded
		channels["train"] = ch
	}
	a, ok := Lookup(s.name)
	if !ok {
		t.Fatalf("no %s", s.name)
	}
	return algotest.Job[algo.Model](t, a, string(params), channels)
}

// place is how an error names a row of a format.
func place(format string, row int) string {
	unit, ok := map[string]string{asRecordIO: "record", asParquet: "row"}[format]
	if !ok {
		unit = "line"
	}
	return fmt.Sprintf("%s %d:", unit, row)
}

// check looks for the parts in the FailureReason.
func (o outcome) check(t *testing.T, format, told string) {
	t.Helper()
	if o.trains {
		t.Errorf("%s; it should train", told)
		return
	}
	parts := []string{o.want, "train channel: "}
	if o.channel != "" {
		parts[1] = o.channel
	}
	switch o.file {
	case "":
		parts = append(parts, "file "+fileOf(format))
	case "-":
	default:
		parts = append(parts, "file "+o.file)
	}
	if o.row > 0 {
		parts = append(parts, place(format, o.row))
	}
	for _, part := range parts {
		if !strings.Contains(told, part) {
			t.Errorf("%s; it should say %q", told, part)
		}
	}
	if !strings.HasPrefix(told, "ClientError: ") || o.want == "" {
		t.Errorf("%s; is it the user's to mend?", told)
	}
	if len(told) > 400 || strings.ContainsAny(told, "\n\r\x00") {
		t.Errorf("%q is no line to read", told)
	}
}

// predictions are those of m for a few rows of d features, as text; all of them
// must be finite.
func predictions(t *testing.T, m algo.Model, s subject, d int) string {
	t.Helper()
	var text string
	if r, ok := m.(algo.Responder); ok {
		body, kind := "user0,10.0.0.1\nuser1,10.9.0.1\n", "text/csv"
		if s.name == "blazingtext" {
			body, kind = `{"instances":["word1 and"]}`, "application/json"
		}
		b, err := r.Respond(t.Context(), nil, algo.Answer{Accept: "application/json"}, kind, []byte(body))
		if err != nil {
			t.Errorf("respond: %v", err)
		}
		text = string(b)
	} else {
		rows := &algo.Matrix{Rows: 2, Cols: d, Values: make([]float32, 2*d)}
		for i := range rows.Values {
			if i%d < 100 {
				rows.Values[i] = float32(i%3 + 1)
			}
		}
		p, err := m.Predict(t.Context(), rows)
		if err != nil {
			t.Errorf("predict: %v", err)
		}
		text = fmt.Sprint(p.Values)
	}
	if len(text) < 3 || noNumber.MatchString(text) {
		t.Errorf("it predicts %.200s", text)
	}
	return text
}

var noNumber = regexp.MustCompile(`(?i)\b(nan|inf)\b`)

// Wide rows take no more time and memory than their numbers need: they train, or
// are refused by their width.
func TestAMillionColumns(t *testing.T) {
	for _, s := range subjects {
		for _, format := range s.formats {
			many, bytesEach := 1_000_000, 700 // columns, and bytes of memory for one
			switch {
			case format == asText || format == asPairs:
				continue
			case format == asParquet:
				many, bytesEach = 5_000, 25_000 // each has a header and a page: writing a million is what would take long
			case raced:
				many = 20_000
			}
			t.Run(s.name+"/"+format, func(t *testing.T) {
				wide := each(4, func(i int) []float64 {
					row := make([]float64, many)
					for j := range row {
						if (j*7+i*13)%1000 == 0 {
							row[j] = float64((i+j)%3 + 1)
						}
					}
					return row
				})
				channels := map[string]algotest.Channel{"train": s.channel(format, wide.file(t, s, format))}
				runtime.GC()
				began, peak := time.Now(), heapPeak()
				told, model := s.train(t, map[string]string{"feature_dim": fmt.Sprint(many)}, channels)
				took, bytes := time.Since(began), peak()
				t.Logf("%v, %d MB", took.Round(time.Millisecond), bytes>>20)
				if most := int64(8<<20 + many*bytesEach); took > patience || bytes > most {
					t.Errorf("it took %v and %d MB, want up to %v and %d MB", took, bytes>>20, patience, most>>20)
				}
				if s.name == "randomcutforest" {
					outcome{channel: "Hyperparameter feature_dim", file: "-", want: "is not in [1, 10000]"}.check(t, format, told)
					return
				}
				if model == nil {
					t.Fatalf("%s; it should train", told)
				}
				predictions(t, model, s, many)
			})
		}
	}
}

// heapPeak watches the heap. peak gives by how much it grew at most.
func heapPeak() (peak func() int64) {
	read := func() int64 {
		sample := []metrics.Sample{{Name: "/memory/classes/heap/objects:bytes"}}
		metrics.Read(sample)
		return int64(sample[0].Value.Uint64())
	}
	first, stop, most := read(), make(chan struct{}), make(chan int64)
	go func() {
		top := first
		for {
			select {
			case <-stop:
				most <- max(top, read()) - first
				return
			case <-time.After(2 * time.Millisecond):
				top = max(top, read())
			}
		}
	}()
	return func() int64 { close(stop); return <-most }
}
