// SPDX-License-Identifier: Apache-2.0

package pyenv

import (
	"regexp"
	"strconv"
	"strings"
)

// release matches a version that is no pre-release, by its numbers. Source: PEP
// 440, without epochs, which no package here has.
var release = regexp.MustCompile(`^v?(\d+(?:\.\d+)*)(?:\.post\d+)?(?:\+[a-z0-9.]+)?$`)

// compare orders two releases by their numbers: 1.9 < 1.10, 1.2 = 1.2.0. What
// is no release has no numbers and comes first.
func compare(a, b string) int {
	x, y := numbers(a), numbers(b)
	for i := range max(len(x), len(y)) {
		var p, q int
		if i < len(x) {
			p = x[i]
		}
		if i < len(y) {
			q = y[i]
		}
		if p != q {
			return p - q
		}
	}
	return 0
}

func numbers(version string) []int {
	m := release.FindStringSubmatch(version)
	if m == nil {
		return nil
	}
	var out []int
	for n := range strings.SplitSeq(m[1], ".") {
		i, err := strconv.Atoi(n)
		if err != nil { // more digits than a number has
			return nil
		}
		out = append(out, i)
	}
	return out
}

// specified is the version that a specifier speaks of: "==1.2.1" → "1.2.1".
func specified(specifier string) string {
	return strings.TrimSuffix(strings.TrimLeft(specifier, "=~<>! "), ".*")
}

var separators = regexp.MustCompile(`[-_.]+`)

// normalize makes a name of a package comparable. Source: PEP 503.
func normalize(name string) string {
	return strings.ToLower(separators.ReplaceAllString(name, "-"))
}
