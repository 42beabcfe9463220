// SPDX-License-Identifier: Apache-2.0

package demo

import (
	"bytes"
	"crypto/sha256"
	_ "embed" // the data
	"fmt"
	"slices"
	"strings"
)

// breastCancer is the data set that the demonstration learns from: see
// data/README.md for source and licence.
//
//go:embed data/breast_cancer.csv
var breastCancer string

// Row is one patient.
type Row struct {
	Label    string // "0" malignant, "1" benign
	Features string // 30 numbers, comma-separated, as the file has them
}

// Sets are the three parts of the data.
type Sets struct {
	Train, Validation, HeldOut []Row
}

// Split parts rows 60 : 20 : 20, by the order of the SHA-256 of their text: so
// the parts are mixed, and the same everywhere and always. The result shares
// no memory with rows.
func Split(rows []Row) Sets {
	type keyed struct {
		key [sha256.Size]byte
		row Row
	}
	order := make([]keyed, len(rows))
	for i, r := range rows {
		order[i] = keyed{sha256.Sum256([]byte(r.Features + "," + r.Label)), r}
	}
	slices.SortFunc(order, func(a, b keyed) int { return bytes.Compare(a.key[:], b.key[:]) })
	sorted := make([]Row, len(order))
	for i, k := range order {
		sorted[i] = k.row
	}
	fifth := len(rows) / 5
	return Sets{
		Train:      sorted[:len(rows)-2*fifth],
		Validation: sorted[len(rows)-2*fifth : len(rows)-fifth],
		HeldOut:    sorted[len(rows)-fifth:],
	}
}

// Rows reads scikit-learn's form: a line of counts and class names, then rows
// whose last column is the class.
func Rows(text string) ([]Row, error) {
	var rows []Row
	want, features := 0, 0
	for line := range strings.Lines(text) {
		line = strings.TrimRight(line, "\r\n")
		if features == 0 {
			if _, err := fmt.Sscanf(line, "%d,%d,", &want, &features); err != nil || features < 1 {
				return nil, fmt.Errorf("read data: first line %q does not tell rows and columns", line)
			}
			continue
		}
		cut := strings.LastIndexByte(line, ',')
		if cut < 0 || strings.Count(line, ",") != features {
			return nil, fmt.Errorf("read data: row %d has %d columns, not %d", len(rows)+1, strings.Count(line, ",")+1, features+1)
		}
		rows = append(rows, Row{Label: line[cut+1:], Features: line[:cut]})
	}
	if features == 0 || len(rows) != want {
		return nil, fmt.Errorf("read data: %d rows, not %d", len(rows), want)
	}
	return rows, nil
}

// trainingCSV is a channel's file: the label first, no header.
func trainingCSV(rows []Row) []byte {
	var b strings.Builder
	for _, r := range rows {
		b.WriteString(r.Label + "," + r.Features + "\n")
	}
	return []byte(b.String())
}

// featuresCSV is what a model is asked: no labels.
func featuresCSV(rows []Row) []byte {
	var b strings.Builder
	for _, r := range rows {
		b.WriteString(r.Features + "\n")
	}
	return []byte(b.String())
}
