// SPDX-License-Identifier: Apache-2.0

package serve

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// accepts chooses the media type of an answer.
type accepts struct {
	types    []string // that can be written
	headers  [][]string
	fallback int // for a request that leaves the choice
}

// newAccepts takes the media types that can be written, the first being the
// default unless preferred, from the environment, names another.
func newAccepts(types []string, preferred string) (accepts, error) {
	a := accepts{types: types}
	for _, t := range types {
		a.headers = append(a.headers, []string{t})
	}
	if preferred = mediaType(preferred); preferred != "" {
		i := slices.Index(types, preferred)
		if i < 0 {
			return accepts{}, fmt.Errorf("SAGEMAKER_DEFAULT_INVOCATIONS_ACCEPT is %q; supported are %s", preferred, strings.Join(types, ", "))
		}
		a.fallback = i
	}
	return a, nil
}

// mediaType is the type of one element of Accept, without its parameters.
func mediaType(s string) string {
	head, _, _ := strings.Cut(s, ";")
	return strings.ToLower(strings.TrimSpace(head))
}

// choose picks the type with the highest q in the Accept headers, of equals the
// first named; a wildcard leaves the choice to the default where that fits.
// params is what the element had behind the type. The header value is shared and
// must not be changed.
func (a accepts) choose(accept []string) (chosen, params string, header []string, ok bool) {
	if len(accept) == 0 {
		return a.types[a.fallback], "", a.headers[a.fallback], true
	}
	if len(accept) == 1 { // the plain case, without garbage
		if i := slices.Index(a.types, accept[0]); i >= 0 {
			return a.types[i], "", a.headers[i], true
		}
	}
	best, bestQ := -1, 0.0
	empty := true
	for _, line := range accept {
		for element := range strings.SplitSeq(line, ",") {
			typ := mediaType(element)
			if typ == "" {
				continue
			}
			empty = false
			if i := a.match(typ); i >= 0 {
				if q := quality(element); q > bestQ {
					best, bestQ = i, q
					_, params, _ = strings.Cut(element, ";")
				}
			}
		}
	}
	if empty {
		best = a.fallback
	}
	if best < 0 {
		return "", "", nil, false
	}
	return a.types[best], params, a.headers[best], true
}

// match is the index of the written type that typ, which may be a wildcard,
// asks for, or -1.
func (a accepts) match(typ string) int {
	if typ == "*/*" || typ == "*" {
		return a.fallback
	}
	family, wild := strings.CutSuffix(typ, "*")
	if !wild {
		return slices.Index(a.types, typ)
	}
	if strings.HasPrefix(a.types[a.fallback], family) {
		return a.fallback
	}
	return slices.IndexFunc(a.types, func(t string) bool { return strings.HasPrefix(t, family) })
}

// quality is the q parameter of one element, 1 when it has none or a broken one.
func quality(element string) float64 {
	_, params, _ := strings.Cut(element, ";")
	for param := range strings.SplitSeq(params, ";") {
		if name, value, ok := strings.Cut(param, "="); ok && strings.EqualFold(strings.TrimSpace(name), "q") {
			if q, err := strconv.ParseFloat(strings.TrimSpace(value), 64); err == nil {
				return q
			}
		}
	}
	return 1
}
