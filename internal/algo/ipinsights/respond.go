// SPDX-License-Identifier: Apache-2.0

package ipinsights

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/sagebrush-ml/sagebrush/internal/algo"
	"github.com/sagebrush-ml/sagebrush/internal/algo/data"
	"github.com/sagebrush-ml/sagebrush/internal/algo/firstparty"
	"github.com/sagebrush-ml/sagebrush/internal/algo/vec"
)

func (m *Model) layout() firstparty.Layout {
	return firstparty.Layout{Of: "predictions", Fields: []firstparty.Field{
		{Name: "dot_product", Width: 1},
		{Name: "entity_embedding", Width: m.dim, List: true, Verbose: true},
		{Name: "ip_embedding", Width: m.dim, List: true, Verbose: true},
	}}
}

// Accepts implements algo.Responder.
func (m *Model) Accepts() []string { return m.layout().Accepts() }

// Respond implements algo.Responder: bodies are CSV, JSON or JSON Lines.
func (m *Model) Respond(_ context.Context, dst []byte, how algo.Answer, contentType string, body []byte) ([]byte, error) {
	pairs, err := m.pairs(contentType, body)
	if err != nil {
		return dst, err
	}
	if len(pairs) == 0 {
		return dst, algo.ClientErrorf("the payload holds no rows")
	}
	return m.layout().Format(dst, how, m.predict(pairs))
}

// predict gives dot product, entity vector and address vector of each pair.
func (m *Model) predict(pairs []pair) algo.Prediction {
	d := m.dim
	p := algo.Prediction{Values: make([]float32, len(pairs)*(1+2*d)), Width: 1 + 2*d}
	ips := make([]uint32, len(pairs))
	for i, pair := range pairs {
		ips[i] = pair.ip
	}
	states := make([][]float32, len(m.layers)+1)
	for l := range states {
		states[l] = make([]float32, len(pairs)*d)
	}
	m.encode(ips, states, make([]float32, len(pairs)*d))
	last := states[len(m.layers)]
	for i, pair := range pairs {
		row := p.Values[i*p.Width : (i+1)*p.Width]
		copy(row[1:], m.entityVector(pair.entity))
		copy(row[1+d:], last[i*d:(i+1)*d])
		row[0] = vec.Dot(row[1:1+d], row[1+d:])
	}
	return p
}

// instance is the forms of one pair in JSON.
type instance struct {
	Features []string
	Data     *struct {
		Features struct{ Values []string }
	}
}

func (m *Model) pairs(contentType string, body []byte) (pairs []pair, err error) {
	format, _, ok := data.ParseType(contentType)
	if contentType == "" {
		format, ok = data.CSV, true
	}
	add := func(where int, p pair, err error) error {
		if err != nil {
			return algo.ClientErrorf("row %d %w", where, err)
		}
		pairs = append(pairs, p)
		return nil
	}
	switch {
	case ok && format == data.CSV:
		for line := range bytes.Lines(body) {
			if line = bytes.TrimSpace(line); len(line) > 0 {
				p, err := parsePair(line, m.rows)
				if err := add(len(pairs)+1, p, err); err != nil {
					return nil, err
				}
			}
		}
	case ok && format == data.JSON:
		var request struct{ Instances []instance }
		if err := json.Unmarshal(body, &request); err != nil {
			return nil, algo.ClientErrorf("the payload is not JSON of instances: %w", err)
		}
		for i, in := range request.Instances {
			p, err := m.pair(in)
			if err := add(i+1, p, err); err != nil {
				return nil, err
			}
		}
	case ok && format == data.JSONLines:
		for line := range bytes.Lines(body) {
			if line = bytes.TrimSpace(line); len(line) == 0 {
				continue
			}
			var in instance
			if err := json.Unmarshal(line, &in); err != nil {
				return nil, algo.ClientErrorf("row %d is not a JSON instance: %w", len(pairs)+1, err)
			}
			p, err := m.pair(in)
			if err := add(len(pairs)+1, p, err); err != nil {
				return nil, err
			}
		}
	default:
		return nil, fmt.Errorf("Content-type %s: %w: text/csv, application/json and application/jsonlines are supported", contentType, algo.ErrContentType)
	}
	return pairs, nil
}

func (m *Model) pair(in instance) (pair, error) {
	values := in.Features
	if in.Data != nil {
		values = in.Data.Features.Values
	}
	if len(values) != 2 || values[0] == "" {
		return pair{}, errors.New("has no two features, an entity and an IPv4 address")
	}
	ip, err := parseIP([]byte(values[1]))
	return pair{rowOf([]byte(values[0]), m.rows), ip}, err
}
