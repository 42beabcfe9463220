// SPDX-License-Identifier: Apache-2.0

package oci

import (
	"errors"
	"fmt"
	"path/filepath"
	"regexp"
	"strings"

	"gopkg.in/yaml.v3"
)

// Kind is what an image map puts in an image's place.
type Kind string

// The kinds of targets.
const (
	Registry    Kind = "registry"    // an image reference
	Archive     Kind = "archive"     // a tar file of this machine, "file:///path/image.tar"
	Environment Kind = "environment" // a prepared environment, "sagemaker-scikit-learn:1.2-1-cpu-py3"
)

// Target is what stands for an image.
type Target struct {
	Kind  Kind
	Value string // as Find takes it, or the name of the environment without "python:"
}

// environmentPrefix begins targets that are environments. The image of that
// name is written "docker.io/library/python:…".
const environmentPrefix = "python:"

// ImageMap says which image or environment stands for an image URI. The zero
// ImageMap has nothing.
type ImageMap struct {
	exact    map[string]Target
	patterns []pattern
}

type pattern struct {
	text   string
	match  *regexp.Regexp
	target Target
}

// Entry is one line of an image map.
type Entry struct{ Pattern, Target string }

// NewImageMap makes an image map of entries in order.
func NewImageMap(entries []Entry) (ImageMap, error) {
	m := ImageMap{exact: map[string]Target{}}
	seen := map[string]bool{}
	for _, e := range entries {
		if err := m.add(e, seen); err != nil {
			return ImageMap{}, fmt.Errorf("image map: %w", err)
		}
	}
	return m, nil
}

func (m *ImageMap) add(e Entry, seen map[string]bool) error {
	switch {
	case e.Pattern == "" || strings.ContainsAny(e.Pattern, " \t\r\n"):
		return fmt.Errorf("%q is not an image URI or a pattern of one", e.Pattern)
	case seen[e.Pattern]:
		return fmt.Errorf("%q is there twice", e.Pattern)
	}
	seen[e.Pattern] = true
	t, err := parseTarget(e.Target)
	if err != nil {
		return fmt.Errorf("%q: %w", e.Pattern, err)
	}
	if !strings.Contains(e.Pattern, "*") {
		m.exact[e.Pattern] = t
		return nil
	}
	parts := strings.Split(e.Pattern, "*")
	for i, p := range parts {
		parts[i] = regexp.QuoteMeta(p)
	}
	match, err := regexp.Compile("^" + strings.Join(parts, ".*") + "$")
	if err != nil {
		return fmt.Errorf("%q cannot be used as a pattern: %w", e.Pattern, err)
	}
	m.patterns = append(m.patterns, pattern{e.Pattern, match, t})
	return nil
}

func parseTarget(s string) (Target, error) {
	if name, ok := strings.CutPrefix(s, environmentPrefix); ok {
		if name == "" || strings.ContainsAny(name, " \t\r\n/") {
			return Target{}, fmt.Errorf("%q is not the name of an environment, such as python:sagemaker-scikit-learn:1.2-1-cpu-py3", s)
		}
		return Target{Environment, name}, nil
	}
	if path, ok := strings.CutPrefix(s, "file://"); ok {
		if !filepath.IsAbs(path) {
			return Target{}, fmt.Errorf("%q must name an absolute path, as file:///path/image.tar", s)
		}
		return Target{Archive, s}, nil
	}
	if s == "" {
		return Target{}, errors.New("nothing stands for it; name an image, python:ENVIRONMENT or file:///path/image.tar")
	}
	if _, err := Parse(s); err != nil {
		return Target{}, err
	}
	return Target{Registry, s}, nil
}

// Lookup tells what stands for an image URI: an exact entry before patterns, and
// of those the first that matches. "*" stands for any characters, none and "/"
// among them.
func (m ImageMap) Lookup(uri string) (Target, bool) {
	if t, ok := m.exact[uri]; ok {
		return t, true
	}
	for _, p := range m.patterns {
		if p.match.MatchString(uri) {
			return p.target, true
		}
	}
	return Target{}, false
}

// Len is the number of entries.
func (m ImageMap) Len() int { return len(m.exact) + len(m.patterns) }

// ParseImageMap reads the file of an image map: YAML, one mapping from image
// URIs or patterns to targets, in the order in which they are tried:
//
//	763104351884.dkr.ecr.us-east-1.amazonaws.com/pytorch-training:2.3-cpu-py311: docker.io/pytorch/pytorch:2.3.1
//	"*/team/sklearn:*": python:sagemaker-scikit-learn:1.2-1-cpu-py3
//	"*/mine:*": file:///images/mine.tar
//
// Errors name the line.
func ParseImageMap(text []byte) (ImageMap, error) {
	var doc yaml.Node
	if err := yaml.Unmarshal(text, &doc); err != nil {
		return ImageMap{}, fmt.Errorf("image map: %w", err)
	}
	if doc.Kind == 0 || len(doc.Content) == 0 {
		return ImageMap{}, nil
	}
	m, err := DecodeImageMap(doc.Content[0])
	return m, err
}

// DecodeImageMap reads an image map out of a larger YAML document.
func DecodeImageMap(n *yaml.Node) (ImageMap, error) {
	if n.Kind == yaml.ScalarNode && n.Tag == "!!null" {
		return ImageMap{}, nil
	}
	if n.Kind != yaml.MappingNode {
		return ImageMap{}, fmt.Errorf("image map: line %d: it must be a mapping from image URIs to what stands for them", n.Line)
	}
	m := ImageMap{exact: map[string]Target{}}
	seen := map[string]bool{}
	for i := 0; i+1 < len(n.Content); i += 2 {
		k, v := n.Content[i], n.Content[i+1]
		if k.Kind != yaml.ScalarNode || v.Kind != yaml.ScalarNode || k.Tag != "!!str" || v.Tag != "!!str" && v.Tag != "!!null" {
			return ImageMap{}, fmt.Errorf("image map: line %d: both sides of an entry must be text", k.Line)
		}
		target := v.Value
		if v.Tag == "!!null" {
			target = ""
		}
		if err := m.add(Entry{k.Value, target}, seen); err != nil {
			return ImageMap{}, fmt.Errorf("image map: line %d: %w", k.Line, err)
		}
	}
	return m, nil
}
