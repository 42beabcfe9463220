// SPDX-License-Identifier: Apache-2.0

package blazingtext

import (
	"bytes"
	"cmp"
	_ "embed"
	"encoding/json"
	"math"
	"slices"
	"strconv"

	"github.com/sagebrush-ml/sagebrush/internal/algo"
	"github.com/sagebrush-ml/sagebrush/internal/algo/data"
	"github.com/sagebrush-ml/sagebrush/internal/algo/vec"
)

// score is how well vectors agree with people on the words of one file.
type score struct {
	NotFound int     `json:"not_found"`
	Rho      float64 `json:"spearmans_rho"`
	Total    int     `json:"total_pairs"`
}

// wordPairs is WordSimilarity-353, which says where it is from.
//
//go:embed wordsim353.tsv
var wordPairs []byte

// ownPairs are the word pairs of a job without a channel of them, under the name
// that the service's eval.json has. It has two subsets of them too, SIM and REL.
func ownPairs() []data.Text { return []data.Text{{Name: "EN-WS-353-ALL.txt", Bytes: wordPairs}} }

// evaluate compares the similarity of word pairs, the cosine of their vectors,
// with what texts say: a pair and a number in each line, apart by white space or
// commas; lines that begin with '#' and a line of headings are passed over. Pairs
// with a word that the model lacks do not count. rho is the mean of the files' rank
// correlations; ok is false when no file has two known pairs.
func (m *Model) evaluate(texts []data.Text) (rho float64, scores map[string]score, ok bool, err error) {
	scores = map[string]score{}
	for _, t := range texts {
		var people, ours []float64
		s := score{}
		at := 0
		for line := range bytes.Lines(t.Bytes) {
			pair := bytes.FieldsFunc(line, func(r rune) bool { return r == ',' || r == ' ' || r >= '\t' && r <= '\r' })
			here := at
			at += len(line)
			if len(pair) == 0 || pair[0][0] == '#' {
				continue
			}
			value, err := 0.0, error(nil)
			if len(pair) >= 3 {
				value, err = strconv.ParseFloat(string(pair[2]), 64)
			}
			if len(pair) < 3 || err != nil || math.IsNaN(value) {
				if s.Total == 0 && len(pair) >= 3 { // headings
					continue
				}
				return 0, nil, false, algo.ClientErrorf("evaluation channel: %s: two words and a number were expected", t.Place(here))
			}
			s.Total++
			cosine, known := m.cosine(pair[0], pair[1])
			if !known {
				s.NotFound++
				continue
			}
			people, ours = append(people, value), append(ours, cosine)
		}
		if len(ours) >= 2 {
			s.Rho = correlation(ranks(people), ranks(ours))
			rho, ok = rho+s.Rho, true
			scores[t.Name] = s
		}
	}
	return rho / float64(max(len(scores), 1)), scores, ok, nil
}

// cosine is that of the vectors of two words of the dictionary, which is looked
// through in lower case, too.
func (m *Model) cosine(a, b []byte) (x float64, known bool) {
	v, w := make([]float32, vec.Stride(int(m.Dim))), make([]float32, vec.Stride(int(m.Dim)))
	for i, word := range [][]byte{a, b} {
		if m.dict.find(word, hashOf(word)) < 0 {
			word = bytes.ToLower(word)
		}
		if m.dict.find(word, hashOf(word)) < 0 {
			return 0, false
		}
		m.vector([][]float32{v, w}[i], word)
	}
	length := math.Sqrt(float64(vec.Dot(v, v)) * float64(vec.Dot(w, w)))
	if length == 0 {
		return 0, true
	}
	return float64(vec.Dot(v, w)) / length, true
}

// ranks gives the place of each value among all, from 1; equal ones share the
// mean of theirs.
func ranks(values []float64) []float64 {
	order := make([]int, len(values))
	for i := range order {
		order[i] = i
	}
	slices.SortFunc(order, func(a, b int) int { return cmp.Compare(values[a], values[b]) })
	out := make([]float64, len(values))
	for i := 0; i < len(order); {
		j := i
		for j < len(order) && values[order[j]] == values[order[i]] {
			j++
		}
		for k := i; k < j; k++ {
			out[order[k]] = float64(i+j+1) / 2
		}
		i = j
	}
	return out
}

// correlation is Pearson's, 0 where one of the two does not vary.
func correlation(a, b []float64) float64 {
	var sumA, sumB float64
	for i := range a {
		sumA, sumB = sumA+a[i], sumB+b[i]
	}
	meanA, meanB := sumA/float64(len(a)), sumB/float64(len(b))
	var ab, aa, bb float64
	for i := range a {
		x, y := a[i]-meanA, b[i]-meanB
		ab, aa, bb = ab+x*y, aa+x*x, bb+y*y
	}
	if aa == 0 || bb == 0 {
		return 0
	}
	return ab / math.Sqrt(aa*bb)
}

// document is eval.json: the score of each file, and the mean of all.
func document(rho float64, scores map[string]score) ([]byte, error) {
	all := map[string]any{"mean_rho": rho}
	for name, s := range scores {
		all[name] = s
	}
	return json.MarshalIndent(all, "", "    ")
}
