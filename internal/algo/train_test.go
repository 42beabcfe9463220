// SPDX-License-Identifier: Apache-2.0

package algo_test

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/sagebrush-ml/sagebrush/internal/algo"
	"github.com/sagebrush-ml/sagebrush/internal/algo/algotest"
)

// optML lays out /opt/ml; files are by their path below it.
func optML(t *testing.T, files map[string]string) string {
	t.Helper()
	root := t.TempDir()
	for name, text := range files {
		path := filepath.Join(root, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return root
}

const (
	hyper = "input/config/hyperparameters.json"
	chans = "input/config/inputdataconfig.json"
	where = "input/config/resourceconfig.json"
	train = "input/data/train/a.csv"

	csvTrain = `{"train":{"TrainingInputMode":"File","S3DistributionType":"FullyReplicated","RecordWrapperType":"None","ContentType":"text/csv"}}`
)

func TestRunTrain(t *testing.T) {
	for _, c := range []struct {
		name    string
		files   map[string]string
		code    int
		failure string
		log     string // occurs in it
		model   string // mean.json
	}{
		{"a job trains and saves", map[string]string{hyper: `{"rounds":"2"}`, chans: csvTrain, train: "1,2\n0,3\n"},
			0, "", "[1]\ttrain-mean:0.5\n", `{"Mean":0.5,"Cols":1}`},
		{"values may be JSON numbers", map[string]string{hyper: `{"rounds":1,"factor":2}`, chans: csvTrain, train: "1,2\n0,3\n"},
			0, "", "[0]\ttrain-mean:1\n", `{"Mean":1,"Cols":1}`},
		{"the second host leaves the model to the first", map[string]string{hyper: `{"rounds":"1"}`, chans: csvTrain, train: "1,2\n",
			where: `{"current_host":"algo-2","hosts":["algo-1","algo-2"]}`}, 0, "", "saved by the first host", ""},
		{"bad parameters are a client error", map[string]string{hyper: `{"factor":"0"}`, chans: csvTrain},
			1, "ClientError: Missing required hyperparameter: rounds; Hyperparameter factor: 0 is not in (0, 10]", ":ERROR] ClientError: Missing", ""},
		{"an unknown channel and a missing one", map[string]string{hyper: `{"rounds":"1"}`, chans: `{"test":{}}`},
			1, "ClientError: Missing required channel: train; Extraneous channel found: test", "", ""},
		{"no channel configuration at all", map[string]string{hyper: `{"rounds":"1"}`},
			1, "ClientError: Missing required channel: train", "", ""},
		{"pipe mode", map[string]string{hyper: `{"rounds":"1"}`, chans: `{"train":{"TrainingInputMode":"Pipe"}}`},
			1, "ClientError: TrainingInputMode Pipe of the train channel is not built for mean: use File or FastFile", "", ""},
		{"an empty channel", map[string]string{hyper: `{"rounds":"1"}`, chans: csvTrain},
			1, "ClientError: train channel: no data files found: at least one was expected, of a name that does not begin with . or _", "", ""},
		{"text in the data", map[string]string{hyper: `{"rounds":"1"}`, chans: csvTrain, train: "1,2\n0,red\n"},
			1, `ClientError: train channel: file a.csv, line 2: column 2: "red" is not a number`, "", ""},
		{"shards on two hosts", map[string]string{hyper: `{"rounds":"1"}`, chans: `{"train":{"S3DistributionType":"ShardedByS3Key"}}`,
			where: `{"current_host":"algo-1","hosts":["algo-2","algo-1"]}`},
			1, "ClientError: Training over 2 hosts with ShardedByS3Key on the train channel is not built yet: use one instance or FullyReplicated", "", ""},
		{"a panic is an algorithm error with its stack in the log", map[string]string{hyper: `{"rounds":"1","mode":"panic"}`, chans: csvTrain},
			1, "AlgorithmError: mean failed: asked to", "goroutine ", ""},
		{"a broken configuration file", map[string]string{hyper: `{`},
			1, "AlgorithmError: read hyperparameters.json: unexpected end of JSON input", "", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			root := optML(t, c.files)
			var log bytes.Buffer
			if code := algo.RunTrain(t.Context(), algotest.Mean{}, root, &log); code != c.code {
				t.Errorf("exit code %d, want %d; log:\n%s", code, c.code, &log)
			}
			failure, _ := os.ReadFile(filepath.Join(root, "output", "failure"))
			if string(failure) != c.failure {
				t.Errorf("failure %q, want %q", failure, c.failure)
			}
			if !strings.Contains(log.String(), c.log) {
				t.Errorf("log lacks %q:\n%s", c.log, &log)
			}
			model, _ := os.ReadFile(filepath.Join(root, "model", "mean.json"))
			if string(model) != c.model {
				t.Errorf("model %s, want %s", model, c.model)
			}
		})
	}
}

// cancelOnLine cancels when the first line comes, and remembers the writes.
type cancelOnLine struct {
	cancel context.CancelFunc
	writes []string
}

func (w *cancelOnLine) Write(b []byte) (int, error) {
	w.writes = append(w.writes, string(b))
	w.cancel()
	return len(b), nil
}

func TestRunTrainSavesTheModelSoFarWhenStopped(t *testing.T) {
	root := optML(t, map[string]string{hyper: `{"rounds":"1000000000"}`, chans: csvTrain, train: "1,2\n"})
	ctx, cancel := context.WithCancel(t.Context())
	out := &cancelOnLine{cancel: cancel}
	if code := algo.RunTrain(ctx, algotest.Mean{}, root, out); code != 0 {
		t.Errorf("exit code %d", code)
	}
	if len(out.writes) != 1 || out.writes[0] != "[0]\ttrain-mean:1\n" {
		t.Errorf("writes %q, want the one line", out.writes)
	}
	if _, err := os.Stat(filepath.Join(root, "model", "mean.json")); err != nil {
		t.Error(err)
	}
}

func TestRunTrainStoppedBeforeItLearned(t *testing.T) {
	root := optML(t, map[string]string{hyper: `{"rounds":"1"}`, chans: csvTrain, train: "1,2\n"})
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if code := algo.RunTrain(ctx, algotest.Mean{}, root, new(bytes.Buffer)); code != 143 {
		t.Errorf("exit code %d, want 143", code)
	}
	if _, err := os.Stat(filepath.Join(root, "output", "failure")); err == nil {
		t.Error("a stop is written down as a failure")
	}
}

func TestLogger(t *testing.T) {
	var b bytes.Buffer
	algo.NewLogger(&b).With("a", 1).WithGroup("g").Warn("slow", "b", "x", "c", 2.5)
	if got := b.String(); !strings.HasSuffix(got, ":WARNING] slow a=1 g.b=x g.c=2.5\n") || got[0] != '[' {
		t.Errorf("log line %q", got)
	}
}
