// SPDX-License-Identifier: Apache-2.0

// Package algotest is the suite that every built-in algorithm passes: same
// seed, same model; save, load, same predictions; every parameter's bounds;
// cancel ends training; garbage rows are a client error; several hosts learn
// what one does, where the algorithm can be distributed.
package algotest

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"maps"
	"math"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"testing"
	"time"

	"github.com/sagebrush-ml/sagebrush/internal/algo"
)

// Case is one way to train an algorithm.
type Case struct {
	Name   string
	Params map[string]string
	// Channels is the data by channel.
	Channels map[string]Channel
	// Rows is what the model predicts, of the shape that it learned from.
	Rows *algo.Matrix
	// Body is what it answers, in place of Rows, where it is an algo.Responder:
	// the numbers of its JSON answer are its prediction.
	Body Body
	// Alone says that these Params do not train on several hosts, Apart that what
	// several hosts learn is not what one does.
	Alone, Apart bool
	// Long is laid over Params to make training outlast the suite's patience,
	// and print lines while it runs; without it cancelling is tried only
	// before training begins.
	Long map[string]string
}

// Body is a request.
type Body struct{ ContentType, Text string }

// Channel is the files of one channel, by their names below its folder.
type Channel struct {
	ContentType string
	Files       map[string]string
	// How the channel's S3DataDistributionType is, where the algorithm minds.
	Distribution Distribution
}

// Distribution is how hosts share a channel.
type Distribution int

// Either of them will do for an algorithm that takes both; then several hosts
// get parts, and one host all.
const (
	Either Distribution = iota
	Sharded
	Replicated
)

// CSV is a channel of one CSV file.
func CSV(text string) Channel {
	return Channel{ContentType: "text/csv", Files: map[string]string{"data.csv": text}}
}

// LibSVM is a channel of one libsvm file.
func LibSVM(text string) Channel {
	return Channel{ContentType: "text/libsvm", Files: map[string]string{"data.libsvm": text}}
}

// patience is how long a cancelled training may take to end.
const patience = 2 * time.Minute

// Run tests a with each case.
func Run(t *testing.T, a algo.Algorithm, cases []Case) {
	t.Helper()
	if len(cases) == 0 {
		t.Fatal("algotest: no cases")
	}
	t.Run("every parameter keeps its bounds", func(t *testing.T) { bounds(t, a.Spec(), cases[0].Params) })
	for _, c := range cases {
		t.Run(c.Name, func(t *testing.T) {
			t.Run("the same seed gives the same bytes on one thread and two", func(t *testing.T) { sameBytes(t, a, c) })
			t.Run("a saved model predicts the same", func(t *testing.T) { saveLoad(t, a, c) })
			t.Run("a cancelled context ends training", func(t *testing.T) { cancelled(t, a, c) })
			t.Run("garbage is a client error", func(t *testing.T) { garbage(t, a, c) })
			if a.Spec().Distributed && !c.Alone {
				t.Run("several hosts learn what one host learns", func(t *testing.T) { severalHosts(t, a, c) })
				t.Run("garbage on one host ends all", func(t *testing.T) { garbageOnOneHost(t, a, c) })
			}
		})
	}
}

// input lays c's data out below a fresh folder.
func input(t *testing.T, a algo.Algorithm, params map[string]string, channels map[string]Channel, threads int) algo.Input {
	t.Helper()
	p, err := algo.ParseParams(a.Spec(), params)
	if err != nil {
		t.Fatalf("parameters: %v", err)
	}
	in := algo.Input{
		Params: p, Channels: map[string]*algo.Channel{}, Host: "algo-1", Hosts: []string{"algo-1"}, Threads: threads,
		Log: slog.New(slog.NewTextHandler(io.Discard, nil)), Print: func(string, ...any) {},
	}
	root := t.TempDir()
	for name, c := range channels {
		dir := filepath.Join(root, name)
		for file, text := range c.Files {
			path := filepath.Join(dir, file)
			if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		in.Channels[name] = &algo.Channel{Name: name, Dir: dir, ContentType: c.ContentType, Sharded: c.Distribution == Sharded}
	}
	return in
}

func train(t *testing.T, a algo.Algorithm, c Case, threads int) algo.Model {
	t.Helper()
	model, err := a.Train(t.Context(), input(t, a, c.Params, c.Channels, threads))
	if err != nil {
		t.Fatalf("train: %v", err)
	}
	return model
}

func save(t *testing.T, m algo.Model) (dir string) {
	t.Helper()
	dir = t.TempDir()
	if err := m.Save(dir); err != nil {
		t.Fatalf("save: %v", err)
	}
	return dir
}

// contents is the files below dir by their paths.
func contents(t *testing.T, dir string) map[string]string {
	t.Helper()
	files := map[string]string{}
	err := filepath.WalkDir(dir, func(path string, d os.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		b, err := os.ReadFile(path)
		files[path[len(dir):]] = string(b)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return files
}

func sameBytes(t *testing.T, a algo.Algorithm, c Case) {
	want := contents(t, save(t, train(t, a, c, 1)))
	if len(want) == 0 {
		t.Fatal("the model saved no file")
	}
	for _, threads := range []int{2, 2} {
		if !maps.Equal(want, contents(t, save(t, train(t, a, c, threads)))) {
			t.Errorf("another model with %d threads", threads)
		}
	}
}

func saveLoad(t *testing.T, a algo.Algorithm, c Case) {
	model := train(t, a, c, 2)
	want := predict(t, model, c)
	dir := save(t, model)
	loaded, err := a.Load(os.DirFS(dir))
	if err != nil {
		t.Fatalf("load: %v", err)
	}
	got := predict(t, loaded, c)
	if got.Width != want.Width || len(got.Values) != len(want.Values) {
		t.Fatalf("loaded model predicts %d values of width %d, want %d of %d", len(got.Values), got.Width, len(want.Values), want.Width)
	}
	for i := range want.Values {
		if math.Float32bits(got.Values[i]) != math.Float32bits(want.Values[i]) {
			t.Fatalf("value %d is %v after loading, want %v", i, got.Values[i], want.Values[i])
		}
	}
	if !maps.Equal(contents(t, dir), contents(t, save(t, loaded))) {
		t.Error("a loaded model saves other bytes")
	}
}

func predict(t *testing.T, m algo.Model, c Case) algo.Prediction {
	t.Helper()
	if c.Body.Text != "" {
		return respond(t, m, c.Body)
	}
	p, err := m.Predict(t.Context(), c.Rows)
	if err != nil {
		t.Fatalf("predict: %v", err)
	}
	if p.Width < 1 || len(p.Values) != c.Rows.Rows*p.Width {
		t.Fatalf("%d values of width %d for %d rows", len(p.Values), p.Width, c.Rows.Rows)
	}
	return p
}

var numbers = regexp.MustCompile(`[-+]?\d+\.?\d*(?:[eE][-+]?\d+)?`)

func respond(t *testing.T, m algo.Model, body Body) algo.Prediction {
	t.Helper()
	r, ok := m.(algo.Responder)
	if !ok {
		t.Fatalf("%T is no Responder", m)
	}
	b, err := r.Respond(t.Context(), nil, algo.Answer{Accept: "application/json"}, body.ContentType, []byte(body.Text))
	if err != nil {
		t.Fatalf("respond: %v", err)
	}
	p := algo.Prediction{Width: 1}
	for _, text := range numbers.FindAllString(string(b), -1) {
		v, err := strconv.ParseFloat(text, 32)
		if err != nil {
			t.Fatalf("%s in %s: %v", text, b, err)
		}
		p.Values = append(p.Values, float32(v))
	}
	if len(p.Values) == 0 {
		t.Fatalf("the answer holds no number: %s", b)
	}
	return p
}

// cancelled cancels before training, and after the first printed line.
func cancelled(t *testing.T, a algo.Algorithm, c Case) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	ends(ctx, t, a, c, input(t, a, c.Params, c.Channels, 2))
	if c.Long == nil {
		return
	}
	params := maps.Clone(c.Params)
	maps.Copy(params, c.Long)
	in := input(t, a, params, c.Channels, 2)
	ctx, cancel = context.WithCancel(t.Context())
	defer cancel()
	in.Print = func(string, ...any) { cancel() }
	ends(ctx, t, a, c, in)
	if ctx.Err() == nil {
		t.Error("training ended without a printed line")
	}
}

// ends trains and checks that it ends with a model that works, or with ctx's
// own error.
func ends(ctx context.Context, t *testing.T, a algo.Algorithm, c Case, in algo.Input) {
	t.Helper()
	type outcome struct {
		model algo.Model
		err   error
	}
	done := make(chan outcome, 1)
	go func() {
		model, err := a.Train(ctx, in)
		done <- outcome{model, err}
	}()
	select {
	case got := <-done:
		switch {
		case got.err == nil && got.model == nil:
			t.Error("neither a model nor an error")
		case got.err == nil:
			predict(t, got.model, c)
			save(t, got.model)
		case !errors.Is(got.err, context.Canceled):
			t.Errorf("error %v, want context canceled", got.err)
		}
	case <-time.After(patience):
		t.Fatalf("training still runs %v after it was cancelled", patience)
	}
}

// garbage trains on files that hold no data of their type.
func garbage(t *testing.T, a algo.Algorithm, c Case) {
	for name, ch := range c.Channels {
		for what, files := range map[string]map[string]string{
			"text":                   {"x": "id,name\n1,alice\n"},
			"bytes":                  {"x": "\x00\xff\xfe\x00garbage\x00"},
			"ragged":                 {"x": "1,2,3\n1,2\n1:1:1 x\n"},
			"a label that is no one": {"x": "nan,1,2\nnan 0:1\n"},
			"an empty file":          {"x": ""},
			"no file":                {},
		} {
			t.Run(name+" holds "+what, func(t *testing.T) {
				channels := maps.Clone(c.Channels)
				channels[name] = Channel{ch.ContentType, files, ch.Distribution}
				_, err := a.Train(t.Context(), input(t, a, c.Params, channels, 2))
				if err == nil {
					t.Fatal("trained on garbage")
				}
				if !algo.IsClientError(err) {
					t.Errorf("error %q is not a client error", err)
				}
			})
		}
	}
}
