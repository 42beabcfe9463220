// SPDX-License-Identifier: Apache-2.0

package algotest

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/sagebrush-ml/sagebrush/internal/algo"
)

// Input is what a job with these files in its channels gives to Train, for two
// threads.
func Input(t *testing.T, a algo.Algorithm, params map[string]string, channels map[string]Channel) algo.Input {
	t.Helper()
	return input(t, a, params, channels, 2)
}

// Train trains a and gives the model, nil beside an error, and the lines that it
// printed.
func Train[M algo.Model](t *testing.T, a algo.Algorithm, params map[string]string, channels map[string]Channel) (m M, log string, err error) {
	t.Helper()
	in := input(t, a, params, channels, 2)
	var mu sync.Mutex
	var b strings.Builder
	in.Print = func(format string, args ...any) {
		mu.Lock()
		defer mu.Unlock()
		fmt.Fprintf(&b, format+"\n", args...)
	}
	model, err := a.Train(t.Context(), in)
	m, _ = model.(M)
	return m, b.String(), err
}

// Job is a training job of a by the frame, from /opt/ml: params is the text of
// hyperparameters.json. It gives the log and the model that was saved, or what
// FailureReason would be and no model.
func Job[M algo.Model](t *testing.T, a algo.Algorithm, params string, channels map[string]Channel) (told string, m M) {
	t.Helper()
	root := t.TempDir()
	files := map[string]string{"input/config/hyperparameters.json": params}
	var config []string
	for name, c := range channels {
		distribution := "FullyReplicated"
		if c.Distribution == Sharded {
			distribution = "ShardedByS3Key"
		}
		config = append(config, fmt.Sprintf(`%q:{"TrainingInputMode":"File","S3DistributionType":%q,"ContentType":%q}`, name, distribution, c.ContentType))
		for file, content := range c.Files {
			files["input/data/"+name+"/"+file] = content
		}
	}
	files["input/config/inputdataconfig.json"] = "{" + strings.Join(config, ",") + "}"
	for name, content := range files {
		path := filepath.Join(root, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	var log bytes.Buffer
	if algo.RunTrain(t.Context(), a, root, &log) != 0 {
		failure, err := os.ReadFile(filepath.Join(root, "output/failure"))
		if err != nil {
			t.Fatal(err)
		}
		return string(failure), m
	}
	model, err := a.Load(os.DirFS(filepath.Join(root, "model")))
	if err != nil {
		t.Fatal(err)
	}
	return log.String(), model.(M)
}

// CSVText is the rows of m as CSV, without labels.
func CSVText(m *algo.Matrix) string {
	var b strings.Builder
	for i := range m.Rows {
		for j, v := range m.Row(i, nil) {
			if j > 0 {
				b.WriteByte(',')
			}
			fmt.Fprintf(&b, "%g", v)
		}
		b.WriteByte('\n')
	}
	return b.String()
}

// Unlabelled is a channel of one CSV file without labels.
func Unlabelled(text string) Channel {
	return Channel{ContentType: "text/csv;label_size=0", Files: map[string]string{"a.csv": text}}
}
