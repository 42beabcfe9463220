// SPDX-License-Identifier: Apache-2.0

package framework

import (
	"errors"
	"os"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/sagebrush-ml/sagebrush/internal/pyenv"
	"github.com/sagebrush-ml/sagebrush/internal/runtime"
)

const east = ".dkr.ecr.us-east-1.amazonaws.com/"

func TestResolve(t *testing.T) {
	for _, tt := range []struct {
		name, uri string
		want      Framework
	}{
		{"scikit-learn", "683313688378" + east + "sagemaker-scikit-learn:1.2-1-cpu-py3",
			Framework{Name: "scikit-learn", Repository: "sagemaker-scikit-learn", Tag: "1.2-1-cpu-py3", Version: "1.2-1", Python: "3.9", Train: true, Serve: true, Process: true}},
		{"scikit-learn by its version alone, in another Region", "246618743249.dkr.ecr.us-west-2.amazonaws.com/sagemaker-scikit-learn:0.20.0",
			Framework{Name: "scikit-learn", Repository: "sagemaker-scikit-learn", Tag: "0.20.0", Version: "0.20.0", Python: "3.7", Train: true, Serve: true, Process: true}},
		{"scikit-learn for ARM, in China", "450853457545.dkr.ecr.cn-north-1.amazonaws.com.cn/sagemaker-scikit-learn:1.0-1-arm64-cpu-py3",
			Framework{Name: "scikit-learn", Repository: "sagemaker-scikit-learn", Tag: "1.0-1-arm64-cpu-py3", Version: "1.0-1", Python: "3.7", Train: true, Serve: true, Process: true}},
		{"scikit-learn with its Python in the version", "683313688378" + east + "sagemaker-scikit-learn:1.4-2-py312-cpu-py3",
			Framework{Name: "scikit-learn", Repository: "sagemaker-scikit-learn", Tag: "1.4-2-py312-cpu-py3", Version: "1.4-2", Python: "3.12", Train: true, Serve: true, Process: true}},
		{"XGBoost", "683313688378" + east + "sagemaker-xgboost:1.7-1",
			Framework{Name: "xgboost", Repository: "sagemaker-xgboost", Tag: "1.7-1", Version: "1.7-1", Python: "3.9", Train: true, Serve: true, Process: true}},
		{"PyTorch for GPUs, by a FIPS host", "763104351884.dkr.ecr-fips.us-gov-west-1.amazonaws.com/pytorch-training:2.6.0-gpu-py312",
			Framework{Name: "pytorch", Repository: "pytorch-training", Tag: "2.6.0-gpu-py312", Version: "2.6.0", Python: "3.12", GPU: true, Train: true, Process: true}},
		{"PyTorch by the whole tag of the containers' release notes", "763104351884" + east + "pytorch-inference:2.6.0-cpu-py312-ubuntu22.04-sagemaker",
			Framework{Name: "pytorch", Repository: "pytorch-inference", Tag: "2.6.0-cpu-py312-ubuntu22.04-sagemaker", Version: "2.6.0", Python: "3.12", Serve: true}},
		{"PyTorch by minor version and digest", "763104351884" + east + "pytorch-training:2.10-cpu-py313@sha256:" + strings.Repeat("0", 64),
			Framework{Name: "pytorch", Repository: "pytorch-training", Tag: "2.10-cpu-py313", Version: "2.10", Python: "3.13", Train: true, Process: true}},
		{"TensorFlow, whose serving image tells no Python", "763104351884" + east + "tensorflow-inference:2.16.1-cpu",
			Framework{Name: "tensorflow", Repository: "tensorflow-inference", Tag: "2.16.1-cpu", Version: "2.16.1", Python: "3.10", Serve: true}},
		{"Hugging Face", "763104351884" + east + "huggingface-pytorch-training:2.8.0-transformers4.56.2-gpu-py312-cu129-ubuntu22.04",
			Framework{Name: "huggingface-pytorch", Repository: "huggingface-pytorch-training", Tag: "2.8.0-transformers4.56.2-gpu-py312-cu129-ubuntu22.04", Version: "2.8.0", Transformers: "4.56.2", Python: "3.12", GPU: true, Train: true, Process: true}},
		{"base Python names its Python in the repository", "081325390199" + east + "sagemaker-base-python-38:1.0",
			Framework{Name: "python", Repository: "sagemaker-base-python-38", Tag: "1.0", Version: "1.0", Python: "3.8", Train: true, Process: true}},
		{"Spark", "173754725891" + east + "sagemaker-spark-processing:3.5-cpu-py312-v1.0",
			Framework{Name: "spark", Repository: "sagemaker-spark-processing", Tag: "3.5-cpu-py312-v1.0", Version: "3.5", Python: "3.12", Process: true}},
		{"another repository", "123456789012" + east + "mine:1.2-1", Framework{}},
		{"a name that only begins like one", "763104351884" + east + "pytorch-training-mine:2.6.0-cpu-py312", Framework{}},
		{"another registry", "docker.io/library/pytorch-training:2.6.0-cpu-py312", Framework{}},
		{"nothing", "", Framework{}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, err := Resolve(tt.uri)
			if err != nil || got != tt.want {
				t.Errorf("got  %+v, %v\nwant %+v", got, err, tt.want)
			}
			if f, ok := Lookup(tt.uri); ok != (tt.want.Name != "") || f != tt.want {
				t.Errorf("Lookup gives %+v, %v", f, ok)
			}
		})
	}
}

func TestResolveRefusesAndSaysWhy(t *testing.T) {
	for _, tt := range []struct{ name, image, says string }{
		{"no tag", "sagemaker-scikit-learn", "image sagemaker-scikit-learn has no tag; its tags look like 1.2-1"},
		{"a tag of another repository", "sagemaker-scikit-learn:2.6.0-cpu-py312", `has the tag "2.6.0-cpu-py312"; its tags look like 1.2-1`},
		{"latest", "pytorch-training:latest", `has the tag "latest"; its tags look like 2.6.0-cpu-py312`},
		{"Hugging Face without transformers", "huggingface-pytorch-training:2.8.0-gpu-py312", "transformers4.56.2"},
		{"Python 2", "pytorch-training:1.2.0-cpu-py2", "asks for Python 2"},
		{"Python 2.7", "tensorflow-training:1.15.2-cpu-py27", "asks for Python 2"},
		{"MXNet", "mxnet-training:1.9.0-cpu-py38", "MXNet is no longer developed"},
		{"Neuron", "pytorch-training-neuronx:2.1.2-neuronx-py310", "hardware"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			f, err := Resolve("763104351884" + east + tt.image)
			if err == nil || !strings.Contains(err.Error(), tt.says) || f != (Framework{}) {
				t.Errorf("got %+v, %v, want %q", f, err, tt.says)
			}
			if _, ok := Lookup("763104351884" + east + tt.image); ok {
				t.Error("Lookup finds it")
			}
		})
	}
}

// Every URI of testdata/uris.txt, which uris.py makes from the SDKs' own tables,
// is known: as a framework, as one that is refused by name, or as XGBoost's first
// generation, which runs no scripts.
func TestEveryURIOfTheSDKsIsKnown(t *testing.T) {
	text, err := os.ReadFile("testdata/uris.txt")
	if err != nil {
		t.Fatal(err)
	}
	refused, known := map[string]int{}, map[string]int{}
	seen := map[string]bool{}
	for _, uri := range strings.Fields(string(text)) {
		f, err := Resolve(uri)
		var no *UnsupportedError
		switch {
		case errors.As(err, &no):
			refused[no.Repository]++
		case err != nil:
			t.Errorf("%s: %v", uri, err)
		case f.Name == "" && !strings.HasSuffix(uri, "/xgboost:1"):
			t.Errorf("%s is not known", uri)
		case f.Name != "":
			known[f.Name]++
			seen[f.Repository] = true
			if r, _, _ := find(f.Repository); !strings.HasPrefix(uri, r.account+".") {
				t.Errorf("%s is not in the registry %s", uri, r.account)
			}
			if f.Python == "" || len(f.Spec(runtime.Needs{}).Packages) < 3 || !f.Train && !f.Serve && !f.Process {
				t.Errorf("%s is %+v", uri, f)
			}
		}
	}
	for repository := range repositories {
		if !seen[repository] && repository != "sagemaker-base-python" { // a family of names
			t.Errorf("no SDK names %s", repository)
		}
	}
	for _, repository := range []string{"pytorch-training", "tensorflow-training", "tensorflow-inference", "sagemaker-pytorch", "sagemaker-tensorflow-scriptmode"} {
		delete(refused, repository) // by tags of Python 2
	}
	want := []string{"mxnet-inference", "mxnet-inference-eia", "mxnet-training", "pytorch-inference", "pytorch-inference-eia", "sagemaker-chainer", "sagemaker-mxnet", "sagemaker-mxnet-eia",
		"sagemaker-mxnet-serving", "sagemaker-mxnet-serving-eia", "sagemaker-tensorflow", "sagemaker-tensorflow-eia", "sagemaker-tensorflow-serving-eia", "tensorflow-inference-eia"}
	for repository := range refused {
		if !slices.Contains(want, repository) {
			t.Errorf("%s is refused", repository)
		}
	}
	if len(known) != 8 || known["pytorch"] < 100 {
		t.Errorf("known are %v", known)
	}
}

func TestRepositoriesAreThoseThatResolve(t *testing.T) {
	for _, r := range Repositories() {
		if len(r.Tags) == 0 || len(r.Registry) != 12 {
			t.Errorf("got %+v", r)
		}
		for _, tag := range r.Tags {
			if f, err := Resolve(r.Registry + east + r.Name + ":" + tag); err != nil || f.Repository != r.Name || f.Tag != tag {
				t.Errorf("%s:%s is %+v, %v", r.Name, tag, f, err)
			}
		}
	}
}

func TestSpec(t *testing.T) {
	names := func(s pyenv.Spec) (out []string) {
		for _, c := range s.Packages {
			out = append(out, c.Package+strings.Join(c.Wanted, "|"))
		}
		return out
	}
	for _, tt := range []struct {
		name, image string
		needs       runtime.Needs
		python      string
		packages    []string
		nearest     string // of the first
	}{
		{"the last number of a scikit-learn image is that of scikit-learn", "sagemaker-scikit-learn:1.2-1-cpu-py3", runtime.Needs{}, "3.9",
			[]string{"scikit-learn==1.2.1|~=1.2.0", "scipy", "joblib", "numpy", "pandas", "boto3"}, "1.2.1"},
		{"but for two", "sagemaker-scikit-learn:0.23-1-cpu-py3", runtime.Needs{}, "3.7",
			[]string{"scikit-learn==0.23.2|~=0.23.0", "scipy", "joblib", "numpy", "pandas", "boto3"}, "0.23.2"},
		{"the last number of an early XGBoost image counts images", "sagemaker-xgboost:1.7-1", runtime.Needs{}, "3.9",
			[]string{"xgboost~=1.7.0", "scikit-learn", "scipy", "numpy", "pandas", "boto3"}, "1.7"},
		{"and of a late one is XGBoost's", "sagemaker-xgboost:3.0-5", runtime.Needs{}, "3.10",
			[]string{"xgboost==3.0.5|~=3.0.0", "scikit-learn", "scipy", "numpy", "pandas", "boto3"}, "3.0.5"},
		{"a minor version is any of it", "pytorch-training:2.6-cpu-py312", runtime.Needs{}, "3.12", []string{"torch~=2.6.0", "numpy", "pandas", "boto3"}, "2.6"},
		{"Hugging Face", "huggingface-pytorch-inference:2.6.0-transformers4.51.3-cpu-py312-ubuntu22.04", runtime.Needs{}, "3.12",
			[]string{"torch==2.6.0|~=2.6.0", "transformers==4.51.3|~=4.51.0", "accelerate", "datasets", "numpy", "pandas", "boto3"}, "2.6.0"},
		{"the client's Python and SDK are wanted most", "sagemaker-base-python-310:1.0", runtime.Needs{Python: "3.12", SDK: "2.257.7"}, "3.12",
			[]string{"sagemaker==2.257.7|~=2.257.0", "numpy", "pandas", "boto3", "cloudpickle"}, "2.257.7"},
		{"Spark of that line, and what it runs with", "sagemaker-spark-processing:3.3-cpu-py39-v1.0", runtime.Needs{}, "3.9",
			[]string{"pyspark~=3.3.0", "numpy<1.24|<2|", "pandas<2|<3|", "boto3", "setuptools"}, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			f, err := Resolve("763104351884" + east + tt.image)
			if err != nil {
				t.Fatal(err)
			}
			s := f.Spec(tt.needs)
			if s.Python != tt.python || !slices.Equal(names(s), tt.packages) || s.Packages[0].Nearest != tt.nearest || s.Name == "" {
				t.Errorf("got Python %s, %q, nearest %q", s.Python, names(s), s.Packages[0].Nearest)
			}
			if !reflect.DeepEqual(s, f.Spec(tt.needs)) {
				t.Error("another time it is another Spec")
			}
		})
	}
	f, _ := Lookup("763104351884" + east + "pytorch-training:2.6-cpu-py312")
	if s := f.Spec(runtime.Needs{Requirements: []byte("six")}); string(s.Requirements) != "six" {
		t.Errorf("requirements are %q", s.Requirements)
	}
}

func TestSparkNeedsJava(t *testing.T) {
	f, _ := Lookup("173754725891" + east + "sagemaker-spark-processing:3.5-cpu-py312")
	t.Setenv("PATH", t.TempDir())
	t.Setenv("JAVA_HOME", "")
	if err := f.Check(); !errors.Is(err, ErrNoJava) || !strings.Contains(err.Error(), "openjdk") {
		t.Errorf("got %v", err)
	}
	home := t.TempDir()
	if err := os.MkdirAll(home+"/bin", 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(home+"/bin/java", nil, 0o755); err != nil {
		t.Fatal(err)
	}
	t.Setenv("JAVA_HOME", home)
	if err := f.Check(); err != nil {
		t.Errorf("with JAVA_HOME: %v", err)
	}
	t.Setenv("JAVA_HOME", "")
	other, _ := Lookup("763104351884" + east + "pytorch-training:2.6-cpu-py312")
	if err := other.Check(); err != nil {
		t.Errorf("PyTorch needs none: %v", err)
	}
}

func TestVariablesLeadToTheEnvironment(t *testing.T) {
	t.Setenv("JAVA_HOME", "/opt/java")
	env := pyenv.Env{Dir: "/cache/spark"}
	v := Framework{Name: "spark"}.Variables(env)
	if !strings.HasPrefix(v["PATH"], "/cache/spark/bin:/usr/local") || v["PYSPARK_PYTHON"] != "/cache/spark/bin/python" || v["JAVA_HOME"] != "/opt/java" || v["VIRTUAL_ENV"] != env.Dir {
		t.Errorf("got %v", v)
	}
	if v := (Framework{Name: "pytorch"}).Variables(env); v["PYSPARK_PYTHON"] != "" || v["PYTHONUNBUFFERED"] != "1" {
		t.Errorf("got %v", v)
	}
}

func FuzzResolve(f *testing.F) {
	for _, r := range Repositories() {
		for _, tag := range r.Tags {
			f.Add(r.Registry + east + r.Name + ":" + tag)
		}
	}
	f.Add("763104351884" + east + "pytorch-training:99999999999999999999.9-py")
	f.Fuzz(func(t *testing.T, uri string) {
		got, err := Resolve(uri)
		if err != nil && got != (Framework{}) {
			t.Errorf("%q is %+v and %v", uri, got, err)
		}
		if got.Name != "" && (got.Version == "" || len(got.Spec(runtime.Needs{}).Packages) == 0) {
			t.Errorf("%q is %+v", uri, got)
		}
	})
}
