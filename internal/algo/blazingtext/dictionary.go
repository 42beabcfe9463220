// SPDX-License-Identifier: Apache-2.0

package blazingtext

import (
	"bytes"
	"cmp"
	"slices"
	"unicode/utf8"
)

// labelPrefix begins a token that is a label.
const labelPrefix = "__label__"

// endOfLine is the word that fastText reads at the end of each line.
const endOfLine = "</s>"

// hashOf is fastText's: FNV-1a over bytes that are sign-extended, a slip that its
// models have made a standard.
func hashOf[T string | []byte](word T) uint32 {
	h := uint32(2166136261)
	for i := range len(word) {
		h = (h ^ uint32(int32(int8(word[i])))) * 16777619
	}
	return h
}

// separates reports whether c stands between words.
func separates(c byte) bool {
	return c == ' ' || c >= '\t' && c <= '\r' || c == 0
}

// dictionary is words, the most frequent first, then labels.
type dictionary struct {
	words  []string
	counts []int64
	nwords int   // how many of words are no labels
	tokens int64 // of the text that it was made from

	slots  []int32 // by hash: places in words plus one, 0 for none
	hashes []uint32
}

// newDictionary gives the dictionary of words, of which the first nwords are no
// labels.
func newDictionary(words []string, counts []int64, nwords int, tokens int64) *dictionary {
	d := &dictionary{words: words, counts: counts, nwords: nwords, tokens: tokens}
	d.slots = make([]int32, slotsFor(len(words)))
	d.hashes = make([]uint32, len(words))
	for i, w := range words {
		h := hashOf(w)
		d.hashes[i] = h
		at := int(h) & (len(d.slots) - 1)
		for d.slots[at] != 0 {
			at = (at + 1) & (len(d.slots) - 1)
		}
		d.slots[at] = int32(i) + 1
	}
	return d
}

// slotsFor is the size of a table for n entries: a power of two, at most half
// full.
func slotsFor(n int) int {
	size := 16
	for size < 2*n {
		size *= 2
	}
	return size
}

// find gives the place of the word whose hash is h, -1 when there is none.
func (d *dictionary) find(word []byte, h uint32) int32 {
	for at := int(h) & (len(d.slots) - 1); ; at = (at + 1) & (len(d.slots) - 1) {
		i := d.slots[at] - 1
		if i < 0 || d.hashes[i] == h && d.words[i] == string(word) {
			return i
		}
	}
}

func (d *dictionary) labels() int { return len(d.words) - d.nwords }

// counter counts words of one text.
type counter struct {
	slots   []int32 // as those of a dictionary
	entries []entry
}

type entry struct {
	word  []byte
	hash  uint32
	count int64
}

func newCounter() *counter { return &counter{slots: make([]int32, 1<<12)} }

// add counts word n times and gives its place.
func (c *counter) add(word []byte, h uint32, n int64) int32 {
	mask := len(c.slots) - 1
	for at := int(h) & mask; ; at = (at + 1) & mask {
		i := c.slots[at] - 1
		if i < 0 {
			c.entries = append(c.entries, entry{word, h, n})
			c.slots[at] = int32(len(c.entries))
			if 2*len(c.entries) > len(c.slots) {
				c.grow()
			}
			return int32(len(c.entries)) - 1
		}
		if e := &c.entries[i]; e.hash == h && bytes.Equal(e.word, word) {
			e.count += n
			return i
		}
	}
}

func (c *counter) clear() {
	clear(c.slots)
	c.entries = c.entries[:0]
}

func (c *counter) grow() {
	c.slots = make([]int32, 4*len(c.slots))
	mask := len(c.slots) - 1
	for i := range c.entries {
		at := int(c.entries[i].hash) & mask
		for c.slots[at] != 0 {
			at = (at + 1) & mask
		}
		c.slots[at] = int32(i) + 1
	}
}

func isLabel[T string | []byte](word T) bool {
	return len(word) >= len(labelPrefix) && string(word[:len(labelPrefix)]) == labelPrefix
}

// dictionary keeps the words that occur minCount times, and all labels, by
// descending count, those of one count in the order of their first occurrence.
// place is, for each entry, its place there, -1 for a word that is left out.
func (c *counter) dictionary(minCount int) (d *dictionary, place []int32) {

	var words, labels []int32
	tokens := int64(0)
	for i := range int32(len(c.entries)) {
		tokens += c.entries[i].count
		switch {
		case isLabel(c.entries[i].word):
			labels = append(labels, i)
		case c.entries[i].count >= int64(minCount):
			words = append(words, i)
		}
	}
	byCount := func(a, b int32) int { return cmp.Compare(c.entries[b].count, c.entries[a].count) }
	slices.SortStableFunc(words, byCount)
	slices.SortStableFunc(labels, byCount)
	place = make([]int32, len(c.entries))
	for i := range place {
		place[i] = -1
	}
	nwords := len(words)
	words = append(words, labels...)
	texts, counts := make([]string, len(words)), make([]int64, len(words))
	for at, i := range words {
		texts[at], counts[at] = string(c.entries[i].word), c.entries[i].count
		place[i] = int32(at)
	}
	return newDictionary(texts, counts, nwords, tokens), place
}

// subwords appends to rows those of the character n-grams of word, from least to
// most characters long, with its bounds marked by '<' and '>'. They are hashed
// to so many buckets, whose rows follow the first ones.
//
// Source: Bojanowski et al., "Enriching Word Vectors with Subword Information",
// TACL 2017, section 3.2.
func subwords(rows []int32, word string, least, most, buckets, first int) []int32 {
	if buckets <= 0 || most <= 0 || word == endOfLine {
		return rows
	}
	marked := "<" + word + ">"
	for i := 0; i < len(marked); i++ {
		if !utf8.RuneStart(marked[i]) {
			continue
		}
		for j, n := i, 1; j < len(marked) && n <= most; n++ {
			for j++; j < len(marked) && !utf8.RuneStart(marked[j]); j++ {
			}
			// A bound by itself says nothing.
			if n >= least && !(n == 1 && (i == 0 || j == len(marked))) {
				rows = append(rows, int32(first)+int32(hashOf(marked[i:j])%uint32(buckets)))
			}
		}
	}
	return rows
}

// wordNgrams appends to rows those of sequences of 2 to most words, whose hashes
// are given, as subwords does those of characters.
func wordNgrams(rows []int32, hashes []uint32, most, buckets, first int) []int32 {
	if buckets <= 0 {
		return rows
	}
	for i := range hashes {
		// fastText keeps hashes in signed 32 bits and goes on in unsigned 64.
		h := uint64(int64(int32(hashes[i])))
		for j := i + 1; j < len(hashes) && j < i+most; j++ {
			h = h*116049371 + uint64(int64(int32(hashes[j])))
			rows = append(rows, int32(first)+int32(h%uint64(buckets)))
		}
	}
	return rows
}
