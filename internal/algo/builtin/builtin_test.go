// SPDX-License-Identifier: Apache-2.0

package builtin

import (
	"bytes"
	"errors"
	"fmt"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/sagebrush-ml/sagebrush/internal/algo"
	"github.com/sagebrush-ml/sagebrush/internal/algo/serve"
)

func TestNamesAreLookedUp(t *testing.T) {
	if len(Names()) == 0 || !slices.IsSorted(Names()) {
		t.Errorf("names %q", Names())
	}
	for _, name := range Names() {
		a, ok := Lookup(name)
		if !ok || a.Spec().Name != name {
			t.Errorf("%s is not found under its name", name)
		}
	}
	if _, ok := Lookup("nope"); ok {
		t.Error("nope is found")
	}
	for name, repo := range repositories {
		if _, ok := Lookup(repo.algorithm); !ok || !slices.Contains(firstParty, name) {
			t.Errorf("repository %s is of no algorithm", name)
		}
	}
}

func TestImage(t *testing.T) {
	const east, west = "683313688378.dkr.ecr.us-east-1.amazonaws.com/", "246618743249.dkr.ecr.us-west-2.amazonaws.com/"
	for _, c := range []struct {
		name, uri string
		want      Ref
		ok        bool
		err       string
		known     string
	}{
		{"a current tag", east + "sagemaker-xgboost:1.7-1", Ref{"xgboost", "1.7-1"}, true, "", "sagemaker-xgboost"},
		{"a tag with its suffix", west + "sagemaker-xgboost:1.0-1-cpu-py3", Ref{"xgboost", "1.0-1"}, true, "", "sagemaker-xgboost"},
		{"the newest", west + "sagemaker-xgboost:3.2-0", Ref{"xgboost", "3.2-0"}, true, "", "sagemaker-xgboost"},
		{"the first generation", "811284229777.dkr.ecr.us-east-1.amazonaws.com/xgboost:1", Ref{"xgboost", "1"}, true, "", "xgboost"},
		{"its latest", "811284229777.dkr.ecr.us-east-1.amazonaws.com/xgboost:latest", Ref{"xgboost", "1"}, true, "", "xgboost"},
		{"any account and a region in China", "000000000000.dkr.ecr.cn-north-1.amazonaws.com.cn/sagemaker-xgboost:1.5-1", Ref{"xgboost", "1.5-1"}, true, "", "sagemaker-xgboost"},
		{"an unknown tag", east + "sagemaker-xgboost:9.9-9", Ref{}, false, `image sagemaker-xgboost has the unknown tag "9.9-9"; known tags are ` +
			"0.90-1-cpu-py3, 0.90-2-cpu-py3, 1.0-1-cpu-py3, 1.2-1, 1.2-2, 1.3-1, 1.5-1, 1.7-1, 3.0-5, 3.2-0", "sagemaker-xgboost"},
		{"no tag", east + "xgboost", Ref{}, false, "image xgboost has no tag; known tags are 1, latest", "xgboost"},
		{"one that is not built", "825641698319.dkr.ecr.us-east-1.amazonaws.com/semantic-segmentation:1", Ref{}, false, "", "semantic-segmentation"},
		{"the user's own repository", "123456789012.dkr.ecr.us-east-1.amazonaws.com/my/xgboost:1", Ref{}, false, "", ""},
		{"another registry", "docker.io/library/xgboost:1", Ref{}, false, "", ""},
		{"a digest", east + "sagemaker-xgboost@sha256:" + strings.Repeat("0", 64), Ref{}, false, "", ""},
		{"nothing", "", Ref{}, false, "", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			if ref, ok := Image(c.uri); ref != c.want || ok != c.ok {
				t.Errorf("Image gives %v %v", ref, ok)
			}
			_, err := Resolve(c.uri)
			_, unknown := errors.AsType[*UnknownTagError](err)
			if c.err == "" && err != nil || c.err != "" && (!unknown || err.Error() != c.err) {
				t.Errorf("Resolve: error %v, want %q", err, c.err)
			}
			if name, ok := Known(c.uri); name != c.known || ok != (c.known != "") {
				t.Errorf("Known gives %q %v", name, ok)
			}
		})
	}
}

// TestXGBoostFromFolderToAnswer is the life of a built-in algorithm: /opt/ml
// in, model out, answers.
func TestXGBoostFromFolderToAnswer(t *testing.T) {
	root := t.TempDir()
	var rows strings.Builder
	for i := range 200 {
		fmt.Fprintf(&rows, "%d,%d,%d\n", i%2, i%2*10+i%3, i%5)
	}
	for name, text := range map[string]string{
		"input/config/hyperparameters.json": `{"num_round":"10","objective":"binary:logistic","max_depth":"2"}`,
		"input/config/inputdataconfig.json": `{"train":{"TrainingInputMode":"File","ContentType":"text/csv"}}`,
		"input/data/train/train.csv":        rows.String(),
	} {
		path := filepath.Join(root, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	a, _ := Lookup("xgboost")
	var log bytes.Buffer
	if code := algo.RunTrain(t.Context(), a, root, &log); code != 0 {
		t.Fatalf("exit code %d:\n%s", code, &log)
	}
	model, err := a.Load(os.DirFS(filepath.Join(root, "model")))
	if err != nil {
		t.Fatal(err)
	}
	h, err := serve.Handler(model, serve.Options{Getenv: func(string) string { return "" }})
	if err != nil {
		t.Fatal(err)
	}
	ask := func(body string) (int, string) {
		r := httptest.NewRequest("POST", "/invocations", strings.NewReader(body))
		r.Header.Set("Content-Type", "text/csv")
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		return w.Code, w.Body.String()
	}
	code, body := ask("10,1\n1,1\n")
	var high, low float64
	if _, err := fmt.Sscanf(body, "%g,%g", &high, &low); code != 200 || err != nil || high < 0.9 || low > 0.1 {
		t.Errorf("%d %q", code, body)
	}
	if code, body := ask("10,1,3\n"); code != 400 || !strings.Contains(body, "Feature size of csv inference data 3") {
		t.Errorf("%d %q", code, body)
	}
}
