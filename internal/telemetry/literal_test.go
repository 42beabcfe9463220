// SPDX-License-Identifier: Apache-2.0

package telemetry

import (
	"regexp/syntax"
	"slices"
	"strings"
	"testing"
	"time"
)

func TestRequired(t *testing.T) {
	for _, c := range []struct{ name, regex, want string }{
		{"the longest of several", `.*\[[0-9]+\].*#011train-auc:([0-9.]+).*`, "#011train-auc:"},
		{"within a group", `(loss=\d+)`, "loss="},
		{"what is repeated at least once", `(?:loss)+=|x`, ""},
		{"of a repeated group", `(?:loss){2,}`, "loss"},
		{"nothing of what may be missing", `(?:loss)?(acc)*(\d)`, ""},
		{"nothing of alternatives", `loss|accuracy`, ""},
		{"what alternatives begin with", `train-loss|train-acc`, "train-"},
		{"beside alternatives", `(train|test) loss`, " loss"},
		{"nothing when case does not matter", `(?i)loss`, ""},
		{"what case matters for beside what it does not", `(?i:loss) is=`, " is="},
		{"nothing that broken bytes match", "x\uFFFDyz", ""},
		{"nothing of a class", `[ab]+`, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			re, err := syntax.Parse(c.regex, syntax.Perl)
			if err != nil {
				t.Fatal(err)
			}
			if got := required(re); got != c.want {
				t.Errorf("%s requires %q, want %q", c.regex, got, c.want)
			}
		})
	}
}

func TestFinder(t *testing.T) {
	texts := []string{"a", "ab", "abc", "bc", "xyz", "ab", "\xff\x00"}
	var f finder
	for i, text := range texts {
		f.add(text, i)
	}
	for _, message := range []string{"", "a", "zab", "xabxbc", "abc", "aabbcc", "xy", "xyxyz", "\xff\x00", "\xff"} {
		found := make(bits, 1)
		f.find(message, found)
		for i, text := range texts {
			if got := found[0]>>i&1 == 1; got != strings.Contains(message, text) {
				t.Errorf("%q in %q: %v", text, message, got)
			}
		}
	}
}

// TestScraperOfManyDefinitions has more rules than one word has bits.
func TestScraperOfManyDefinitions(t *testing.T) {
	s, err := NewScraper(boosting())
	if err != nil {
		t.Fatal(err)
	}
	got := s.Scan(Event{Message: "[3]#011train-auc:0.5#011validation-auc:0.25#011validation-tweedie-nloglik@1.5:3"})
	var names []string
	for _, v := range got {
		names = append(names, v.Name)
	}
	if !slices.Equal(names, []string{"validation:auc", "train:auc"}) {
		t.Errorf("found %v", got)
	}
}

// plain is a scraper that tries every rule on every line.
func plain(t testing.TB, definitions []Definition) *Scraper {
	t.Helper()
	s, err := NewScraper(definitions)
	if err != nil {
		t.Skip(err)
	}
	for i := range s.rules {
		s.always.set(i)
	}
	return s
}

// FuzzScan holds that trying few rules finds what trying all of them does.
func FuzzScan(f *testing.F) {
	f.Add(`loss=(\d+)`, `(?i)acc:(\d+)|x(\d)`, "loss=3 ACC:4")
	f.Add(`(a|b)+=(\d)`, `\[(\d+)\]#011t`, "[12]#011test ab=1")
	f.Add("x\uFFFD(\\d)", `[xyz](?:12){2}`, "x\xff1 y1212")
	f.Add(`(?s)^.?lo(?:ss){1,3} (\S+)$`, `\bе(\d)`, "loss 1е-3 е3")
	f.Add(`(?m)^(\d+)$`, `(?U)a+(\d+)`, "1\n2 aaa34")
	f.Fuzz(func(t *testing.T, a, b, line string) {
		d := []Definition{{"a", a}, {"b", b}, {"a", b + a}}
		all := plain(t, d)
		few, err := NewScraper(d)
		if err != nil {
			t.Fatal(err)
		}
		for i, message := range []string{line, Text(line), a, b, a + b, b + a, line + a} {
			e := Event{Time: time.UnixMilli(int64(i)), Message: message}
			if got, want := few.Scan(e), all.Scan(e); !slices.Equal(got, want) {
				t.Fatalf("%q and %q find %v in %q, want %v", a, b, got, message, want)
			}
		}
		if got, want := few.Final(), all.Final(); !slices.Equal(got, want) {
			t.Fatalf("in the end %v, want %v", got, want)
		}
	})
}
