// SPDX-License-Identifier: Apache-2.0

package xgboost

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/sagebrush-ml/sagebrush/internal/algo"
	"github.com/sagebrush-ml/sagebrush/internal/recordio"
)

// recordText is m as a training file of RecordIO-protobuf.
func recordText(t *testing.T, m *algo.Matrix) string {
	t.Helper()
	var b bytes.Buffer
	w := recordio.NewWriter(&b)
	vector := func(v ...float32) recordio.Values {
		return recordio.Values{{Name: recordio.Vector, Value: recordio.Value{Kind: recordio.Float32, Float32: v}}}
	}
	for r := range m.Rows {
		rec := recordio.Record{Features: vector(m.Values[r*m.Cols : (r+1)*m.Cols]...), Label: vector(m.Label[r])}
		if err := w.Write(rec.Append(nil)); err != nil {
			t.Fatal(err)
		}
	}
	return b.String()
}

// However the rows arrive, the model is the same.
func TestModesAndFormatsGiveOneModel(t *testing.T) {
	m := mixed(500, 5, "binary:logistic")
	var first []byte
	for _, c := range []struct{ name, mode, contentType, data string }{
		{"CSV in File mode", "File", "text/csv", csvText(m)},
		{"CSV in Pipe mode", "Pipe", "text/csv", csvText(m)},
		{"records in File mode", "File", "application/x-recordio-protobuf", recordText(t, m)},
		{"records in Pipe mode", "Pipe", "application/x-recordio-protobuf", recordText(t, m)},
	} {
		t.Run(c.name, func(t *testing.T) {
			root := t.TempDir()
			channels, err := json.Marshal(map[string]any{"train": map[string]string{"TrainingInputMode": c.mode, "ContentType": c.contentType}})
			if err != nil {
				t.Fatal(err)
			}
			for name, text := range map[string]string{
				"input/config/hyperparameters.json":  `{"num_round":"3","objective":"binary:logistic"}`,
				"input/config/inputdataconfig.json":  string(channels),
				"input/data/" + c.mode + "/unread.x": "", // makes the folder
			} {
				path := filepath.Join(root, name)
				if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
					t.Fatal(err)
				}
				if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			fed := make(chan error, 1)
			if c.mode == "Pipe" {
				fifo := filepath.Join(root, "input/data/train_0")
				if err := syscall.Mkfifo(fifo, 0o600); err != nil {
					t.Fatal(err)
				}
				go func() { fed <- os.WriteFile(fifo, []byte(c.data), 0) }()
			} else {
				dir := filepath.Join(root, "input/data/train")
				if err := os.Mkdir(dir, 0o755); err != nil {
					t.Fatal(err)
				}
				fed <- os.WriteFile(filepath.Join(dir, "rows"), []byte(c.data), 0o644)
			}
			var log bytes.Buffer
			if code := algo.RunTrain(t.Context(), New(), root, &log); code != 0 {
				t.Fatalf("exit code %d; log:\n%s", code, &log)
			}
			if err := <-fed; err != nil {
				t.Fatal(err)
			}
			model, err := os.ReadFile(filepath.Join(root, "model", FileName))
			if err != nil {
				t.Fatal(err)
			}
			if first == nil {
				first = model
			} else if !bytes.Equal(model, first) {
				t.Error("another model than from CSV files")
			}
		})
	}
}
