// SPDX-License-Identifier: Apache-2.0

package blazingtext

import (
	"bytes"
	"encoding/json"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/sagebrush-ml/sagebrush/internal/algo"
	"github.com/sagebrush-ml/sagebrush/internal/algo/collective"
	"github.com/sagebrush-ml/sagebrush/internal/algo/vec"
)

type collectiveGroup = collective.Group

func open(t testing.TB, name string) *Model {
	t.Helper()
	b, err := os.ReadFile(filepath.Join("testdata", name))
	if err != nil {
		t.Fatal(err)
	}
	m, err := New().Load(fstest.MapFS{name: {Data: b}})
	if err != nil {
		t.Fatal(err)
	}
	return m.(*Model)
}

// TestFilesOfFastTextAreRead compares with what fastText 0.9.2 says of its own
// models; testdata/generate.py made them. fastText adds 1e-5 to a probability,
// and looks sigmoids up in a table of 512.
func TestFilesOfFastTextAreRead(t *testing.T) {
	b, err := os.ReadFile("testdata/expected.json")
	if err != nil {
		t.Fatal(err)
	}
	var expected map[string]map[string]json.RawMessage
	if err := json.Unmarshal(b, &expected); err != nil {
		t.Fatal(err)
	}
	for name, texts := range expected {
		t.Run(name, func(t *testing.T) {
			m := open(t, name)
			tolerance := map[string]float64{"each.bin": 0.01}[name] + 3e-5
			for text, raw := range texts {
				if name == "subwords.bin" {
					var want []float64
					if err := json.Unmarshal(raw, &want); err != nil {
						t.Fatal(err)
					}
					h := make([]float32, vec.Stride(len(want)))
					m.vector(h, []byte(text))
					for i, w := range want {
						if math.Abs(float64(h[i])-w) > 1e-5 {
							t.Errorf("%q: value %d is %v, want %v", text, i, h[i], w)
						}
					}
					continue
				}
				var want map[string]float64
				if err := json.Unmarshal(raw, &want); err != nil {
					t.Fatal(err)
				}
				p := m.probabilities([]byte(text))
				for i := range p {
					label := m.dict.words[m.dict.nwords+i]
					if math.Abs(float64(p[i])-want[label]) > tolerance {
						t.Errorf("%q: %s has %v, want %v", text, label, p[i], want[label])
					}
				}
			}
			dir := t.TempDir()
			switch err := m.Save(dir); {
			case strings.HasSuffix(name, ".ftz"):
				if err == nil {
					t.Error("a quantised model is written")
				}
			case err != nil:
				t.Error(err)
			default:
				want, err := os.ReadFile(filepath.Join("testdata", name))
				if err != nil {
					t.Fatal(err)
				}
				file := "model.bin"
				if !m.supervised() {
					file = "vectors.bin"
				}
				if got, err := os.ReadFile(filepath.Join(dir, file)); err != nil || !bytes.Equal(got, want) {
					t.Errorf("other bytes are written: %d, want %d, %v", len(got), len(want), err)
				}
			}
			if m.MemoryBytes() <= 0 {
				t.Error("it takes no memory")
			}
		})
	}
}

func TestAnswers(t *testing.T) {
	classifier, words := open(t, "softmax.bin"), open(t, "subwords.bin")
	for _, c := range []struct {
		name              string
		m                 *Model
		contentType, body string
		want              string // a part of the answer or of the error
		bad               bool
	}{
		{"a text", classifier, "application/json", `{"instances": ["the ball of the team"]}`, `[{"label": ["__label__sport"], "prob": [0.994`, false},
		{"two labels", classifier, "application/json; charset=utf-8", `{"instances": ["soup moon"], "configuration": {"k": 2}}`,
			`[{"label": ["__label__space", "__label__food"], "prob": [0.90`, false},
		{"more labels than there are", classifier, "application/json", `{"instances": ["soup", "moon"], "configuration": {"k": 9}}`, `"__label__sport"], "prob": [`, false},
		{"lines", classifier, "application/jsonlines", "{\"source\": \"soup\", \"k\": 1}\n\n{\"source\": \"the ball\"}\n", "}\n{\"label\": [\"__label__sport\"], \"prob\": [", false},
		{"no instances", classifier, "application/json", `{"instances": []}`, "[]", false},
		{"words", words, "application/json", `{"instances": ["ball", "日本"]}`, `[{"word": "ball", "vector": [`, false},
		{"a word in quotes", words, "application/jsonlines", `{"source": "\"x"}`, `{"word": "\"x", "vector": [`, false},
		{"no JSON", classifier, "application/json", `ball`, "the body is not", true},
		{"no instances at all", classifier, "application/json", `{}`, `the body has no "instances"`, true},
		{"numbers", classifier, "application/json", `{"instances": [1]}`, "the body is not", true},
		{"k of 0", classifier, "application/json", `{"instances": ["a"], "configuration": {"k": 0}}`, "k is 0", true},
		{"a line without source", classifier, "application/jsonlines", "{\"source\": \"a\"}\n{}\n", `line 2 has no "source"`, true},
		{"a line that is none", classifier, "application/jsonlines", "a\n", "line 1 is not", true},
		{"a type that is none", classifier, "text/csv", "a", "unsupported content type: text/csv", true},
	} {
		t.Run(c.name, func(t *testing.T) {
			b, err := c.m.Respond(t.Context(), nil, algo.Answer{Accept: "application/json"}, c.contentType, []byte(c.body))
			got := string(b)
			if err != nil {
				got = err.Error()
			}
			if (err != nil) != c.bad || !strings.Contains(got, c.want) {
				t.Errorf("%q, want %q", got, c.want)
			}
		})
	}
	if _, err := classifier.Predict(t.Context(), nil); err == nil {
		t.Error("rows are predicted")
	}
}

func TestUnknownWordsHaveZerosWithoutSubwords(t *testing.T) {
	m, err := New().Load(fstest.MapFS{"vectors.txt": {Data: []byte("2 3\na 1 2 3\nb 4 5e-1 6\n")}})
	if err != nil {
		t.Fatal(err)
	}
	b, err := m.(*Model).Respond(t.Context(), nil, algo.Answer{}, "application/json", []byte(`{"instances": ["b", "c"]}`))
	if want := `[{"word": "b", "vector": [4.0, 0.5, 6.0]}, {"word": "c", "vector": [0.0, 0.0, 0.0]}]`; err != nil || string(b) != want {
		t.Errorf("%s, %v, want %s", b, err, want)
	}
}

func TestWhatIsNoModelIsTold(t *testing.T) {
	good, err := os.ReadFile("testdata/softmax.bin")
	if err != nil {
		t.Fatal(err)
	}
	old := bytes.Clone(good)
	old[4] = 10
	for name, c := range map[string]struct {
		file, content, want string
	}{
		"no file":         {"readme", "x", "the model folder holds no model.bin"},
		"another file":    {"model.bin", "hello, here is no model", "model.bin: read a fastText model: it does not begin as files of fastText do"},
		"an old version":  {"model.bin", string(old), "version 10; 11 and 12 can be read"},
		"half of a file":  {"model.bin", string(good[:len(good)/2]), "read a fastText model: "},
		"an empty file":   {"vectors.bin", "", "the file ends too soon"},
		"ragged vectors":  {"vectors.txt", "1 3\na 1 2 3\nb 1 2\n", "line 3: a word and 3 values were expected"},
		"text in vectors": {"vectors.txt", "a 1 x 3\n", `line 1: value 2 is "x", no number`},
		"no vectors":      {"some.vec", "\n", "no vectors"},
	} {
		t.Run(name, func(t *testing.T) {
			if _, err := New().Load(fstest.MapFS{c.file: {Data: []byte(c.content)}}); err == nil || !algo.IsClientError(err) || !strings.Contains(err.Error(), c.want) {
				t.Errorf("error %v, want %q", err, c.want)
			}
		})
	}
}

func TestCorrelationOfRanks(t *testing.T) {
	for _, c := range []struct {
		a, b []float64
		want float64
	}{
		{[]float64{1, 2, 3, 4}, []float64{10, 20, 25, 90}, 1},
		{[]float64{1, 2, 3, 4}, []float64{4, 3, 2, 1}, -1},
		{[]float64{106, 86, 100, 101, 99, 103, 97, 113, 112, 110}, []float64{7, 0, 27, 50, 28, 29, 20, 12, 6, 17}, -29.0 / 165},
		{[]float64{1, 2, 2, 3}, []float64{1, 3, 2, 4}, 0.9486832980505138}, // scipy.stats.spearmanr
		{[]float64{1, 1}, []float64{1, 2}, 0},
	} {
		if got := correlation(ranks(c.a), ranks(c.b)); math.Abs(got-c.want) > 1e-12 {
			t.Errorf("%v and %v: %v, want %v", c.a, c.b, got, c.want)
		}
	}
}

func TestZerosAreLeftOut(t *testing.T) {
	d := newDense(4, 3, []bool{false, true, true, false})
	if d.rows != 3 {
		t.Errorf("%d rows, want the two used ones and one of zeros", d.rows)
	}
	copy(d.row(0), []float32{1, 2, 3})
	copy(d.row(1), []float32{3, 2, 1})
	h := make([]float32, d.stride)
	d.mean(h, []int32{0, 1, 2, 3})
	if h[0] != 1 || h[1] != 1 || h[2] != 1 {
		t.Errorf("mean %v", h[:3])
	}
	found := []int32{0, 1, 2, 3}
	d.find(found)
	mean(h, d.matrix, found)
	if h[0] != 1 || h[1] != 1 || h[2] != 1 {
		t.Errorf("mean of found rows %v", h[:3])
	}
}

func FuzzReadModel(f *testing.F) {
	for _, name := range []string{"softmax.bin", "tree.bin", "each.bin", "subwords.bin", "whole.ftz", "pruned.ftz"} {
		b, err := os.ReadFile(filepath.Join("testdata", name))
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		m, err := readModel(bytes.NewReader(b), int64(len(b)))
		if err != nil {
			return
		}
		if _, err := m.Respond(t.Context(), nil, algo.Answer{}, "application/json", []byte(`{"instances": ["the köche n1", ""]}`)); err != nil {
			t.Error(err)
		}
	})
}

func FuzzReadVectors(f *testing.F) {
	f.Add([]byte("2 3\na 1 2 3\nb 4 5 6\n"))
	f.Add([]byte("a nan 1e400\n"))
	f.Fuzz(func(t *testing.T, b []byte) {
		if m, err := readVectors(bytes.NewReader(b)); err == nil && m.inRows != m.dict.nwords {
			t.Errorf("%d rows for %d words", m.inRows, m.dict.nwords)
		}
	})
}
