// SPDX-License-Identifier: Apache-2.0

package iam

import (
	"maps"
	"slices"
	"strings"

	wiam "github.com/sagebrush-ml/sagebrush/internal/wire/iam"
)

// The decisions.
const (
	allowed      = wiam.PolicyEvaluationDecisionTypeAllowed
	explicitDeny = wiam.PolicyEvaluationDecisionTypeExplicitDeny
	implicitDeny = wiam.PolicyEvaluationDecisionTypeImplicitDeny
)

// request is what is to be decided: who wants to do what with what.
type request struct {
	action   string // "s3:GetObject"
	resource string // an ARN, or *
	caller   string // ARN; matters to policies that name principals
	context  facts
}

// facts are what is known around a request, by key in lower case, since keys
// have no case.
type facts map[string][]string

// of is a key's values, none when it is not known.
func (f facts) of(key string) []string { return f[strings.ToLower(key)] }

// source is a policy and where it comes from.
type source struct {
	document
	id, kind string // as answers name it
	text     string // of the document
}

// finding is a statement that applies to a request.
type finding struct {
	from  *source
	index int // in the document's statements
}

// verdict is what a set of policies says of a request.
type verdict struct {
	decision string
	by       []finding // the statements that decided: those that deny, else those that allow
	missing  []string  // context keys that statements about the request ask for and nobody gave; sorted
}

// decide evaluates policies together: a statement that denies wins, then one
// that allows; without either the answer is no.
func decide(policies []*source, r *request) verdict {
	var allow, deny []finding
	missing := map[string]bool{}
	for _, p := range policies {
		for i := range p.Statement {
			if !p.applies(&p.Statement[i], r, missing) {
				continue
			}
			if p.Statement[i].Effect == "Deny" {
				deny = append(deny, finding{p, i})
			} else {
				allow = append(allow, finding{p, i})
			}
		}
	}
	v := verdict{decision: implicitDeny, missing: slices.Sorted(maps.Keys(missing))}
	switch {
	case len(deny) > 0:
		v.decision, v.by = explicitDeny, deny
	case len(allow) > 0:
		v.decision, v.by = allowed, allow
	}
	return v
}

// applies tells whether a statement is about a request and its conditions hold.
// It notes the context keys that it lacks.
func (d *document) applies(st *statement, r *request, missing map[string]bool) bool {
	act := func(a string) bool { return wild(strings.ToLower(a)).match(strings.ToLower(r.action)) }
	switch {
	case !covers(st.Action, st.NotAction, act):
		return false
	case st.Principal != nil && !st.Principal.covers(r.caller):
		return false
	case st.NotPrincipal != nil && st.NotPrincipal.covers(r.caller):
		return false
	}
	fill := d.filler(r.context, missing)
	is := func(text string) bool {
		p, ok := fill(text)
		return ok && p.match(r.resource)
	}
	if !covers(st.Resource, st.NotResource, is) {
		return false
	}
	holds := true
	for name, lines := range st.Condition {
		for key, want := range lines {
			have := r.context.of(key)
			if len(have) == 0 {
				missing[key] = true
			}
			o, ok := operatorNamed(name)
			// All lines are looked at, so that all missing keys are told.
			held := ok && o.holds(want, have, fill)
			holds = holds && held
		}
	}
	return holds
}

// covers tells whether one of a list is meant, or none of those left out.
func covers(list, but []string, is func(string) bool) bool {
	if len(but) > 0 {
		return !slices.ContainsFunc(but, is)
	}
	return slices.ContainsFunc(list, is)
}

// filler makes patterns of a document's texts. Variables stand for something
// only in the later version of the language; in the former they are plain text.
func (d *document) filler(context facts, missing map[string]bool) filler {
	return func(text string) (pattern, bool) {
		if d.Version != "2012-10-17" {
			return wild(text), true
		}
		return expand(text, context, missing)
	}
}

// filler makes a pattern of a text; false when a variable in it has no value,
// so that it matches nothing.
type filler func(text string) (pattern, bool)

// pattern is a text in which some characters stand for others.
type pattern []rune

const (
	anyText rune = -1 - iota // *
	anyChar                  // ?
)

// wild reads * and ? in a text.
func wild(text string) pattern {
	p := pattern(text)
	for i, c := range p {
		switch c {
		case '*':
			p[i] = anyText
		case '?':
			p[i] = anyChar
		}
	}
	return p
}

// expand is wild with variables: ${key}, ${key, 'default'}, and ${*}, ${?}, ${$}
// for the characters themselves. What a variable stands for is taken as it is,
// so that a user named * gains nothing.
func expand(text string, context facts, missing map[string]bool) (pattern, bool) {
	var p pattern
	for {
		before, rest, found := strings.Cut(text, "${")
		name, after, closed := strings.Cut(rest, "}")
		if !found || !closed {
			return append(p, wild(text)...), true
		}
		p = append(p, wild(before)...)
		text = after
		if name == "*" || name == "?" || name == "$" {
			p = append(p, rune(name[0]))
			continue
		}
		name, preset, hasPreset := strings.Cut(name, ",")
		name, preset = strings.TrimSpace(name), strings.TrimSpace(preset)
		have := context.of(name)
		switch {
		case len(have) == 1:
			p = append(p, pattern(have[0])...)
		case len(have) == 0 && hasPreset && len(preset) >= 2 && preset[0] == '\'' && preset[len(preset)-1] == '\'':
			p = append(p, pattern(preset[1:len(preset)-1])...)
		default: // a key with several values cannot stand in a text either
			if len(have) == 0 {
				missing[name] = true
			}
			return nil, false
		}
	}
}

// match tells whether the pattern matches all of a text. It goes back to the
// last * only, which is enough, so the time is at most the product of both
// lengths.
func (p pattern) match(text string) bool {
	s := []rune(text)
	i, j, star, from := 0, 0, -1, 0
	for j < len(s) {
		switch {
		case i < len(p) && p[i] == anyText:
			star, from = i, j
			i++
		case i < len(p) && (p[i] == anyChar || p[i] == s[j]):
			i, j = i+1, j+1
		case star >= 0:
			from++
			i, j = star+1, from
		default:
			return false
		}
	}
	for i < len(p) && p[i] == anyText {
		i++
	}
	return i == len(p)
}

// plain is the pattern as the text it was, for comparisons without wildcards.
func (p pattern) plain() string {
	out := slices.Clone(p)
	for i, c := range out {
		switch c {
		case anyText:
			out[i] = '*'
		case anyChar:
			out[i] = '?'
		}
	}
	return string(out)
}

// split cuts the pattern at colons into the six parts of an ARN; nil when it has
// fewer.
func (p pattern) split() []pattern {
	var parts []pattern
	for len(parts) < 5 {
		i := slices.Index(p, ':')
		if i < 0 {
			return nil
		}
		parts, p = append(parts, p[:i]), p[i+1:]
	}
	return append(parts, p)
}
