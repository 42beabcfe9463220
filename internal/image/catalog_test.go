// SPDX-License-Identifier: Apache-2.0

package image

import (
	"context"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/sagebrush-ml/sagebrush/internal/object"
	"github.com/sagebrush-ml/sagebrush/internal/oci"
	"github.com/sagebrush-ml/sagebrush/internal/pyenv"
	"github.com/sagebrush-ml/sagebrush/internal/runtime"
)

// shelf is a registry without images.
type shelf struct{}

func (shelf) Manifest(context.Context, string, string) ([]byte, string, string, error) {
	return nil, "", "", object.ErrNotFound
}

func (shelf) Blob(context.Context, string, string) (io.ReadCloser, int64, error) {
	return nil, 0, object.ErrNotFound
}

func catalog(t *testing.T, entries ...oci.Entry) *Catalog {
	t.Helper()
	dir := t.TempDir()
	environments, err := pyenv.New(pyenv.Options{Dir: filepath.Join(dir, "environments"), UV: pyenv.NoUV, Offline: true, OnlyWheels: true})
	if err != nil {
		t.Fatal(err)
	}
	images, err := oci.New(oci.Options{Dir: filepath.Join(dir, "images"), Local: shelf{}, Own: func(string) bool { return true }})
	if err != nil {
		t.Fatal(err)
	}
	m, err := oci.NewImageMap(entries)
	if err != nil {
		t.Fatal(err)
	}
	return New(Options{Self: "/bin/sagebrush", Environments: environments, Toolkit: "/toolkit", OCI: images, Map: m,
		Digest: func(account, name, tag string) string { return fmt.Sprintf("sha256:%s-%s-%s", account, name, tag) }})
}

const (
	xgboost = "683313688378.dkr.ecr.us-east-1.amazonaws.com/sagemaker-xgboost:1.7-1"
	sklearn = "683313688378.dkr.ecr.us-east-1.amazonaws.com/sagemaker-scikit-learn:1.2-1-cpu-py3"
	deepar  = "522234722520.dkr.ecr.us-east-1.amazonaws.com/forecasting-deepar:1"
)

func TestWhatAnImageStandsFor(t *testing.T) {
	script := runtime.Needs{Script: true}
	tests := []struct {
		name, uri string
		needs     runtime.Needs
		entries   []oci.Entry
		train     []string // nil: not found
		err       string
	}{
		{"a built-in algorithm", xgboost, runtime.Needs{}, nil, []string{"/bin/sagebrush", "algo", "train", "xgboost"}, ""},
		{"the same image with a script is the framework", xgboost, script, nil, []string{"python3", "-m", "sagebrush_toolkit.train"}, ""},
		{"a framework", sklearn, runtime.Needs{}, nil, []string{"python3", "-m", "sagebrush_toolkit.train"}, ""},
		{"an algorithm that is not built", deepar, runtime.Needs{}, nil, nil, "the built-in algorithm forecasting-deepar is not built in Sagebrush yet"},
		{"a framework's tag that is none", strings.Replace(sklearn, "1.2-1", "new", 1), runtime.Needs{}, nil, nil, "its tags look like"},
		{"an algorithm's tag that is none", strings.Replace(xgboost, "1.7-1", "9.9-9", 1), runtime.Needs{}, nil, nil, "known tags are"},
		{"an image that nobody has", "123456789012.dkr.ecr.us-east-1.amazonaws.com/mine:1", runtime.Needs{}, nil, nil, "Sagebrush runs the built-in algorithms (blazingtext, factorization-machines, "},
		{"what the map puts in its place", "mine:1", runtime.Needs{}, []oci.Entry{{Pattern: "mine:*", Target: "python:sagemaker-scikit-learn:1.2-1-cpu-py3"}},
			[]string{"python3", "-m", "sagebrush_toolkit.train"}, ""},
		{"which goes before everything else", xgboost, runtime.Needs{}, []oci.Entry{{Pattern: xgboost, Target: "127.0.0.1:8080/other:1"}}, nil, "other"},
		{"and may be wrong", "mine:1", runtime.Needs{}, []oci.Entry{{Pattern: "mine:1", Target: "python:nothing-1"}}, nil, `the image map's environment "nothing-1"`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			img, err := catalog(t, tt.entries...).Image(t.Context(), tt.uri, tt.needs)
			if tt.err != "" {
				if !errors.Is(err, runtime.ErrNoImage) || !strings.Contains(err.Error(), tt.err) {
					t.Errorf("%v", err)
				}
				return
			}
			if err != nil || !slices.Equal(img.Train, tt.train) || img.URI != tt.uri {
				t.Errorf("%+v, %v", img, err)
			}
		})
	}
}

// Without wheels nothing can be prepared, and that will not pass.
func TestEnvironmentsThatCannotBeHad(t *testing.T) {
	var progress strings.Builder
	_, err := catalog(t).Prepare(t.Context(), sklearn, runtime.Needs{Script: true}, &progress)
	if !errors.Is(err, runtime.ErrUnprepared) || !strings.Contains(err.Error(), "scikit-learn") {
		t.Errorf("%v, after %s", err, progress.String())
	}
}
