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

// badTerm is a term that must be quoted; the service has words of its own for it.
type badTerm struct{ term string }

func (b badTerm) Error() string {
	return fmt.Sprintf("Invalid character(s) in term '%s'", clip(b.term, 100))
}

// parsePattern reads a filter pattern. It is one of three kinds:
//
//   - terms that must all be there, "quoted phrases", %regular expressions%,
//     and -terms that must not be there; or ?terms of which one must be there,
//     which count only where there are no others;
//   - a condition on a JSON message in braces, see parseCondition;
//   - conditions on the fields of a line in brackets, see parseFields.
//
// Terms are parts of the message and keep their case; one that has other than
// letters, digits and underscores must be quoted. An empty pattern matches
// everything.
//
// Source: Amazon CloudWatch Logs User Guide, "Filter pattern syntax for metric
// filters, subscription filters, filter log events, and Live Tail".
func parsePattern(pattern string) (matcher, error) {
	text := strings.TrimSpace(pattern)
	switch {
	case text == "":
		return func(string) bool { return true }, nil
	case text[0] == '{':
		return parseCondition(text)
	case text[0] == '[':
		return parseFields(text)
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
	if len(all)+len(none) == 0 {
		return func(message string) bool { return some(any, message) }, nil
	}
	return func(message string) bool {
		for _, m := range all {
			if !m(message) {
				return false
			}
		}
		return !some(none, message)
	}, nil
}

func some(of []matcher, message string) bool {
	for _, m := range of {
		if m(message) {
			return true
		}
	}
	return false
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
		return parseRegex(text)
	}
	end := strings.IndexFunc(text, unicode.IsSpace)
	if end < 0 {
		end = len(text)
	}
	term := text[:end]
	if term == "" {
		return nil, "", errors.New("a term is missing")
	}
	if strings.ContainsFunc(term, func(r rune) bool { return r != '_' && !unicode.IsLetter(r) && !unicode.IsDigit(r) }) {
		return nil, "", badTerm{term}
	}
	return contains(term), text[end:], nil
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

// parseRegex reads a regular expression between per cent signs, of the
// characters that the service takes: neither parentheses nor such as '!', and
// no letters beyond ASCII.
func parseRegex(text string) (matcher, string, error) {
	inner, rest, ok := strings.Cut(text[1:], "%")
	if !ok {
		return nil, "", errors.New("a regular expression has no end")
	}
	if inner == "" {
		return nil, "", errors.New("a regular expression is empty")
	}
	for _, r := range inner {
		letter := r < 0x80 && (unicode.IsLetter(r) || unicode.IsDigit(r))
		if !letter && !strings.ContainsRune("_#=@/;,-: ^$?[]{}|\\*+.", r) {
			return nil, "", fmt.Errorf("the character %q is not supported in a regular expression", r)
		}
	}
	re, err := regexp.Compile(inner)
	if err != nil {
		return nil, "", fmt.Errorf("regular expression: %w", err)
	}
	return re.MatchString, rest, nil
}
