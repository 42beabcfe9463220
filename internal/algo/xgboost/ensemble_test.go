// SPDX-License-Identifier: Apache-2.0

package xgboost

import (
	"os"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/sagebrush-ml/sagebrush/internal/algo"
)

func TestModelsOfAFolderPredictTogether(t *testing.T) {
	var models [3]*Model
	files := fstest.MapFS{"notes.txt": {Data: []byte("no model")}}
	m := mixed(120, 4, "binary:logistic")
	var want []float32
	for i := range models {
		c := plainConfig("binary:logistic", 2+i)
		model, err := boost(t.Context(), c, nil, m, nil, 1, silent)
		if err != nil {
			t.Fatal(err)
		}
		ubj, _ := written(t, model)
		models[i] = model
		files[FileName+"-"+string(rune('0'+i))] = &fstest.MapFile{Data: ubj}
		p, err := model.Predict(t.Context(), m)
		if err != nil {
			t.Fatal(err)
		}
		if want == nil {
			want = p.Values
			continue
		}
		for j, v := range p.Values {
			want[j] += v
		}
	}
	for j := range want {
		want[j] /= 3
	}
	for name, c := range map[string]struct {
		env  string
		want []float32
	}{"together": {"true", want}, "the first": {"false", nil}} {
		t.Run(name, func(t *testing.T) {
			t.Setenv(ensembleVar, c.env)
			got, err := New().Load(files)
			if err != nil {
				t.Fatal(err)
			}
			if _, one := got.(*Model); one != (c.want == nil) {
				t.Fatalf("a %T was loaded", got)
			}
			if c.want == nil {
				return
			}
			dir := t.TempDir()
			if err := got.Save(dir); err != nil {
				t.Fatal(err)
			}
			again, err := New().Load(os.DirFS(dir))
			if err != nil {
				t.Fatal(err)
			}
			for _, model := range []algo.Model{got, again, got.(algo.Compacter).Compact()} {
				p, err := model.Predict(t.Context(), m)
				if err != nil {
					t.Fatal(err)
				}
				if !slices.Equal(p.Values, c.want) || p.Width != 1 {
					t.Error("predictions are not the mean")
				}
			}
		})
	}
	files[FileName+"-1"] = &fstest.MapFile{Data: []byte("{")}
	if _, err := New().Load(files); err == nil || !strings.Contains(err.Error(), FileName+"-1: ") {
		t.Errorf("a broken model of the folder: error is %v", err)
	}
	other, err := boost(t.Context(), plainConfig("binary:logistic", 1), nil, mixed(50, 3, "binary:logistic"), nil, 1, silent)
	if err != nil {
		t.Fatal(err)
	}
	ubj, _ := written(t, other)
	files[FileName+"-1"] = &fstest.MapFile{Data: ubj}
	if _, err := New().Load(files); !algo.IsClientError(err) {
		t.Errorf("models that do not go together: error is %v", err)
	}
}

func TestVote(t *testing.T) {
	got := vote([][]float32{{1, 2, 0, 3}, {1, 0, 1, 2}, {0, 2, 2, 1}})
	if want := []float32{1, 2, 0, 1}; !slices.Equal(got, want) {
		t.Errorf("%v, want %v", got, want)
	}
}
