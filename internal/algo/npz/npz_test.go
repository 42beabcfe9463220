// SPDX-License-Identifier: Apache-2.0

package npz

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"testing"
)

func sample(t *testing.T) []byte {
	t.Helper()
	var b bytes.Buffer
	w := NewWriter(&b)
	Write(w, "a", []float32{1, 2, 3, 4, 5, 6}, 2, 3)
	Write(w, "b", []int32{7, -8}, 2)
	Write(w, "c", []float64{}, 0, 4)
	Write(w, "long", make([]int64, 20000), 20000)
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func TestWrittenIsRead(t *testing.T) {
	text := sample(t)
	if !bytes.Equal(text, sample(t)) {
		t.Error("the same arrays give other bytes")
	}
	a, err := Open(text)
	if err != nil {
		t.Fatal(err)
	}
	if v, shape, err := Read[float32](a, "a"); err != nil || !slices.Equal(v, []float32{1, 2, 3, 4, 5, 6}) || !slices.Equal(shape, []int{2, 3}) {
		t.Errorf("a: %v %v %v", v, shape, err)
	}
	if v, shape, err := Read[int32](a, "b"); err != nil || !slices.Equal(v, []int32{7, -8}) || !slices.Equal(shape, []int{2}) {
		t.Errorf("b: %v %v %v", v, shape, err)
	}
	if v, shape, err := Read[float64](a, "c"); err != nil || len(v) != 0 || !slices.Equal(shape, []int{0, 4}) {
		t.Errorf("c: %v %v %v", v, shape, err)
	}
	if v, _, err := Read[int64](a, "long"); err != nil || len(v) != 20000 {
		t.Errorf("long: %d %v", len(v), err)
	}
	for name, read := range map[string]func() error{
		"no array":     func() error { _, _, err := Read[int32](a, "nope"); return err },
		"another type": func() error { _, _, err := Read[int32](a, "a"); return err },
	} {
		if read() == nil {
			t.Errorf("%s is read", name)
		}
	}
}

func TestNumPyReadsIt(t *testing.T) {
	python, err := filepath.Abs("../../../.venv/boto3/bin/python")
	if _, statErr := os.Stat(python); err != nil || statErr != nil {
		t.Skip("there is no .venv/boto3: make venv")
	}
	path := filepath.Join(t.TempDir(), "x.npz")
	if err := os.WriteFile(path, sample(t), 0o644); err != nil {
		t.Fatal(err)
	}
	out, err := exec.Command(python, "-c", `import sys, numpy
z = numpy.load(sys.argv[1])
print(z["a"].tolist(), z["b"].tolist(), z["c"].shape, z["long"].sum())`, path).CombinedOutput()
	if want := "[[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]] [7, -8] (0, 4) 0\n"; err != nil || string(out) != want {
		t.Errorf("%v: %s, want %s", err, out, want)
	}
}

func FuzzRead(f *testing.F) {
	var b bytes.Buffer
	w := NewWriter(&b)
	Write(w, "a", []float32{1, 2}, 1, 2)
	_ = w.Close()
	f.Add(b.Bytes())
	f.Fuzz(func(t *testing.T, b []byte) {
		a, err := Open(b)
		if err != nil {
			return
		}
		for name := range a.files {
			if v, _, err := Read[float32](a, name); err == nil && 4*len(v) > len(a.files[name]) {
				t.Errorf("%d values of %d bytes", len(v), len(a.files[name]))
			}
		}
	})
}
