// SPDX-License-Identifier: Apache-2.0

package jumpstart

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"encoding/json"
	"errors"
	"io"
	"maps"
	"regexp"
	"slices"
	"testing"

	"github.com/sagebrush-ml/sagebrush/internal/algo"
)

func TestHasTheBucketsOfRegions(t *testing.T) {
	for bucket, want := range map[string]bool{
		"jumpstart-cache-prod-us-east-1":     true,
		"jumpstart-cache-prod-us-gov-west-1": true,
		"jumpstart-cache-prod-":              false,
		"jumpstart-cache-prod-mine":          false,
		"jumpstart-cache-prod-us-east-1-x":   false,
		"jumpstart-private-cache-prod-a-b-1": false,
		"sagemaker-us-east-1-123456789012":   false,
	} {
		if got := (Catalog{}).Has(bucket); got != want {
			t.Errorf("Has(%q) is %v", bucket, got)
		}
	}
	if _, err := (Catalog{}).Objects("mine"); err == nil {
		t.Error("a bucket that is none has objects")
	}
}

// unpack is the content of an archive.
func unpack(t *testing.T, archive []byte) map[string]string {
	t.Helper()
	z, err := gzip.NewReader(bytes.NewReader(archive))
	if err != nil {
		t.Fatal(err)
	}
	files := map[string]string{}
	for r := tar.NewReader(z); ; {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			return files
		}
		if err != nil {
			t.Fatal(err)
		}
		b, err := io.ReadAll(r)
		if err != nil {
			t.Fatal(err)
		}
		files[h.Name] = string(b)
	}
}

func TestEveryKeyOfASpecIsThere(t *testing.T) {
	objects, err := Catalog{}.Objects("jumpstart-cache-prod-eu-west-1")
	if err != nil {
		t.Fatal(err)
	}
	again, err := Catalog{}.Objects("jumpstart-cache-prod-eu-west-1")
	if err != nil || !maps.EqualFunc(objects, again, bytes.Equal) {
		t.Fatalf("the catalogue is not the same twice: %v", err)
	}
	var manifest []header
	if err := json.Unmarshal(objects["models_manifest.json"], &manifest); err != nil {
		t.Fatal(err)
	}
	if len(manifest) != len(Models()) {
		t.Fatalf("%d models in the manifest, and there are %d", len(manifest), len(Models()))
	}
	modules := map[string][]string{}
	for _, m := range Models() {
		modules[m.ID] = m.Modules
	}
	used := map[string]bool{"models_manifest.json": true, "proprietary-sdk-manifest.json": true}
	for _, h := range manifest {
		var s spec
		if err := json.Unmarshal(objects[h.SpecKey], &s); err != nil {
			t.Fatalf("%s: %v", h.SpecKey, err)
		}
		if s.ModelID != h.ModelID || s.Version != h.Version {
			t.Errorf("%s is of %s %s", h.SpecKey, s.ModelID, s.Version)
		}
		for key, entry := range map[string]string{s.TrainingScript: trains, s.HostingScript: serves, s.TrainingArtifact: "", s.HostingArtifact: ""} {
			used[key] = true
			files := unpack(t, objects[key])
			names := []string{"model.json"}
			if entry != "" {
				names = append(names, entry, "tabular.py", "requirements.txt")
			}
			if entry == trains {
				names = append(names, modules[s.ModelID]...)
			}
			for _, n := range names {
				if files[n] == "" {
					t.Errorf("%s lacks %s", key, n)
				}
			}
		}
		if uri := s.TrainingVariants.Aliases["eu-west-1"]["alias_ecr_uri_1"]; uri != "683313688378.dkr.ecr.eu-west-1.amazonaws.com/sagemaker-scikit-learn:1.2-1-cpu-py3" {
			t.Errorf("image of %s: %q", h.ModelID, uri)
		}
		used[h.SpecKey] = true
	}
	for key := range objects {
		if !used[key] {
			t.Errorf("nothing names %s", key)
		}
	}
}

// TestDefaultsAreAllowed reads each model's defaults as values that were given.
func TestDefaultsAreAllowed(t *testing.T) {
	for _, m := range Models() {
		given := map[string]string{}
		for _, p := range m.Params {
			given[p.Name] = p.Default
			h := hyperparameterOf(p)
			if h.Default == "" || p.Doc == "" {
				t.Errorf("%s: %s has no default, or no text", m.ID, p.Name)
			}
			if h.Type == "text" && len(h.Options) > 0 && !slices.Contains(h.Options, p.Default) {
				t.Errorf("%s: the default of %s is none of %v", m.ID, p.Name, h.Options)
			}
		}
		if _, err := algo.ParseParams(algo.Spec{Params: m.Params}, given); err != nil {
			t.Errorf("%s: %v", m.ID, err)
		}
		for _, x := range m.Metrics {
			if !regexp.MustCompile(x.Regex).MatchString("[1]\tvalid_0's " + x.Name + ": 0.5\n" + x.Name + " = 0.5") {
				t.Errorf("%s: %s is not found by %s", m.ID, x.Name, x.Regex)
			}
		}
	}
}
