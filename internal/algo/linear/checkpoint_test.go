// SPDX-License-Identifier: Apache-2.0

package linear

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/sagebrush-ml/sagebrush/internal/algo"
	"github.com/sagebrush-ml/sagebrush/internal/algo/algotest"
	"github.com/sagebrush-ml/sagebrush/internal/algo/collective"
)

// attempt trains until the log says what, to the end when that is "".
func attempt(t *testing.T, in algo.Input, what string) (m *Model, log string, err error) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var b strings.Builder
	in.Print = func(format string, args ...any) {
		line := fmt.Sprintf(format, args...)
		b.WriteString(line + "\n")
		if what != "" && strings.Contains(line, what) {
			cancel()
		}
	}
	got, err := New().Train(ctx, in)
	m, _ = got.(*Model)
	return m, b.String(), err
}

func TestAnInterruptedJobGoesOnFromItsCheckpoint(t *testing.T) {
	rows := drawn(300, 4, zeroOrOne)
	params := map[string]string{"predictor_type": "binary_classifier", "mini_batch_size": "30", "epochs": "6", "num_models": "4", "early_stopping_patience": "99"}
	channels := map[string]algotest.Channel{"train": algotest.CSV(csvText(rows)), "validation": algotest.CSV(csvText(rows))}
	whole, _, err := attempt(t, algotest.Input(t, New(), params, channels), "")
	if err != nil {
		t.Fatal(err)
	}

	in := algotest.Input(t, New(), params, channels)
	in.Checkpoints = filepath.Join(t.TempDir(), "checkpoints")
	if _, _, err := attempt(t, in, "epoch=0, train"); err != nil && !errors.Is(err, context.Canceled) {
		t.Fatal(err)
	}
	m, log, err := attempt(t, in, "")
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(log, "Resuming after 1 epochs") || strings.Contains(log, "epoch=0,") || !strings.Contains(log, "epoch=1,") {
		t.Errorf("the second attempt did not go on: %s", log)
	}
	if !slices.Equal(m.weights, whole.weights) || !slices.Equal(m.bias, whole.bias) || m.threshold != whole.threshold {
		t.Error("the model of two attempts is another one than that of one")
	}
	// The last epoch's state is always kept: nothing is left to learn.
	again, log, err := attempt(t, in, "")
	if err != nil || strings.Contains(log, "epoch=") || !slices.Equal(again.weights, whole.weights) {
		t.Errorf("a third attempt: %v, %s", err, log)
	}

	// Of another job, or broken: training begins anew.
	path := filepath.Join(in.Checkpoints, checkpointName)
	kept, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for name, b := range map[string][]byte{"cut": kept[:len(kept)-1], "longer": append(slices.Clone(kept), 0), "text": []byte("none\n"), "other": []byte(strings.Replace(string(kept), `"job":"`, `"job":"0`, 1))} {
		if err := os.WriteFile(path, b, 0o644); err != nil {
			t.Fatal(err)
		}
		m, log, err := attempt(t, in, "")
		if err != nil || !strings.Contains(log, "Training begins anew") || !strings.Contains(log, "epoch=0,") || !slices.Equal(m.weights, whole.weights) {
			t.Errorf("%s: %v, %s", name, err, log)
		}
	}
	if left, _ := filepath.Glob(filepath.Join(in.Checkpoints, "*")); len(left) != 1 {
		t.Errorf("left beside the checkpoint: %v", left)
	}
}

func TestHostsGoOnFromTheFirstOnesCheckpoint(t *testing.T) {
	rows := drawn(200, 3, price)
	params := map[string]string{"predictor_type": "regressor", "mini_batch_size": "40", "epochs": "4", "num_models": "2"}
	channels := map[string]algotest.Channel{"train": algotest.CSV(csvText(rows))}
	dir := t.TempDir()
	run := func(what string) (models [2]*Model, log string) {
		errs := algotest.Together(t, 2, func(peers *collective.Group) error {
			in := algotest.Input(t, New(), params, channels) // each has all rows
			in.Hosts, in.Peers = []string{"algo-1", "algo-2"}, peers
			in.Host = in.Hosts[peers.Rank()]
			in.Checkpoints = filepath.Join(dir, in.Host)
			m, told, err := attempt(t, in, what)
			if models[peers.Rank()] = m; peers.Rank() == 0 {
				log = told
			}
			return err
		})
		if err := errors.Join(errs...); err != nil {
			t.Fatal(err)
		}
		return models, log
	}
	run("epoch=0, train")
	models, log := run("")
	if !strings.Contains(log, "Resuming after 1 epochs") || strings.Contains(log, "epoch=0,") {
		t.Errorf("the second attempt did not go on: %s", log)
	}
	if err := os.RemoveAll(dir); err != nil {
		t.Fatal(err)
	}
	whole, _ := run("")
	for rank, m := range models {
		if !slices.Equal(m.weights, whole[0].weights) {
			t.Errorf("host %d has another model than without an interruption", rank+1)
		}
	}
}
