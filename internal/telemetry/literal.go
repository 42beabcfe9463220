// SPDX-License-Identifier: Apache-2.0

package telemetry

import (
	"regexp/syntax"
	"strings"
	"unicode/utf8"
)

// required is the longest text that every match of the expression contains; ""
// when there is none that can be told from the expression alone.
func required(re *syntax.Regexp) string {
	switch re.Op {
	case syntax.OpLiteral:
		// The replacement character matches bytes that are no text as well.
		text := string(re.Rune)
		if re.Flags&syntax.FoldCase != 0 || strings.ContainsRune(text, utf8.RuneError) {
			return ""
		}
		return text
	case syntax.OpConcat:
		longest := ""
		for _, part := range re.Sub {
			if text := required(part); len(text) > len(longest) {
				longest = text
			}
		}
		return longest
	case syntax.OpCapture, syntax.OpPlus:
		return required(re.Sub[0])
	case syntax.OpRepeat:
		if re.Min > 0 {
			return required(re.Sub[0])
		}
	}
	return ""
}

// finder looks for many texts in one pass: a tree of their bytes, entered at
// each byte of a message that begins one of them. Texts are short and share
// beginnings, so that this needs no links for failures to be fast.
type finder struct {
	first [256]int32 // the node behind the first byte; 0 when no text begins so
	nodes []node     // the first is not used
}

type node struct {
	edges []edge
	ends  []int // the numbers of the texts that end here
}

type edge struct {
	b  byte
	to int32
}

// add makes text number n one that is looked for. It must not be empty.
func (f *finder) add(text string, n int) {
	if len(f.nodes) == 0 {
		f.nodes = make([]node, 1)
	}
	at := f.first[text[0]]
	if at == 0 {
		at = f.grow()
		f.first[text[0]] = at
	}
	for i := 1; i < len(text); i++ {
		next := f.nodes[at].behind(text[i])
		if next == 0 {
			next = f.grow()
			f.nodes[at].edges = append(f.nodes[at].edges, edge{text[i], next})
		}
		at = next
	}
	f.nodes[at].ends = append(f.nodes[at].ends, n)
}

func (f *finder) grow() int32 {
	f.nodes = append(f.nodes, node{})
	return int32(len(f.nodes) - 1)
}

func (n *node) behind(b byte) int32 {
	for _, e := range n.edges {
		if e.b == b {
			return e.to
		}
	}
	return 0
}

// find sets the numbers of the texts that message contains.
func (f *finder) find(message string, found bits) {
	for i := range len(message) {
		at := f.first[message[i]]
		for j := i + 1; at != 0; j++ {
			n := &f.nodes[at]
			for _, text := range n.ends {
				found.set(text)
			}
			if j == len(message) {
				break
			}
			at = n.behind(message[j])
		}
	}
}

// bits is a set of small numbers.
type bits []uint64

func (b bits) set(n int) { b[n/64] |= 1 << (n % 64) }
