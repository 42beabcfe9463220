// SPDX-License-Identifier: Apache-2.0

package builtin

import (
	"bytes"
	"compress/gzip"
	"fmt"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/parquet-go/parquet-go"

	"github.com/sagebrush-ml/sagebrush/internal/algo/algotest"
	"github.com/sagebrush-ml/sagebrush/internal/recordio"
)

// The formats of the table.
const (
	asCSV      = "csv"
	asRecordIO = "recordio"
	asLibSVM   = "libsvm"
	asParquet  = "parquet"
	asText     = "text"  // BlazingText's
	asPairs    = "pairs" // IP Insights': a CSV of entities and addresses
)

// subject is an algorithm as the table trains it.
type subject struct {
	name    string
	params  map[string]string
	formats []string
	labels  bool   // rows begin with a label
	other   string // its second channel
	sharded bool   // how train has to be
	// free is set where the number of features is that of the data, and values may
	// be missing.
	free bool
}

func (s subject) with(more map[string]string) subject {
	s.params = maps.Clone(s.params)
	maps.Copy(s.params, more)
	return s
}

// onSecond is s as its second channel has to be.
func (s subject) onSecond() subject {
	s.labels = s.labels || s.name == "randomcutforest" // which measures on labels
	return s
}

var subjects = []subject{
	{
		name: "blazingtext", formats: []string{asText}, other: "validation",
		params: map[string]string{"mode": "supervised", "vector_dim": "4", "min_count": "1", "epochs": "1", "buckets": "100"},
	},
	{
		name: "factorization-machines", formats: []string{asRecordIO}, labels: true, other: "test",
		params: map[string]string{"feature_dim": "3", "num_factors": "2", "predictor_type": "binary_classifier", "epochs": "2", "mini_batch_size": "4"},
	},
	{
		name: "ipinsights", formats: []string{asPairs}, other: "validation",
		params: map[string]string{"num_entity_vectors": "10", "vector_dim": "4", "epochs": "1", "mini_batch_size": "4"},
	},
	{
		name: "kmeans", formats: []string{asCSV, asRecordIO}, other: "test",
		params: map[string]string{"feature_dim": "3", "k": "2"},
	},
	{
		name: "knn", formats: []string{asCSV, asRecordIO}, labels: true, other: "test",
		params: map[string]string{"feature_dim": "3", "k": "1", "sample_size": "8", "predictor_type": "classifier"},
	},
	{
		name: "lda", formats: []string{asCSV, asRecordIO}, other: "test",
		params: map[string]string{"feature_dim": "3", "num_topics": "2", "mini_batch_size": "8", "max_restarts": "1"},
	},
	{
		name: "linear-learner", formats: []string{asCSV, asRecordIO}, labels: true, other: "validation",
		params: map[string]string{"feature_dim": "3", "predictor_type": "binary_classifier", "epochs": "2", "num_models": "2", "mini_batch_size": "4"},
	},
	{
		name: "pca", formats: []string{asCSV, asRecordIO}, other: "test",
		params: map[string]string{"feature_dim": "3", "num_components": "1", "mini_batch_size": "4"},
	},
	{
		name: "randomcutforest", formats: []string{asCSV, asRecordIO}, other: "test", sharded: true,
		params: map[string]string{"feature_dim": "3", "num_trees": "50", "num_samples_per_tree": "8"},
	},
	{
		name: "xgboost", formats: []string{asCSV, asRecordIO, asLibSVM, asParquet}, labels: true, other: "validation", free: true,
		params: map[string]string{"num_round": "1", "objective": "binary:logistic"},
	},
}

// rows is a table of a channel, or the lines of one that has no numbers.
type rows struct {
	labels []float64 // nil for none
	values [][]float64
	lines  []string
}

// features is how many good rows have.
const features = 3

// good is rows that every algorithm learns from.
func good(s subject) rows {
	var r rows
	for i := range 8 {
		r.labels = append(r.labels, float64(i%2))
		r.values = append(r.values, []float64{float64(i%2*3 + 2), float64(i + 1), float64(i*7%5 + 1)})
		switch s.name {
		case "blazingtext":
			r.lines = append(r.lines, fmt.Sprintf("__label__%d word%d and more", i%2, i%2))
		case "ipinsights":
			r.lines = append(r.lines, fmt.Sprintf("user%d,10.0.0.%d", i%3, i))
		}
	}
	return r
}

// each makes n rows by of.
func each(n int, of func(i int) []float64) rows {
	var r rows
	for i := range n {
		r.labels, r.values = append(r.labels, float64(i%2)), append(r.values, of(i))
	}
	return r
}

// edited is good with the values of row n, from 1, laid over.
func edited(n int, label float64, values ...float64) func(subject) rows {
	return func(s subject) rows {
		r := good(s)
		if r.labels[n-1] = label; values != nil {
			r.values[n-1] = values
		}
		return r
	}
}

// fileOf is the name of the file of a channel.
func fileOf(format string) string { return "part-0." + format }

var contentTypes = map[string]string{
	asCSV: "text/csv", asRecordIO: "application/x-recordio-protobuf", asLibSVM: "text/libsvm", asParquet: "application/x-parquet",
	asText: "text/plain", asPairs: "text/csv",
}

// file writes r in a format.
func (r rows) file(t *testing.T, s subject, format string) string {
	labels := r.labels
	if !s.labels {
		labels = nil
	}
	var b strings.Builder
	switch format {
	case asText, asPairs:
		return strings.Join(r.lines, "\n") + "\n"
	case asCSV:
		for i, row := range r.values {
			if labels != nil {
				row = slices.Concat(labels[i:i+1], row)
			}
			for j, v := range row {
				if j > 0 {
					b.WriteByte(',')
				}
				b.WriteString(number(v))
			}
			b.WriteByte('\n')
		}
	case asLibSVM:
		for i, row := range r.values {
			b.WriteString(number(r.labels[i]))
			for j, v := range row {
				fmt.Fprintf(&b, " %d:%s", j, number(v))
			}
			b.WriteByte('\n')
		}
	case asRecordIO:
		var file []byte
		for i, row := range r.values {
			rec := recordio.Record{Features: tensor(row)}
			if labels != nil {
				rec.Label = tensor(labels[i : i+1])
			}
			file = frame(t, file, rec)
		}
		return string(file)
	case asParquet:
		return parquetOf(t, r)
	}
	return b.String()
}

func number(v float64) string {
	return strings.TrimPrefix(strings.ToLower(strconv.FormatFloat(v, 'g', -1, 64)), "+")
}

// tensor is a vector of 32-bit floats, of 64-bit ones where one needs that.
func tensor(row []float64) recordio.Values {
	v := recordio.Value{Kind: recordio.Float32}
	for _, x := range row {
		v.Float32 = append(v.Float32, float32(x))
		if math.Abs(x) > math.MaxFloat32 && !math.IsInf(x, 0) {
			v = recordio.Value{Kind: recordio.Float64, Float64: row}
			break
		}
	}
	return recordio.Values{{Name: recordio.Vector, Value: v}}
}

func frame(t *testing.T, file []byte, rec recordio.Record) []byte {
	file, err := recordio.AppendWhole(file, rec.Append(nil))
	if err != nil {
		t.Fatal(err)
	}
	return file
}

// parquetOf writes the label and the values as columns of doubles.
func parquetOf(t *testing.T, r rows) string {
	group := parquet.Group{"a": parquet.Leaf(parquet.DoubleType)}
	for j := range r.values[0] {
		group[fmt.Sprintf("b%07d", j)] = parquet.Leaf(parquet.DoubleType)
	}
	var b bytes.Buffer
	w := parquet.NewWriter(&b, parquet.NewSchema("rows", group))
	for i, row := range r.values {
		line := parquet.Row{parquet.DoubleValue(r.labels[i]).Level(0, 0, 0)}
		for j, v := range row {
			line = append(line, parquet.DoubleValue(v).Level(0, 0, j+1))
		}
		if _, err := w.WriteRows([]parquet.Row{line}); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func zipped(t *testing.T, text string) string {
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	if _, err := w.Write([]byte(text)); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

// channel is one of a format with a file of the text.
func (s subject) channel(format, text string) algotest.Channel {
	c := algotest.Channel{ContentType: contentTypes[format], Files: map[string]string{fileOf(format): text}}
	if format == asCSV && !s.labels {
		c.ContentType += ";label_size=0"
	}
	return c
}
