// SPDX-License-Identifier: Apache-2.0

package logs

import (
	"errors"
	"fmt"
	"regexp"
	"strings"
	"unicode"
)

// matcher tells whether a filter pattern matches a message.
type matcher func(message string) bool

// parsePattern reads a filter pattern of FilterLogEvents: terms that must all
// be there, "quoted phrases", ?terms of which one must be there, -terms that
// must not, %regular expressions%, or one condition on a JSON message in braces.
// Terms are parts of the message and keep their case. An empty pattern matches
// everything. Patterns of space-delimited fields, in brackets, are refused.
func parsePattern(pattern string) (matcher, error) {
	text := strings.TrimSpace(pattern)
	switch {
	case text == "":
		return func(string) bool { return true }, nil
	case text[0] == '{':
		return parseCondition(text)
	case text[0] == '[':
		return nil, errors.New("patterns of space-delimited fields are not supported")
	}
	var all, any, none []matcher
	for text != "" {
		to := &all
		switch text[0] {
		case '?':
			to, text = &any, text[1:]
		case '-':
			to, text = &none, text[1:]
		}
		m, rest, err := parseTerm(text)
		if err != nil {
			return nil, err
		}
		*to, text = append(*to, m), strings.TrimLeftFunc(rest, unicode.IsSpace)
	}
	return func(message string) bool {
		for _, m := range all {
			if !m(message) {
				return false
			}
		}
		for _, m := range none {
			if m(message) {
				return false
			}
		}
		for _, m := range any {
			if m(message) {
				return true
			}
		}
		return len(any) == 0
	}, nil
}

// parseTerm reads one term from the front of text.
func parseTerm(text string) (matcher, string, error) {
	if text == "" {
		return nil, "", errors.New("a term is missing")
	}
	switch text[0] {
	case '"':
		phrase, rest, err := quoted(text)
		return contains(phrase), rest, err
	case '%':
		inner, rest, ok := strings.Cut(text[1:], "%")
		if !ok {
			return nil, "", errors.New("a regular expression has no end")
		}
		re, err := regexp.Compile(inner)
		if err != nil {
			return nil, "", fmt.Errorf("regular expression: %w", err)
		}
		return re.MatchString, rest, nil
	}
	end := strings.IndexFunc(text, unicode.IsSpace)
	if end < 0 {
		end = len(text)
	}
	if end == 0 {
		return nil, "", errors.New("a term is missing")
	}
	if i := strings.IndexByte(text[:end], '"'); i >= 0 {
		return nil, "", fmt.Errorf("a quote stands inside the term %s", text[:end])
	}
	return contains(text[:end]), text[end:], nil
}

func contains(part string) matcher {
	return func(message string) bool { return strings.Contains(message, part) }
}

// quoted reads text in double quotes, in which a backslash takes the next
// character as it is.
func quoted(text string) (string, string, error) {
	var b strings.Builder
	for i := 1; i < len(text); i++ {
		switch text[i] {
		case '"':
			return b.String(), text[i+1:], nil
		case '\\':
			if i++; i == len(text) {
				return "", "", errors.New("a quote has no end")
			}
		}
		b.WriteByte(text[i])
	}
	return "", "", errors.New("a quote has no end")
}
