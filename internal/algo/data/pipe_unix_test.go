// SPDX-License-Identifier: Apache-2.0

//go:build unix

package data

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/sagebrush-ml/sagebrush/internal/algo"
	"github.com/sagebrush-ml/sagebrush/internal/recordio"
)

func TestPipeMode(t *testing.T) {
	var wrapped bytes.Buffer
	w := recordio.NewWriter(&wrapped)
	for _, object := range []string{"1,2\n0,3", "1,4\n"} { // no line end between them
		if err := w.Write([]byte(object)); err != nil {
			t.Fatal(err)
		}
	}
	for _, c := range []struct {
		name, contentType string
		wrapped           bool
		data              string
		labels            []float32
		err               string
	}{
		{"CSV", "text/csv", false, strings.Repeat("1,2\n0,3\n", 50_000), slices.Repeat([]float32{1, 0}, 50_000), ""},
		{"CSV in records", "text/csv", true, wrapped.String(), []float32{1, 0, 1}, ""},
		{"records", "application/x-recordio-protobuf", false, written(t, row(7, 1), row(8, 2)), []float32{7, 8}, ""},
		{"records that are said to be wrapped", "application/x-recordio-protobuf", true, written(t, row(7, 1)), []float32{7}, ""},
		{"nothing", "text/csv", false, "", nil, "train channel: 1 file, but no rows"},
		{"wrong data", "text/csv", false, "1,2\n1,x\n", nil, `train channel: file train_0, line 2: column 2: "x" is not a number`},
		{"wrong data in records", "text/csv", true, written(t, row(1, 2)), nil, "train channel: file train_0, record 1: is no text, which was expected by the ContentType text/csv"},
		{"what is not wrapped", "text/csv", true, "1,2\n", nil, "train channel: file train_0, record 1: "},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), "train")
			if err := syscall.Mkfifo(dir+"_0", 0o600); err != nil {
				t.Fatal(err)
			}
			written := make(chan error, 1)
			go func() { written <- os.WriteFile(dir+"_0", []byte(c.data), 0) }()
			m, err := Load(&algo.Channel{Name: "train", Dir: dir, Pipe: true, Wrapped: c.wrapped, ContentType: c.contentType}, Options{})
			if err := <-written; err != nil {
				t.Fatal(err)
			}
			if c.err != "" {
				if err == nil || !strings.HasPrefix(err.Error(), c.err) {
					t.Errorf("error %v, want %q", err, c.err)
				}
			} else if err != nil || !slices.Equal(m.Label, c.labels) {
				t.Errorf("%d labels, error %v", len(m.Label), err)
			}
		})
	}
}

func TestLibSVMIsNotReadFromAPipe(t *testing.T) {
	_, err := Load(&algo.Channel{Name: "train", Dir: "/none/train", Pipe: true}, Options{})
	if !algo.IsClientError(err) || !strings.Contains(err.Error(), "libsvm cannot be read in Pipe mode") {
		t.Errorf("error %v", err)
	}
}

func TestNoRowsCanBeToldFromWrongData(t *testing.T) {
	for _, c := range []struct {
		files map[string]string
		empty bool
	}{{nil, true}, {map[string]string{"a": "\n"}, true}, {map[string]string{"a": "x"}, false}} {
		if _, err := Load(channel(t, "text/csv", c.files), Options{}); errors.Is(err, ErrNoRows) != c.empty || !algo.IsClientError(err) {
			t.Errorf("%v: %v", c.files, err)
		}
	}
}
