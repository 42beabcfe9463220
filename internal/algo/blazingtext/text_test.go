// SPDX-License-Identifier: Apache-2.0

package blazingtext

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/sagebrush-ml/sagebrush/internal/algo"
	"github.com/sagebrush-ml/sagebrush/internal/algo/data"
	"github.com/sagebrush-ml/sagebrush/internal/algo/vec"
	"github.com/sagebrush-ml/sagebrush/internal/recordio"
)

// written is the text of a channel of one file.
func written(t *testing.T, ch *algo.Channel, content string) (string, error) {
	t.Helper()
	ch.Name, ch.Dir = "train", filepath.Join(t.TempDir(), "train")
	if err := os.MkdirAll(ch.Dir, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(ch.Dir, "x"), []byte(content), 0o644); err != nil {
		t.Fatal(err)
	}
	texts, release, err := readText(ch)
	if err != nil {
		return "", err
	}
	defer release()
	var b strings.Builder
	for _, text := range texts {
		b.Write(text.Bytes)
	}
	return b.String(), nil
}

// records frames values as the feeder does in Pipe mode.
func records(values ...string) string {
	var b []byte
	for _, v := range values {
		var err error
		if b, err = recordio.AppendWhole(b, []byte(v)); err != nil {
			panic(err)
		}
	}
	return string(b)
}

func TestAugmentedManifests(t *testing.T) {
	for _, c := range []struct {
		name    string
		ch      algo.Channel
		content string
		want    string
		bad     bool
	}{
		{"attributes as records", algo.Channel{Wrapped: true}, records("good\ntext", "1", "bad", "[2, 3]", "so so", "x"), "__label__1 good text\n__label__2 __label__3 bad\n__label__x so so\n", false},
		{"lines as records", algo.Channel{Wrapped: true, ContentType: "application/jsonlines"}, records(`{"source": "good", "label": 1}`+"\n", `{"source": "bad", "label": "2"}`), "__label__1 good\n__label__2 bad\n", false},
		{"texts as records", algo.Channel{Wrapped: true}, records("__label__1 good\n", "__label__2 bad"), "__label__1 good\n__label__2 bad", false},
		{"half a sample", algo.Channel{Wrapped: true}, records("good"), "an odd number of records, 1", true},
		{"a label that is none", algo.Channel{Wrapped: true}, records("good", "{}"), "", true},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, err := written(t, &c.ch, c.content)
			if c.bad {
				if !algo.IsClientError(err) || !strings.Contains(err.Error(), c.want) {
					t.Errorf("%q, %v", got, err)
				}
			} else if err != nil || got != c.want {
				t.Errorf("%q, %v, want %q", got, err, c.want)
			}
		})
	}
}

// TestPiecesCountAsTheWhole cuts text at no place, and behind every word, which
// makes more pieces than are counted at once.
func TestPiecesCountAsTheWhole(t *testing.T) {
	words := "one two\n\ntwo three \t x\r\nlast"
	text := []data.Text{{Name: "a", Bytes: []byte("\xef\xbb\xbf" + strings.Repeat(words+"\n", 6) + words)}}
	var small []piece
	for from := 3; from < len(text[0].Bytes); {
		to := from + 1
		for to < len(text[0].Bytes) && !separates(text[0].Bytes[to-1]) {
			to++
		}
		small = append(small, piece{&text[0], from, to})
		from = to
	}
	if len(small) <= 2*piecesAtOnce {
		t.Fatalf("%d pieces", len(small))
	}
	for _, pieces := range [][]piece{cut(text, false), small} {
		c := vec.NewCrew(2)
		all, err := countAll(pieces, c)
		c.Close()
		if err != nil {
			t.Fatal(err)
		}
		d, places := all.words.dictionary(1)
		var got []string
		for i, w := range d.words {
			got = append(got, fmt.Sprint(w, d.counts[i]))
		}
		if want := "</s>28 two14 one7 three7 x7 last7"; strings.Join(got, " ") != want {
			t.Errorf("%d pieces: %s, want %s", len(pieces), strings.Join(got, " "), want)
		}
		var read []string
		for _, at := range wordsOf(all, places, d) {
			if at != lineEnd {
				read = append(read, d.words[at])
			}
		}
		want := strings.Fields(strings.ReplaceAll(string(text[0].Bytes[3:])+"\n", "\n", " </s> "))
		if !slices.Equal(read, want) {
			t.Errorf("%d pieces: the text is %q, want %q", len(pieces), read, want)
		}
	}
}

func FuzzText(f *testing.F) {
	f.Add("__label__1 good\n__label__2 bad", "good", "[1, \"b\"]")
	f.Add("\x00\xff", "a\nb", "{}")
	f.Fuzz(func(t *testing.T, text, source, label string) {
		var p tally
		if err := p.count(piece{text: &data.Text{Bytes: []byte(text)}, to: len(text)}); (err == nil) != utf8.ValidString(text) {
			t.Errorf("error %v", err)
		} else if err == nil {
			sum := int64(0)
			for _, e := range p.words.entries {
				sum += e.count
			}
			ends := 0
			for _, id := range p.ids {
				if id == lineEnd {
					ends++
				}
			}
			if int(sum) != len(p.ids)-ends {
				t.Errorf("%d words, %d counted", len(p.ids)-ends, sum)
			}
		}
		if b, err := appendSample(nil, source, []byte(label)); err == nil && (strings.Count(string(b), "\n") != 1 || !isLabel(b)) {
			t.Errorf("%q", b)
		}
	})
}
