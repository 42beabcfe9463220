// SPDX-License-Identifier: Apache-2.0

package blazingtext

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"go.uber.org/goleak"

	"github.com/sagebrush-ml/sagebrush/internal/algo"
	"github.com/sagebrush-ml/sagebrush/internal/algo/algotest"
)

func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m)
}

// topics are words that stand together.
var topics = [][]string{
	strings.Fields("ball team goal play win score match coach"),
	strings.Fields("bread soup salt oven meal plate cook taste"),
	strings.Fields("star moon orbit rocket sun planet probe comet"),
}

// labelled is so many lines of text, of which the label tells the topic.
func labelled(n int, seed uint64) string {
	rng := rand.New(rand.NewPCG(seed, 1))
	var b strings.Builder
	for range n {
		topic := rng.IntN(len(topics))
		fmt.Fprintf(&b, "__label__%d", topic)
		for range 8 {
			if rng.IntN(3) == 0 {
				fmt.Fprintf(&b, " %s", strings.Fields("the a of and to in")[rng.IntN(6)])
			} else {
				fmt.Fprintf(&b, " %s", topics[topic][rng.IntN(8)])
			}
		}
		b.WriteByte('\n')
	}
	return b.String()
}

var labelToken = regexp.MustCompile(`__label__\S+ `)

// plain is labelled without labels.
func plain(n int, seed uint64) string { return labelToken.ReplaceAllString(labelled(n, seed), "") }

func file(text string) algotest.Channel {
	return algotest.Channel{ContentType: "text/plain", Files: map[string]string{"a.txt": text}}
}

func TestConforms(t *testing.T) {
	vectors := func(mode string, more ...string) algotest.Case {
		c := algotest.Case{
			Name:     strings.Join(append([]string{mode}, more...), " "),
			Params:   map[string]string{"mode": mode, "min_count": "2", "vector_dim": "12", "epochs": "2", "window_size": "3", "sampling_threshold": "0.001"},
			Channels: map[string]algotest.Channel{"train": file(plain(150, 1))},
			Body:     algotest.Body{ContentType: "application/json", Text: `{"instances": ["ball", "moon", "balls"]}`},
			Long:     map[string]string{"epochs": "1000000"},
			Alone:    mode != batchSkipgram, Apart: true,
		}
		for _, m := range more {
			name, value, _ := strings.Cut(m, "=")
			c.Params[name] = value
		}
		return c
	}
	classes := func(more ...string) algotest.Case {
		c := vectors(supervised, more...)
		c.Channels = map[string]algotest.Channel{"train": file(labelled(150, 1)), "validation": file(labelled(50, 2))}
		c.Body.Text = `{"instances": ["a ball", "the moon and a plate", ""], "configuration": {"k": 5}}`
		return c
	}
	algotest.Run(t, New(), []algotest.Case{
		vectors(batchSkipgram), vectors(batchSkipgram, "subwords=true", "buckets=500"), vectors(skipgram), vectors(skipgram, "subwords=true", "buckets=500"),
		vectors(cbow, "vector_dim=33"), classes("buckets=1000"), classes("word_ngrams=1", "early_stopping=true", "min_epochs=1"),
	})
}

// manyLabels has more labels than are learned in turn.
func TestManyLabelsAreLearned(t *testing.T) {
	var b strings.Builder
	rng := rand.New(rand.NewPCG(3, 4))
	for range 3000 {
		label := rng.IntN(60)
		fmt.Fprintf(&b, "__label__%d the w%d of w%d\n", label, label, label+1)
	}
	c := algotest.Case{Params: map[string]string{"mode": supervised, "learning_rate": "0.5", "buckets": "10000", "vector_dim": "20"},
		Channels: map[string]algotest.Channel{"train": file(b.String()), "validation": file(b.String())}}
	if accuracy := lastFigure(t, c, "validation:accuracy"); accuracy < 0.99 {
		t.Errorf("accuracy %v", accuracy)
	}
}

// lastFigure trains and gives the last figure of a metric in the log, found by
// its regular expression.
func lastFigure(t *testing.T, c algotest.Case, metric string) (figure float64) {
	t.Helper()
	figure = -1
	_, lines, err := algotest.Train[*Model](t, New(), c.Params, c.Channels)
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range New().Spec().Metrics {
		if m.Name == metric {
			for _, found := range regexp.MustCompile(m.Regex).FindAllStringSubmatch(lines, -1) {
				if _, err := fmt.Sscan(found[1], &figure); err != nil {
					t.Fatal(err)
				}
			}
		}
	}
	if figure < -0.5 {
		t.Fatalf("no %s in\n%s", metric, lines)
	}
	return figure
}

func TestMetricsAreInTheLog(t *testing.T) {
	classes := algotest.Case{Params: map[string]string{"mode": supervised, "buckets": "1000", "learning_rate": "0.5"},
		Channels: map[string]algotest.Channel{"train": file(labelled(500, 1)), "validation": file(labelled(100, 2))}}
	for _, metric := range []string{"validation:accuracy", "train:accuracy"} {
		if v := lastFigure(t, classes, metric); v < 0.95 || v > 1 {
			t.Errorf("%s %v", metric, v)
		}
	}
	pairs := "# people\nWord 1,Word 2,Mean\n"
	for i, topic := range topics {
		pairs += fmt.Sprintf("%s,%s,9\n%s %s 8.5\n%s\t%s\t1\nball,unheard,3\n", topic[0], topic[1], topic[2], strings.ToUpper(topic[3]), topic[4], topics[(i+1)%3][5])
	}
	for _, mode := range []string{skipgram, cbow, batchSkipgram} {
		words := algotest.Case{Params: map[string]string{"mode": mode, "vector_dim": "16", "epochs": "10", "sampling_threshold": "0.001", "learning_rate": "0.1"},
			Channels: map[string]algotest.Channel{"train": file(plain(1500, 1)), "evaluation": file(pairs)}}
		if v := lastFigure(t, words, "train:mean_rho"); v < 0.6 || v > 1 {
			t.Errorf("%s: mean_rho %v", mode, v)
		}
	}
}

func TestEvaluationIsWritten(t *testing.T) {
	m, _, err := algotest.Train[*Model](t, New(), map[string]string{"mode": skipgram, "vector_dim": "8", "epochs": "1"}, map[string]algotest.Channel{
		"train": file(plain(200, 1)), "evaluation": file("ball team 9\nball moon 1\nball unheard 4\n")})
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	if err := m.Save(dir); err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile(filepath.Join(dir, "eval.json"))
	var got map[string]any
	if err == nil {
		err = json.Unmarshal(b, &got)
	}
	s, _ := got["a.txt"].(map[string]any)
	if err != nil || s["total_pairs"] != 3.0 || s["not_found"] != 1.0 || s["spearmans_rho"] != got["mean_rho"] {
		t.Errorf("%s, %v", b, err)
	}
}

// TestEvaluationIsByWordSimilarity353 where the job brings no pairs of its own.
func TestEvaluationIsByWordSimilarity353(t *testing.T) {
	params := map[string]string{"mode": skipgram, "vector_dim": "8", "epochs": "1", "min_count": "1"}
	m, lines, err := algotest.Train[*Model](t, New(), params, map[string]algotest.Channel{"train": file(strings.Repeat("tiger cat and king cabbage\nmoney bank\n", 20))})
	if err != nil {
		t.Fatal(err)
	}
	var got map[string]any
	if err := json.Unmarshal(m.evaluation, &got); err != nil {
		t.Fatal(err)
	}
	s, _ := got["EN-WS-353-ALL.txt"].(map[string]any)
	// tiger-cat, tiger-tiger, money-bank, bank-money, king-cabbage
	if s["total_pairs"] != 353.0 || s["not_found"] != 348.0 || s["spearmans_rho"] != got["mean_rho"] {
		t.Errorf("%s", m.evaluation)
	}
	if !strings.Contains(lines, fmt.Sprintf("\n#mean_rho: %v", got["mean_rho"])) || !strings.Contains(lines, "\nVectors read from: /opt/ml/model/vectors.txt \n{\n    \"EN-WS-353-ALL.txt\": {") {
		t.Errorf("the log does not tell: %s", lines)
	}
	for name, c := range map[string]struct {
		params map[string]string
		text   string
		told   bool
	}{
		"words that are in no pair": {params, "alpha beta gamma\n", true},
		"not asked for":             {map[string]string{"mode": skipgram, "vector_dim": "8", "epochs": "1", "min_count": "1", "evaluation": "False"}, "tiger cat king cabbage\n", false},
	} {
		m, lines, err := algotest.Train[*Model](t, New(), c.params, map[string]algotest.Channel{"train": file(c.text)})
		if err != nil || strings.Contains(lines, "#mean_rho:") || strings.Contains(lines, "Evaluation is skipped") != c.told || m.evaluation != nil {
			t.Errorf("%s: %v\n%s", name, err, lines)
		}
	}
}

func TestEarlyStoppingKeepsTheBest(t *testing.T) {
	_, lines, err := algotest.Train[*Model](t, New(), map[string]string{"mode": supervised, "early_stopping": "True", "patience": "2", "min_epochs": "3", "epochs": "100", "buckets": "1000",
		"learning_rate": "0.5"}, map[string]algotest.Channel{"train": file(labelled(500, 1)), "validation": file(labelled(100, 2))})
	if err != nil || !strings.Contains(lines, "Reached patience. Terminating training.") || !strings.Contains(lines, "Best epoch: ") ||
		strings.Count(lines, "End of epoch") > 20 {
		t.Errorf("%v\n%s", err, lines)
	}
}

func TestBadDataIsTold(t *testing.T) {
	long := "__label__a " + strings.Repeat("word ", 200_000) + "\n__label__b other other other other other other\n"
	manifest := func(text string) algotest.Channel {
		return algotest.Channel{ContentType: "application/jsonlines", Files: map[string]string{"m.jsonl": text}}
	}
	for _, c := range []struct {
		name, mode string
		train      algotest.Channel
		params     map[string]string
		want       string // of the error; "" when it trains
	}{
		{"an empty file", supervised, file(""), nil, "train channel: 1 file, but no rows"},
		{"no file", skipgram, algotest.Channel{}, nil, "train channel: no data files found"},
		{"no label", supervised, file(strings.Repeat("good text\n", 5)), nil, "train channel: file a.txt: none of 5 lines has a label and a known word"},
		{"labels and no words", supervised, file("__label__a\n__label__b\n"), nil, "none of 1 different words occurs min_count, 5 times"},
		{"no UTF-8", supervised, file("__label__a fine\n__label__b caf\xe9 au lait\n"), nil, "train channel: file a.txt, line 2: byte 0xe9 is not UTF-8 text"},
		{"rare words", skipgram, file("one two three\n"), nil, "none of 4 different words occurs min_count, 5 times, in 4 tokens of text"},
		{"one label", supervised, file(strings.Repeat("__label__a good text\n", 9)), nil, ""},
		{"one word", skipgram, file(strings.Repeat("one ", 50)), nil, ""},
		{"a line of many words", supervised, file(long), map[string]string{"epochs": "1", "buckets": "1000"}, ""},
		{"a line of many words", cbow, file(long), map[string]string{"epochs": "1"}, ""},
		{"a manifest", supervised, manifest(strings.Repeat(`{"source": "good\ntext", "label": 1}`+"\n"+`{"source": "bad text", "label": ["__label__2", 3]}`+"\n", 5)), nil, ""},
		{"a manifest that is no JSON", supervised, manifest("{\"source\": \"a\", \"label\": 1}\nx\n"), nil, "train channel: file m.jsonl, line 2: invalid character"},
		{"a manifest without source", supervised, manifest("{\"label\": 1}\n"), nil, `train channel: file m.jsonl, line 1: there is no "source"`},
		{"a manifest without label", supervised, manifest("{\"source\": \"a\"}\n"), nil, "train channel: file m.jsonl, line 1: there is no label"},
		{"a manifest with a label of two words", supervised, manifest("{\"source\": \"a\", \"label\": \"b c\"}\n"), nil, `line 1: the label is "b c"; a number or a word`},
		{"a type that is none", supervised, algotest.Channel{ContentType: "text/csv", Files: map[string]string{"x": "a"}}, nil, "text/csv is not an accepted ContentType"},
		{"min_char above max_char", skipgram, file("a"), map[string]string{"subwords": "true", "min_char": "7"}, "min_char: 7 is above max_char, 6"},
		{"early stopping without validation", supervised, file(labelled(50, 1)), map[string]string{"early_stopping": "true"}, "the channel validation is needed"},
	} {
		t.Run(c.name+" "+c.mode, func(t *testing.T) {
			params := map[string]string{"mode": c.mode, "vector_dim": "10"}
			for k, v := range c.params {
				params[k] = v
			}
			_, _, err := algotest.Train[*Model](t, New(), params, map[string]algotest.Channel{"train": c.train})
			switch {
			case c.want == "" && err != nil:
				t.Errorf("refused: %v", err)
			case c.want != "" && (err == nil || !algo.IsClientError(err) || !strings.Contains(err.Error(), c.want)):
				t.Errorf("error %v, want %q", err, c.want)
			}
		})
	}
}

func TestManyHostsAreForBatchSkipgram(t *testing.T) {
	for _, e := range algotest.Together(t, 2, func(peers *collectiveGroup) error {
		p, err := algo.ParseParams(New().Spec(), map[string]string{"mode": cbow})
		if err != nil {
			return err
		}
		_, err = New().Train(t.Context(), algo.Input{Params: p, Hosts: []string{"a", "b"}, Peers: peers, Threads: 1, Print: func(string, ...any) {}})
		if !algo.IsClientError(err) || !strings.Contains(err.Error(), "use batch_skipgram") {
			t.Errorf("error %v", err)
		}
		return nil
	}) {
		if e != nil {
			t.Error(e)
		}
	}
}

func TestLotteryIsFair(t *testing.T) {
	weights := []float64{1, 0, 5, 2, 0.5, 1.5}
	l, r, n := newLottery(weights), draws(7), make([]float64, len(weights))
	const times = 200000
	for range times {
		n[l.draw(&r)]++
	}
	for i, w := range weights {
		if share := n[i] / times; share < w/10-0.004 || share > w/10+0.004 {
			t.Errorf("%d was drawn %.4f of the time, want %.4f", i, share, w/10)
		}
	}
}
