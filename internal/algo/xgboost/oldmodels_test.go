// SPDX-License-Identifier: Apache-2.0

package xgboost

import (
	"archive/zip"
	"bytes"
	"encoding/json"
	"io"
	"path/filepath"
	"strings"
	"testing"

	"github.com/sagebrush-ml/sagebrush/internal/algo"
)

// oldModels is the content of testdata/models.zip, which
// testdata/make_models.py wrote under eight releases of XGBoost.
func oldModels(t testing.TB) map[string][]byte {
	t.Helper()
	z, err := zip.OpenReader("testdata/models.zip")
	if err != nil {
		t.Fatal(err)
	}
	defer z.Close()
	files := map[string][]byte{}
	for _, f := range z.File {
		r, err := f.Open()
		if err != nil {
			t.Fatal(err)
		}
		b, err := io.ReadAll(r)
		if err != nil {
			t.Fatal(err)
		}
		r.Close()
		files[f.Name] = b
	}
	return files
}

// Every form in which a release since 0.90 writes models is read, and predicts
// what that release did.
func TestModelsOfAllReleasesPredictTheSame(t *testing.T) {
	files := oldModels(t)
	var list []struct {
		File        string
		Predictions []float64
	}
	if err := json.Unmarshal(files["list.json"], &list); err != nil {
		t.Fatal(err)
	}
	var d referenceData
	readReference(t, "data.json", &d)
	dense := d.matrix("real", false)
	for _, f := range list {
		t.Run(f.File, func(t *testing.T) {
			m, err := ReadModel(files[f.File])
			if err != nil {
				t.Fatal(err)
			}
			for _, rows := range []*algo.Matrix{dense, sparse(dense)} {
				p, err := m.Predict(t.Context(), rows)
				if err != nil {
					t.Fatal(err)
				}
				near(t, "predictions", p.Values, f.Predictions, 1e-5)
			}
			if pickled := strings.HasPrefix(filepath.Ext(f.File), ".p"); m.pickled != pickled {
				t.Errorf("pickled is %v", m.pickled)
			}
			if rounds := m.NumRounds(); rounds != 3 && !strings.Contains(f.File, "gblinear") {
				// Before 1.6 the binary format does not tell of parallel trees.
				if !strings.Contains(f.File, "parallel.model") {
					t.Errorf("%d rounds", rounds)
				}
			}
		})
	}
}

// Attributes are those of the binary format too.
func TestAttributesOfOldModels(t *testing.T) {
	files := oldModels(t)
	for _, name := range []string{"v090-logistic.model", "v133-logistic.model", "v176-logistic.pkl"} {
		m, err := ReadModel(files[name])
		if err != nil {
			t.Fatal(err)
		}
		t.Log(name, m.attributes, m.features, m.base)
		if m.features != 6 || m.objective != "binary:logistic" {
			t.Errorf("%s: %d features, objective %s", name, m.features, m.objective)
		}
	}
}

func TestBrokenModelFiles(t *testing.T) {
	files := oldModels(t)
	for _, name := range []string{"v090-logistic.model", "v090-base.p2", "v090-base.bs64", "v102-softprob.pkl", "v320-logistic.pkl", "v305-base.ubj"} {
		b := files[name]
		for n := 0; n < len(b); n += 1 + len(b)/97 {
			if _, err := ReadModel(b[:n]); err != nil && !algo.IsClientError(err) {
				t.Fatalf("%s cut to %d bytes: %v", name, n, err)
			}
		}
	}
	for text, want := range map[string]string{
		"\x80\x04\x95\x08\x00\x00\x00\x00\x00\x00\x00}\x94.": "holds no xgboost Booster",
		"\x80\x03cos\nsystem\nX\x02\x00\x00\x00id\x85R.":     "holds no xgboost Booster",
		"\x80\x03\x80\x09.": "the protocol is not known",
		"\x80\x03P1\n.":     "is of no use in the pickle",
		"a text that is no model at all, and longer than the head of a binary one": "neither JSON, UBJSON, a pickle nor the binary format",
	} {
		_, err := ReadModel([]byte(text))
		if !algo.IsClientError(err) || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: error is %v, want one with %q", text, err, want)
		}
	}
}

func FuzzReadPickle(f *testing.F) {
	for name, b := range oldModels(f) {
		if strings.HasPrefix(filepath.Ext(name), ".p") {
			f.Add(b)
		}
	}
	f.Add([]byte("ccopy_reg\n_reconstructor\n(cxgboost.core\nBooster\nc__builtin__\nobject\nNtR(dS'handle'\nI1\nsb."))
	f.Fuzz(func(t *testing.T, b []byte) {
		if handle, err := readPickle(b); err == nil && len(handle) > 2*len(b) {
			t.Errorf("%d bytes of %d", len(handle), len(b))
		}
	})
}

func FuzzReadBinary(f *testing.F) {
	for name, b := range oldModels(f) {
		if ext := filepath.Ext(name); ext == ".model" || ext == ".bs64" || ext == ".binf" {
			f.Add(b)
		}
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		m, err := ReadModel(b)
		if err != nil {
			return
		}
		var out bytes.Buffer
		if err := m.WriteUBJ(&out); err != nil {
			t.Fatal(err)
		}
		if _, err := ReadModel(out.Bytes()); err != nil && !strings.Contains(err.Error(), "base_score") {
			t.Errorf("what was read is written so that it cannot be read: %v", err)
		}
	})
}
