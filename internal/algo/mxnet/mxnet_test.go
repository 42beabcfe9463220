// SPDX-License-Identifier: Apache-2.0

package mxnet

import (
	"encoding/json"
	"os"
	"reflect"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/sagebrush-ml/sagebrush/internal/algo"
)

func TestSaveLoad(t *testing.T) {
	dir := t.TempDir()
	files := []File{{"meta.json", []byte("{}")}, {"params", []byte("numbers")}}
	if err := Save(dir, files...); err != nil {
		t.Fatal(err)
	}
	got, err := Load(os.DirFS(dir))
	if err != nil || !reflect.DeepEqual(got, files) {
		t.Errorf("%v %v", got, err)
	}
	for name, folder := range map[string]fstest.MapFS{
		"holds no file model_algo-1": {}, "is not a zip file": {FileName: {Data: []byte("text")}},
	} {
		if _, err := Load(folder); err == nil || !algo.IsClientError(err) || !strings.Contains(err.Error(), name) {
			t.Errorf("error %v, want a client error with %q", err, name)
		}
	}
}

func TestSymbol(t *testing.T) {
	var got struct {
		Nodes []struct {
			Op, Name string
			Inputs   [][3]int
		}
		ArgNodes []int    `json:"arg_nodes"`
		Heads    [][3]int `json:"heads"`
	}
	b := Symbol(Node{Name: "data"}, Node{Name: "w"}, Node{Op: "dot", Name: "score", Inputs: []string{"data", "w"}})
	if err := json.Unmarshal(b, &got); err != nil {
		t.Fatal(err)
	}
	if len(got.Nodes) != 3 || got.Nodes[0].Op != "null" || !reflect.DeepEqual(got.Nodes[2].Inputs, [][3]int{{0, 0, 0}, {1, 0, 0}}) ||
		!reflect.DeepEqual(got.ArgNodes, []int{0, 1}) || !reflect.DeepEqual(got.Heads, [][3]int{{2, 0, 0}}) {
		t.Errorf("%s", b)
	}
}

func FuzzUnzip(f *testing.F) {
	dir := f.TempDir()
	if err := Save(dir, File{"params", []byte("numbers")}); err != nil {
		f.Fatal(err)
	}
	b, err := os.ReadFile(dir + "/" + FileName)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(b)
	f.Add([]byte("PK\x03\x04"))
	f.Fuzz(func(t *testing.T, b []byte) {
		if len(b) < 1<<16 {
			_, _ = Unzip(b)
		}
	})
}
