// SPDX-License-Identifier: Apache-2.0

package iam

import (
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"
)

// operator is how a condition compares. The zero value compares nothing.
type operator struct {
	same     func(want pattern, have string) bool // whether one value is as wanted
	not      bool                                 // the name says Not: no value may be as wanted
	null     bool                                 // Null: whether there is a value at all
	optional bool                                 // IfExists: true without a value
	set      string                               // "ForAllValues", "ForAnyValue" or ""
}

// operators are those of the policy language. The texts that policies want may
// hold variables in all of them, which none but the first ten makes use of.
var operators = map[string]operator{
	"StringEquals":              {same: textEquals},
	"StringNotEquals":           {same: textEquals, not: true},
	"StringEqualsIgnoreCase":    {same: textFolds},
	"StringNotEqualsIgnoreCase": {same: textFolds, not: true},
	"StringLike":                {same: pattern.match},
	"StringNotLike":             {same: pattern.match, not: true},
	"ArnEquals":                 {same: arnLike}, // AWS makes no difference between these
	"ArnLike":                   {same: arnLike},
	"ArnNotEquals":              {same: arnLike, not: true},
	"ArnNotLike":                {same: arnLike, not: true},

	"NumericEquals":            {same: ordered(number, 0)},
	"NumericNotEquals":         {same: ordered(number, 0), not: true},
	"NumericLessThan":          {same: ordered(number, -1)},
	"NumericLessThanEquals":    {same: ordered(number, -1, 0)},
	"NumericGreaterThan":       {same: ordered(number, 1)},
	"NumericGreaterThanEquals": {same: ordered(number, 1, 0)},
	"DateEquals":               {same: ordered(date, 0)},
	"DateNotEquals":            {same: ordered(date, 0), not: true},
	"DateLessThan":             {same: ordered(date, -1)},
	"DateLessThanEquals":       {same: ordered(date, -1, 0)},
	"DateGreaterThan":          {same: ordered(date, 1)},
	"DateGreaterThanEquals":    {same: ordered(date, 1, 0)},

	"Bool":         {same: textFolds},
	"BinaryEquals": {same: textEquals}, // both are base64
	"IpAddress":    {same: addressIn},
	"NotIpAddress": {same: addressIn, not: true},
	"Null":         {null: true},
}

// operatorNamed finds an operator by its name with qualifier and suffix, such as
// ForAnyValue:StringLikeIfExists.
func operatorNamed(name string) (operator, bool) {
	set, base, qualified := strings.Cut(name, ":")
	if !qualified {
		set, base = "", name
	} else if set != "ForAllValues" && set != "ForAnyValue" {
		return operator{}, false
	}
	base, optional := strings.CutSuffix(base, "IfExists")
	o, ok := operators[base]
	if !ok || o.null && (qualified || optional) {
		return operator{}, false
	}
	o.set, o.optional = set, optional
	return o, true
}

// holds tells whether a line of a condition is true: the values that the policy
// wants, any of which will do, against those that the request has.
func (o operator) holds(want []scalar, have []string, fill filler) bool {
	if o.null {
		return slices.ContainsFunc(want, func(w scalar) bool { return strings.EqualFold(string(w), strconv.FormatBool(len(have) == 0)) })
	}
	var patterns []pattern
	for _, w := range want {
		if p, ok := fill(string(w)); ok {
			patterns = append(patterns, p)
		}
	}
	wanted := func(h string) bool {
		return slices.ContainsFunc(patterns, func(p pattern) bool { return o.same(p, h) })
	}
	passes := func(h string) bool { return wanted(h) != o.not }
	fails := func(h string) bool { return !passes(h) }
	switch {
	case len(have) == 0 && o.optional:
		return true
	case o.set == "ForAllValues":
		return !slices.ContainsFunc(have, fails)
	case o.set == "ForAnyValue":
		return slices.ContainsFunc(have, passes)
	}
	return slices.ContainsFunc(have, wanted) != o.not // without a value nothing is as wanted
}

func textEquals(want pattern, have string) bool { return want.plain() == have }

func textFolds(want pattern, have string) bool { return strings.EqualFold(want.plain(), have) }

// arnLike compares ARNs part by part, so that no * reaches over a colon, but in
// the last part.
func arnLike(want pattern, have string) bool {
	parts := strings.SplitN(have, ":", 6)
	patterns := want.split()
	if len(parts) != 6 || patterns == nil {
		return false
	}
	for i, p := range patterns {
		if !p.match(parts[i]) {
			return false
		}
	}
	return true
}

// ordered compares values that read understands: the order of the request's
// value to the policy's (-1, 0, 1) must be one of those given.
func ordered(read func(string) (float64, bool), orders ...int) func(pattern, string) bool {
	return func(want pattern, have string) bool {
		w, ok1 := read(want.plain())
		h, ok2 := read(have)
		if !ok1 || !ok2 {
			return false
		}
		order := 0
		switch {
		case h < w:
			order = -1
		case h > w:
			order = 1
		}
		return slices.Contains(orders, order)
	}
}

func number(s string) (float64, bool) {
	f, err := strconv.ParseFloat(s, 64)
	return f, err == nil && f == f // NaN has no order
}

// dateForms are the forms of ISO 8601 that the policy language takes.
var dateForms = []string{time.RFC3339, "2006-01-02T15:04:05", "2006-01-02T15:04Z07:00", "2006-01-02T15:04", "2006-01-02Z07:00", "2006-01-02"}

// date is a time as seconds since 1970, which is its other form.
func date(s string) (float64, bool) {
	for _, form := range dateForms {
		if t, err := time.Parse(form, s); err == nil {
			return float64(t.UnixMilli()) / 1000, true
		}
	}
	return number(s)
}

// addressIn tells whether an address is the wanted one or in the wanted network.
func addressIn(want pattern, have string) bool {
	a, err := netip.ParseAddr(have)
	if err != nil {
		return false
	}
	if one, err := netip.ParseAddr(want.plain()); err == nil {
		return one.Unmap() == a.Unmap()
	}
	n, err := netip.ParsePrefix(want.plain())
	return err == nil && n.Contains(a)
}
