// SPDX-License-Identifier: Apache-2.0

package xgboost

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/sagebrush-ml/sagebrush/internal/algo"
	"github.com/sagebrush-ml/sagebrush/internal/algo/spill"
)

// TestWhereArraysLieChangesNothing trains with matrix and bins in memory, and in
// files, in each layout of the bins.
func TestWhereArraysLieChangesNothing(t *testing.T) {
	for name, m := range map[string]*algo.Matrix{
		"dense": higgsLike(2_000), "sparse": thin(t, 4_000, 60, 0.1), "very sparse": thin(t, 4_000, 300, 0.02), "compressed": thin(t, 3_000, 20, 0.5),
	} {
		for _, maxBin := range []int{256, 700} {
			var want []byte
			for _, room := range []int64{1 << 30, 0} {
				c := plainConfig("binary:logistic", 2)
				c.maxBin, c.maxDepth = maxBin, 4
				c.memory = spill.Of(room)
				got, err := boost(t.Context(), c, nil, into(t, c.memory, m), nil, 2, silent)
				spilled := c.memory.Spilled()
				c.memory.Close()
				if err != nil {
					t.Fatal(err)
				}
				if spilled != (room < 1<<30) {
					t.Errorf("%s, room for %d bytes: spilled is %v", name, room, spilled)
				}
				dir := t.TempDir()
				if err := got.Save(dir); err != nil {
					t.Fatal(err)
				}
				b := modelFile(t, dir)
				if want == nil {
					want = b
				} else if !bytes.Equal(want, b) {
					t.Errorf("%s, %d bins: room for %d bytes changes the model", name, maxBin, room)
				}
			}
		}
	}
}

// into copies m into memory.
func into(t *testing.T, memory *spill.Space, m *algo.Matrix) *algo.Matrix {
	t.Helper()
	c := *m
	var err error
	if c.Values, err = spill.Make[float32](memory, len(m.Values)); err != nil {
		t.Fatal(err)
	}
	copy(c.Values, m.Values)
	if m.Sparse() {
		if c.Index, err = spill.Make[int32](memory, len(m.Index)); err != nil {
			t.Fatal(err)
		}
		copy(c.Index, m.Index)
	}
	return &c
}

// thin is a sparse matrix of which a share is stored.
func thin(t *testing.T, rows, cols int, share float64) *algo.Matrix {
	t.Helper()
	rng := rand.New(rand.NewPCG(7, uint64(cols)))
	m := &algo.Matrix{Rows: rows, Cols: cols, Start: []int64{0}}
	for range rows {
		sum := rng.NormFloat64()
		for f := range cols {
			if rng.Float64() < share {
				v := rng.NormFloat64()
				sum += v * float64(f%3)
				m.Index, m.Values = append(m.Index, int32(f)), append(m.Values, float32(v))
			}
		}
		label := float32(0)
		if sum > 0 {
			label = 1
		}
		m.Label = append(m.Label, label)
		m.Start = append(m.Start, int64(len(m.Index)))
	}
	return m
}

// modelFile is the content of the one file in dir.
func modelFile(t *testing.T, dir string) []byte {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil || len(entries) != 1 {
		t.Fatalf("%d files, %v", len(entries), err)
	}
	b, err := os.ReadFile(filepath.Join(dir, entries[0].Name()))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// TestDataLargerThanMemory trains on a table of 15 MiB, whose text has 20 MB, in
// a process that is to have 4 MiB: its matrix and bins lie in files then, and
// the model is that of a process which may have all. Beyond what a hundred rows
// take it then takes little but the pages of the bins' file, which the system
// may take away; without the limit it takes matrix and bins.
func TestDataLargerThanMemory(t *testing.T) {
	if testing.Short() {
		t.Skip("reads 20 MB twice")
	}
	const cols, limit = 100, "4194304"
	rows := 40_000
	if raced {
		rows = 24_000
	}
	line := 2 + 5*cols
	text := make([]byte, 0, rows*line)
	rng := rand.New(rand.NewPCG(8, 8))
	for range rows {
		text = append(text, '0'+byte(rng.IntN(2)))
		for range cols {
			n := rng.Uint32()
			text = append(text, ',', '.', '0'+byte(n%10), '0'+byte(n>>8%10), '0'+byte(n>>16%10))
		}
		text = append(text, '\n')
	}
	run := func(rows int, limit string) (model []byte, peak int64) {
		root := t.TempDir()
		for name, content := range map[string][]byte{
			"config/hyperparameters.json": []byte(`{"num_round":"3","max_depth":"4","objective":"binary:logistic"}`),
			"config/inputdataconfig.json": []byte(`{"train":{"TrainingInputMode":"File","ContentType":"text/csv"}}`),
			"config/resourceconfig.json":  []byte(`{"current_host":"algo-1","hosts":["algo-1"]}`),
			"data/train/a.csv":            text[:rows*line],
		} {
			path := filepath.Join(root, "input", name)
			if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(path, content, 0o644); err != nil {
				t.Fatal(err)
			}
		}
		cmd := exec.CommandContext(t.Context(), os.Args[0])
		cmd.Env = append(os.Environ(), rootVar+"="+root, spill.Var+"="+limit, "TMPDIR="+t.TempDir())
		out, err := cmd.CombinedOutput()
		if err != nil {
			t.Fatalf("%v:\n%s", err, out)
		}
		_, rest, _ := strings.Cut(string(out), "VmHWM:")
		if _, err := fmt.Sscanf(rest, "%d kB", &peak); err != nil {
			t.Fatalf("%v: no peak in\n%s", err, out)
		}
		return modelFile(t, filepath.Join(root, "model")), peak << 10
	}
	_, itself := run(100, limit)
	want, roomy := run(rows, "")
	// On a busy machine garbage is collected late, so a peak may be too high, but
	// not each time.
	for try := 1; ; try++ {
		got, tight := run(rows, limit)
		t.Logf("peak: %d MiB with a hundred rows, %d MiB with all, %d MiB with all and 4 MiB", itself>>20, roomy>>20, tight>>20)
		if !bytes.Equal(want, got) {
			t.Fatal("the models differ")
		}
		if tight-itself <= (roomy-itself)*6/10 {
			break
		}
		if try == 4 {
			t.Fatalf("with little memory, all rows take %d MiB, and %d MiB with much", (tight-itself)>>20, (roomy-itself)>>20)
		}
	}
}
