// SPDX-License-Identifier: Apache-2.0

package blazingtext

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"

	"github.com/sagebrush-ml/sagebrush/internal/algo"
	"github.com/sagebrush-ml/sagebrush/internal/algo/data"
	"github.com/sagebrush-ml/sagebrush/internal/algo/vec"
)

// readText gives the text of a channel: lines of words apart by white space, of
// which those that begin with __label__ are labels. Augmented manifests are made
// such lines. In Pipe mode it is the first epoch's. release must follow.
func readText(ch *algo.Channel) (texts []data.Text, release func(), err error) {
	texts, release, err = data.OpenText(ch, 0)
	if err != nil {
		return nil, nil, err
	}
	kind, _, _ := strings.Cut(strings.ToLower(ch.ContentType), ";")
	switch kind = strings.TrimSpace(kind); {
	case kind != "" && kind != "text/plain" && kind != "application/jsonlines":
		err = algo.ClientErrorf("%s channel: %s is not an accepted ContentType: text/plain, application/jsonlines", ch.Name, ch.ContentType)
	case ch.Wrapped && attributes(texts[0].Bytes):
		texts, err = fromRecords(ch, texts)
	case kind == "application/jsonlines":
		texts, err = fromManifest(ch, texts)
	}
	if err != nil {
		release()
		return nil, nil, err
	}
	return texts, release, nil
}

// attributes reports whether record is the first value of an augmented manifest
// whose attributes are sent one by one, and not a text or a line of JSON.
func attributes(record []byte) bool {
	return !bytes.HasPrefix(bytes.TrimSpace(record), []byte("{")) && !bytes.Contains(record, []byte(labelPrefix))
}

// fromRecords makes lines of the values of source and label in turn, each a
// record.
func fromRecords(ch *algo.Channel, records []data.Text) ([]data.Text, error) {
	if len(records)%2 != 0 {
		return nil, algo.ClientErrorf("%s channel: an odd number of records, %d; the AttributeNames [\"source\", \"label\"] of an augmented manifest were expected", ch.Name, len(records))
	}
	out := data.Text{Name: records[0].Name}
	for i := 0; i < len(records); i += 2 {
		var err error
		if out.Bytes, err = appendSample(out.Bytes, string(records[i].Bytes), records[i+1].Bytes); err != nil {
			return nil, algo.ClientErrorf("%s channel: sample %d: %w", ch.Name, i/2+1, err)
		}
	}
	return []data.Text{out}, nil
}

// fromManifest makes lines of {"source": "text", "label": 1}.
func fromManifest(ch *algo.Channel, texts []data.Text) ([]data.Text, error) {
	var out []data.Text
	for _, t := range texts {
		lines := data.Text{Name: t.Name}
		for at := 0; at < len(t.Bytes); {
			end := len(t.Bytes)
			if n := bytes.IndexByte(t.Bytes[at:], '\n'); n >= 0 {
				end = at + n
			}
			var sample struct {
				Source *string
				Label  json.RawMessage
			}
			line := bytes.TrimSpace(t.Bytes[at:end])
			var err error
			if len(line) == 0 {
				lines.Bytes = append(lines.Bytes, '\n')
			} else if err = json.Unmarshal(line, &sample); err == nil && sample.Source == nil {
				err = errors.New(`there is no "source"`)
			} else if err == nil {
				lines.Bytes, err = appendSample(lines.Bytes, *sample.Source, sample.Label)
			}
			if err != nil {
				return nil, algo.ClientErrorf("%s channel: %s: %w; {\"source\": \"text\", \"label\": 1} was expected", ch.Name, t.Place(at), err)
			}
			at = end + 1
		}
		out = append(out, lines)
	}
	return out, nil
}

// appendSample appends the line of a text with its label: a number, a string, or
// a list of them. A string that is an attribute's record has no quotes.
func appendSample(dst []byte, source string, label []byte) ([]byte, error) {
	if label = bytes.TrimSpace(label); len(label) == 0 {
		return dst, errors.New("there is no label")
	}
	d := json.NewDecoder(bytes.NewReader(label))
	d.UseNumber()
	var value any
	if err := d.Decode(&value); err != nil || d.More() {
		value = string(label)
	}
	labels, ok := value.([]any)
	if !ok {
		labels = []any{value}
	}
	for _, l := range labels {
		text, _ := l.(string)
		if n, ok := l.(json.Number); ok {
			text = n.String()
		}
		if text = strings.TrimPrefix(text, labelPrefix); text == "" || strings.ContainsFunc(text, func(r rune) bool { return r < utf8.RuneSelf && separates(byte(r)) }) {
			return dst, fmt.Errorf("the label is %.60s; a number or a word was expected, or a list of them", label)
		}
		dst = append(append(append(dst, labelPrefix...), text...), ' ')
	}
	dst = append(dst, strings.ReplaceAll(source, "\n", " ")...)
	return append(dst, '\n'), nil
}

// piece is a stretch of one text whose words are counted by themselves.
type piece struct {
	text     *data.Text
	from, to int
}

// lineEnd stands among words where a line ends.
const lineEnd = -2

// pieceBytes is how long a piece is about, and piecesAtOnce how many are counted
// before what they have is put together. What comes out hangs on neither, nor on
// the number of threads.
const (
	pieceBytes   = 1 << 20
	piecesAtOnce = 16
)

// cut divides texts into pieces that end behind a line end or, where words do
// not stand in lines, behind white space.
func cut(texts []data.Text, lines bool) []piece {
	var pieces []piece
	for i := range texts {
		b := texts[i].Bytes
		from := 0
		if bytes.HasPrefix(b, []byte("\xef\xbb\xbf")) {
			from = 3
		}
		for from < len(b) {
			to := min(from+pieceBytes, len(b))
			for to < len(b) && !(b[to-1] == '\n' || !lines && separates(b[to-1])) {
				to++
			}
			pieces = append(pieces, piece{text: &texts[i], from: from, to: to})
			from = to
		}
	}
	return pieces
}

// tally is the words of one piece.
type tally struct {
	words  *counter
	ids    []int32 // places in words; lineEnd for an end of line
	places []int32 // of words in those of all pieces
}

// count counts the words of p. The last line of a text counts as ended.
func (t *tally) count(p piece) error {
	b := p.text.Bytes[p.from:p.to]
	if !utf8.Valid(b) {
		at := 0
		for {
			r, size := utf8.DecodeRune(b[at:])
			if r == utf8.RuneError && size == 1 {
				break
			}
			at += size
		}
		return algo.ClientErrorf("%s: byte %#x is not UTF-8 text", p.text.Place(p.from+at), b[at])
	}
	if t.words == nil {
		t.words = newCounter()
	}
	t.words.clear()
	t.ids = t.ids[:0]
	end := []byte(endOfLine)
	endHash := hashOf(end)
	for i := 0; i < len(b); {
		if c := b[i]; separates(c) {
			if i++; c == '\n' {
				t.ids = append(t.ids, t.words.add(end, endHash, 1), lineEnd)
			}
			continue
		}
		from, h := i, uint32(2166136261)
		for ; i < len(b) && !separates(b[i]); i++ {
			h = (h ^ uint32(int32(int8(b[i])))) * 16777619
		}
		t.ids = append(t.ids, t.words.add(b[from:i], h, 1))
	}
	if p.to == len(p.text.Bytes) && len(b) > 0 && b[len(b)-1] != '\n' {
		t.ids = append(t.ids, t.words.add(end, endHash, 1), lineEnd)
	}
	return nil
}

// addTo adds the words to those of all pieces, which keep copies.
func (t *tally) addTo(all *counter) {
	t.places = t.places[:0]
	for _, e := range t.words.entries {
		had := len(all.entries)
		at := all.add(e.word, e.hash, e.count)
		if int(at) == had {
			all.entries[at].word = bytes.Clone(e.word)
		}
		t.places = append(t.places, at)
	}
}

// text is the words of the piece as places in those of all pieces.
func (t *tally) text() []int32 {
	out := make([]int32, len(t.ids))
	for i, id := range t.ids {
		out[i] = lineEnd
		if id != lineEnd {
			out[i] = t.places[id]
		}
	}
	return out
}

// wording is the text of a channel as words.
type wording struct {
	words *counter
	ids   [][]int32 // of each piece: places in words; lineEnd for an end of line
	first string    // name of the first file
}

// countAll counts the words of all pieces and puts them together in their order.
// It keeps nothing of the texts.
func countAll(pieces []piece, c *vec.Crew) (*wording, error) {
	out := &wording{words: newCounter(), ids: make([][]int32, len(pieces))}
	var tallies [piecesAtOnce]tally
	var failed [piecesAtOnce]error
	for from := 0; from < len(pieces); from += piecesAtOnce {
		now := pieces[from:min(from+piecesAtOnce, len(pieces))]
		c.Do(len(now), func(i int) { failed[i] = tallies[i].count(now[i]) })
		for i := range now {
			if failed[i] != nil {
				return nil, failed[i]
			}
			tallies[i].addTo(out.words)
		}
		c.Do(len(now), func(i int) { out.ids[from+i] = tallies[i].text() })
	}
	if len(pieces) > 0 {
		out.first = pieces[0].text.Name
	}
	return out, nil
}
