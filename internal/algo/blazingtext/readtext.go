// SPDX-License-Identifier: Apache-2.0

package blazingtext

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"strconv"

	"github.com/sagebrush-ml/sagebrush/internal/algo/vec"
)

// readVectors reads vectors in the text form of word2vec, without their heading
// or with it: a word and its values in each line. Words that stand twice keep
// their first vector.
func readVectors(from io.Reader) (*Model, error) {
	b := bufio.NewReaderSize(from, 1<<20)
	var words []string
	seen := map[string]bool{}
	m := &matrix{}
	for line := 1; ; line++ {
		text, err := b.ReadBytes('\n')
		if len(text) == 0 && err != nil {
			if !errors.Is(err, io.EOF) {
				return nil, err
			}
			break
		}
		fields := bytes.Fields(text)
		if len(fields) == 0 || line == 1 && len(fields) == 2 {
			continue
		}
		if m.dim == 0 {
			m.dim, m.stride = len(fields)-1, vec.Stride(len(fields)-1)
		}
		if len(fields)-1 != m.dim || m.dim == 0 {
			return nil, fmt.Errorf("line %d: a word and %d values were expected, got %d fields", line, m.dim, len(fields))
		}
		word := string(fields[0])
		if seen[word] {
			continue
		}
		seen[word] = true
		words = append(words, word)
		m.v = append(m.v, make([]float32, m.stride)...)
		m.rows++
		row := m.row(m.rows - 1)
		for j, field := range fields[1:] {
			x, err := strconv.ParseFloat(string(field), 32)
			if err != nil {
				return nil, fmt.Errorf("line %d: value %d is %.40q, no number", line, j+1, field)
			}
			row[j] = float32(x)
		}
	}
	if len(words) == 0 {
		return nil, fmt.Errorf("there are no vectors in it")
	}
	h := header{Dim: int32(m.dim), Loss: lossNegative, Model: modelSkipgram, WordNgrams: 1}
	return newModel(h, newDictionary(words, make([]int64, len(words)), len(words), 0), dense{matrix: m}, m.rows, nil), nil
}
