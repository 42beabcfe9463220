// SPDX-License-Identifier: Apache-2.0

// Package manifest reads augmented manifests: JSON Lines, of which each line is
// a sample of training data with its labels.
//
//	{"source-ref": "s3://bucket/1.jpg", "class": 0, "class-metadata": {…}}
//
// Source: "Augmented Manifest Files for Training Jobs" in the AWS documentation.
package manifest

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"strings"

	"github.com/sagebrush-ml/sagebrush/internal/object"
)

// MaxLine is how long a line may be, in bytes. AWS's labelling jobs write lines
// of at most 100,000 characters.
const MaxLine = 4 << 20

// Line is one sample.
type Line struct {
	Number int // from 1
	Values []Value
}

// Value is what a line says of one attribute. That of an attribute whose name
// ends with -ref is an object, whose bytes are meant; any other is a text: a
// string as it is, anything else as it is written in JSON.
type Value struct {
	Name  string
	IsRef bool
	Ref   object.URI
	Text  string
}

// Augmented reads lines until the first error, which tells the number of the
// line. A line has the values of the attributes that are asked for, in the order
// of names; it is an error when one is missing or null. Lines of blanks are
// passed over.
func Augmented(r io.Reader, names []string) iter.Seq2[Line, error] {
	return func(yield func(Line, error) bool) {
		if len(names) == 0 {
			yield(Line{}, errors.New("augmented manifest: no AttributeNames are given"))
			return
		}
		s := bufio.NewScanner(r)
		s.Buffer(nil, MaxLine+1)
		n := 0
		for s.Scan() {
			n++
			if len(bytes.TrimSpace(s.Bytes())) == 0 {
				continue
			}
			values, err := parse(s.Bytes(), names)
			if err != nil {
				yield(Line{}, fmt.Errorf("augmented manifest: line %d: %w", n, err))
				return
			}
			if !yield(Line{n, values}, nil) {
				return
			}
		}
		if err := s.Err(); errors.Is(err, bufio.ErrTooLong) {
			yield(Line{}, fmt.Errorf("augmented manifest: line %d is longer than %d bytes", n+1, MaxLine))
		} else if err != nil {
			yield(Line{}, fmt.Errorf("augmented manifest: line %d: %w", n+1, err))
		}
	}
}

func parse(line []byte, names []string) ([]Value, error) {
	var all map[string]json.RawMessage
	if err := json.Unmarshal(line, &all); err != nil {
		return nil, fmt.Errorf("it is no JSON object: %w", err)
	}
	values := make([]Value, len(names))
	for i, name := range names {
		raw, ok := all[name]
		if !ok || string(raw) == "null" {
			return nil, fmt.Errorf("there is no attribute %q", name)
		}
		v := Value{Name: name, Text: string(raw)}
		quoted := raw[0] == '"'
		if quoted {
			if err := json.Unmarshal(raw, &v.Text); err != nil {
				return nil, fmt.Errorf("attribute %q: %w", name, err)
			}
		}
		if strings.HasSuffix(name, "-ref") {
			u, err := object.ParseURI(v.Text)
			if !quoted || err != nil || u.Key == "" {
				return nil, fmt.Errorf("attribute %q is not the S3 URI of an object: %.200s", name, raw)
			}
			v.IsRef, v.Ref, v.Text = true, u, ""
		}
		values[i] = v
	}
	return values, nil
}
