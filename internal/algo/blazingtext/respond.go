// SPDX-License-Identifier: Apache-2.0

package blazingtext

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"

	"github.com/sagebrush-ml/sagebrush/internal/algo"
	"github.com/sagebrush-ml/sagebrush/internal/algo/vec"
)

// The types of requests and answers.
const (
	typeJSON  = "application/json"
	typeLines = "application/jsonlines"
)

// Accepts implements algo.Responder.
func (m *Model) Accepts() []string { return []string{typeJSON, typeLines} }

// Respond answers a request in the form that it has itself, whatever Accept says:
//
//	application/json        {"instances": ["a text", ...], "configuration": {"k": 2}}
//	application/jsonlines   {"source": "a text", "k": 2} per line
//
// A classifier gives for each text the k most probable labels, by default one:
// {"label": ["__label__1"], "prob": [0.9]}; word vectors for each word
// {"word": "a", "vector": [...]}, with zeros for one that is not known and has no
// known subwords.
//
// Source: "BlazingText algorithm" in the SageMaker developer guide, inference.
func (m *Model) Respond(ctx context.Context, dst []byte, _ algo.Answer, contentType string, body []byte) ([]byte, error) {
	switch kind := mediaType(contentType); kind {
	case typeJSON, "":
		return m.respondJSON(ctx, dst, body)
	case typeLines:
		return m.respondLines(ctx, dst, body)
	}
	return dst, fmt.Errorf("%w: %s; %s and %s are read", algo.ErrContentType, contentType, typeJSON, typeLines)
}

// AnswerType implements algo.Mirror: "If they differ, the Accept field is ignored."
func (m *Model) AnswerType(contentType string) string {
	if mediaType(contentType) == typeLines {
		return typeLines
	}
	return typeJSON
}

// mediaType is contentType without its parameters.
func mediaType(contentType string) string {
	kind, _, _ := strings.Cut(strings.ToLower(contentType), ";")
	return strings.TrimSpace(kind)
}

func (m *Model) respondJSON(ctx context.Context, dst, body []byte) ([]byte, error) {
	var asked struct {
		Instances     []string
		Configuration struct{ K *int }
	}
	if err := json.Unmarshal(body, &asked); err != nil {
		return dst, algo.ClientErrorf("the body is not {\"instances\": [\"text\", ...]}: %w", err)
	}
	if asked.Instances == nil {
		return dst, algo.ClientErrorf(`the body has no "instances"`)
	}
	k, err := labelsAsked(asked.Configuration.K)
	if err != nil {
		return dst, err
	}
	dst = append(dst, '[')
	for i, text := range asked.Instances {
		if ctx.Err() != nil {
			return dst, ctx.Err()
		}
		if i > 0 {
			dst = append(dst, ", "...)
		}
		dst = m.appendAnswer(dst, text, k)
	}
	return append(dst, ']'), nil
}

func (m *Model) respondLines(ctx context.Context, dst, body []byte) ([]byte, error) {
	n := 0
	for line := range bytes.Lines(body) {
		n++
		if len(bytes.TrimSpace(line)) == 0 {
			continue
		}
		if ctx.Err() != nil {
			return dst, ctx.Err()
		}
		var asked struct {
			Source *string
			K      *int
		}
		if err := json.Unmarshal(line, &asked); err != nil {
			return dst, algo.ClientErrorf("line %d is not {\"source\": \"text\"}: %w", n, err)
		}
		if asked.Source == nil {
			return dst, algo.ClientErrorf(`line %d has no "source"`, n)
		}
		k, err := labelsAsked(asked.K)
		if err != nil {
			return dst, fmt.Errorf("line %d: %w", n, err)
		}
		dst = append(m.appendAnswer(dst, *asked.Source, k), '\n')
	}
	return dst, nil
}

func labelsAsked(k *int) (int, error) {
	if k == nil {
		return 1, nil
	}
	if *k < 1 {
		return 0, algo.ClientErrorf("k is %d; a number of labels from 1 on was expected", *k)
	}
	return *k, nil
}

func (m *Model) appendAnswer(dst []byte, text string, k int) []byte {
	if !m.supervised() {
		h := make([]float32, vec.Stride(int(m.Dim)))
		m.vector(h, []byte(text))
		dst = appendString(append(dst, `{"word": `...), text)
		return append(appendList(append(dst, `, "vector": `...), len(h[:m.Dim]), func(dst []byte, i int) []byte {
			return algo.AppendJSONNumber(dst, h[i])
		}), '}')
	}
	p := m.probabilities([]byte(text))
	labels := best(p, k)
	dst = appendList(append(dst, `{"label": `...), len(labels), func(dst []byte, i int) []byte {
		return appendString(dst, m.dict.words[m.dict.nwords+int(labels[i])])
	})
	return append(appendList(append(dst, `, "prob": `...), len(labels), func(dst []byte, i int) []byte {
		return algo.AppendJSONNumber(dst, p[labels[i]])
	}), '}')
}

func appendList(dst []byte, n int, item func(dst []byte, i int) []byte) []byte {
	dst = append(dst, '[')
	for i := range n {
		if i > 0 {
			dst = append(dst, ", "...)
		}
		dst = item(dst, i)
	}
	return append(dst, ']')
}

// appendString appends s in the quotes of JSON.
func appendString(dst []byte, s string) []byte {
	b, err := json.Marshal(s)
	if err != nil { // strings can be
		return strconv.AppendQuote(dst, s)
	}
	return append(dst, b...)
}
