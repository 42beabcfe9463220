// SPDX-License-Identifier: Apache-2.0

package data

import (
	"bytes"
	"fmt"
	"strings"
	"unicode/utf8"

	"github.com/sagebrush-ml/sagebrush/internal/algo"
)

// skipBOM is the index of the first byte behind a UTF-8 byte order mark.
func skipBOM(b []byte) int {
	if bytes.HasPrefix(b, []byte("\xef\xbb\xbf")) {
		return 3
	}
	return 0
}

// lineEnd is the index behind the line end at or after i, len(b) when there is
// none.
func lineEnd(b []byte, i int) int {
	if n := bytes.IndexByte(b[i:], '\n'); n >= 0 {
		return i + n + 1
	}
	return len(b)
}

// countLines is the number of lines of b, the last one without an end included.
func countLines(b []byte) int {
	n := bytes.Count(b, []byte{'\n'})
	if len(b) > 0 && b[len(b)-1] != '\n' {
		n++
	}
	return n
}

// blank reports whether line holds only spaces, tabs and line ends.
func blank(line []byte) bool {
	for _, c := range line {
		if c != ' ' && c != '\t' && c != '\r' && c != '\n' {
			return false
		}
	}
	return true
}

// place says where in its source the byte at offset i of c is: "file a.csv,
// line 3". A payload has lines only.
func (c chunk) place(i int) string {
	line := bytes.Count(c.src.b[:c.from+i], []byte{'\n'}) + 1
	if c.src.name == "" {
		return fmt.Sprintf("line %d", line)
	}
	return fmt.Sprintf("file %s, line %d", c.src.name, line)
}

// maxShown is how much of a wrong field an error repeats.
const maxShown = 40

// shown is field in quotes, cut short, with nothing in it that breaks a log
// line.
func shown(field []byte) string {
	field = bytes.TrimRight(field, "\r\n")
	cut := ""
	if len(field) > maxShown {
		end := maxShown
		for end > 0 && !utf8.RuneStart(field[end]) {
			end--
		}
		field, cut = field[:end], "..."
	}
	return fmt.Sprintf("%q%s", strings.ToValidUTF8(string(field), "\ufffd"), cut)
}

// errorAt is a client error at offset i of c.
func (c chunk) errorAt(i int, format string, args ...any) error {
	return algo.ClientErrorf("%s: %s", c.place(i), fmt.Sprintf(format, args...))
}

// plural is n with noun, "1 column" or "3 columns".
func plural(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return fmt.Sprintf("%d %ss", n, noun)
}
