// SPDX-License-Identifier: Apache-2.0

package framework

import (
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// repository is an ECR repository of framework images.
type repository struct {
	framework             string
	account               string // that holds it in us-east-1
	form                  string // of its tags, for people
	tag                   *regexp.Regexp
	train, serve, process bool
	tags                  []string // a few that the SDKs resolve, oldest first
	pythons               []python // of tags that do not tell it, oldest first
}

// python says that images of a version below one have a minor version.
type python struct{ below, minor string }

// The forms of tags. What follows processor and Python names the CUDA and the
// system that an image is built on, and changes nothing here.
var (
	algorithmTag    = regexp.MustCompile(`^(?P<version>\d+\.\d+[.-]\d+)(?:-py(?P<py>\d{1,3}))?(?:-arm64)?(?:-(?P<processor>cpu|gpu))?(?:-py3)?$`)
	deepLearningTag = regexp.MustCompile(`^(?P<version>\d+\.\d+(?:\.\d+)?)(?:-(?P<processor>cpu|gpu))?(?:-py(?P<py>\d{1,3}))?(?:-[a-z0-9.]+)*$`)
	transformersTag = regexp.MustCompile(`^(?P<version>\d+\.\d+(?:\.\d+)?)-transformers(?P<transformers>\d+\.\d+(?:\.\d+)?)-(?P<processor>cpu|gpu)-py(?P<py>\d{2,3})(?:-[a-z0-9.]+)*$`)
	sparkTag        = regexp.MustCompile(`^(?P<version>\d+\.\d+)-(?P<processor>cpu)(?:-py(?P<py>\d{2,3}))?(?:-v\d+(?:\.\d+)*)?$`)
	pythonTag       = regexp.MustCompile(`^(?P<version>\d+\.\d+(?:\.\d+)?)(?:-(?P<processor>cpu|gpu))?$`)
)

const (
	algorithmForm    = "1.2-1 or 1.2-1-cpu-py3"
	deepLearningForm = "2.6.0-cpu-py312"
	transformersForm = "2.8.0-transformers4.56.2-gpu-py312-cu129-ubuntu22.04"
)

// Accounts of us-east-1. Source: the registry tables of the SageMaker SDK v2
// 2.257 and v3 (sagemaker-core 2.27); testdata/uris.txt is made from them.
const (
	algorithms   = "683313688378"
	deepLearning = "763104351884"
	early        = "520713654638"
)

// Pythons of images whose tags say py3 or nothing. Source: the Dockerfiles of
// aws/sagemaker-scikit-learn-container and aws/sagemaker-xgboost-container.
var (
	sklearnPythons = []python{{"1.2", "3.7"}, {"1.4", "3.9"}, {"1.5", "3.10"}, {"", "3.12"}}
	xgboostPythons = []python{{"1.3", "3.7"}, {"1.7", "3.8"}, {"3.0", "3.9"}, {"", "3.10"}}
	torchPythons   = []python{{"1.9", "3.6"}, {"1.13", "3.8"}, {"2.0", "3.9"}, {"2.3", "3.10"}, {"2.6", "3.11"}, {"2.10", "3.12"}, {"", "3.13"}}
	// tensorflow-inference does not tell its Python: its images have TensorFlow
	// Serving. This is what tensorflow-training of the same version has.
	tensorflowPythons   = []python{{"2.2", "3.6"}, {"2.6", "3.7"}, {"2.8", "3.8"}, {"2.12", "3.9"}, {"2.19", "3.10"}, {"", "3.12"}}
	sparkPythons        = []python{{"3.2", "3.7"}, {"", "3.9"}}
	distributionPythons = []python{{"2.0", "3.10"}, {"3.0", "3.11"}, {"", "3.12"}}
)

func torch(train, serve bool, tags ...string) repository {
	return repository{"pytorch", deepLearning, deepLearningForm, deepLearningTag, train, serve, train, tags, torchPythons}
}

func tensorflow(account string, train, serve bool, tags ...string) repository {
	return repository{"tensorflow", account, deepLearningForm, deepLearningTag, train, serve, train, tags, tensorflowPythons}
}

func huggingface(framework string, train bool, tags ...string) repository {
	return repository{framework, deepLearning, transformersForm, transformersTag, train, !train, train, tags, nil}
}

var repositories = map[string]repository{
	"sagemaker-scikit-learn": {"scikit-learn", algorithms, algorithmForm, algorithmTag, true, true, true,
		[]string{"0.20.0-cpu-py3", "0.23-1-cpu-py3", "1.0-1-cpu-py3", "1.2-1-cpu-py3", "1.4-2-cpu-py3", "1.4-2-py312-cpu-py3", "1.9-0-cpu-py3"}, sklearnPythons},
	"sagemaker-xgboost": {"xgboost", algorithms, algorithmForm, algorithmTag, true, true, true,
		[]string{"0.90-1-cpu-py3", "0.90-2-cpu-py3", "1.0-1-cpu-py3", "1.2-1", "1.2-2", "1.3-1", "1.5-1", "1.7-1", "3.0-5", "3.2-0"}, xgboostPythons},

	"pytorch-training":           torch(true, false, "1.13.1-cpu-py39", "2.0.1-cpu-py310", "2.3.0-cpu-py311", "2.5.1-cpu-py311", "2.6.0-cpu-py312", "2.8.0-cpu-py312", "2.8.0-gpu-py312"),
	"pytorch-inference":          torch(false, true, "1.13.1-cpu-py39", "2.0.1-cpu-py310", "2.3.0-cpu-py311", "2.5.1-cpu-py311", "2.6.0-cpu-py312", "2.6.0-gpu-py312"),
	"pytorch-inference-graviton": torch(false, true, "2.4.0-cpu-py311-ubuntu22.04-sagemaker"),
	"pytorch-inference-arm64":    torch(false, true, "2.6.0-cpu-py312-ubuntu22.04-sagemaker"),
	"sagemaker-pytorch":          {"pytorch", early, deepLearningForm, deepLearningTag, true, true, true, []string{"1.0.0-cpu-py3", "1.1.0-cpu-py3"}, torchPythons},

	"tensorflow-training":             tensorflow(deepLearning, true, false, "2.13.0-cpu-py310", "2.16.2-cpu-py310", "2.19.0-cpu-py312", "2.19.0-gpu-py312"),
	"tensorflow-inference":            tensorflow(deepLearning, false, true, "2.13.0-cpu", "2.16.1-cpu", "2.19.0-cpu", "2.19.0-gpu"),
	"tensorflow-inference-graviton":   tensorflow(deepLearning, false, true, "2.16.1-cpu-py310-ubuntu20.04-sagemaker"),
	"sagemaker-tensorflow-scriptmode": tensorflow(early, true, false, "1.11.0-cpu-py3", "1.12.0-cpu-py3"),
	"sagemaker-tensorflow-serving":    tensorflow(early, false, true, "1.11.0-cpu", "1.12.0-cpu"),

	"huggingface-pytorch-training":     huggingface("huggingface-pytorch", true, "2.5.1-transformers4.49.0-gpu-py311-cu124-ubuntu22.04", "2.8.0-transformers4.56.2-gpu-py312-cu129-ubuntu22.04"),
	"huggingface-pytorch-inference":    huggingface("huggingface-pytorch", false, "2.6.0-transformers4.51.3-cpu-py312-ubuntu22.04"),
	"huggingface-tensorflow-training":  huggingface("huggingface-tensorflow", true, "2.6.3-transformers4.17.0-gpu-py38-cu112-ubuntu20.04"),
	"huggingface-tensorflow-inference": huggingface("huggingface-tensorflow", false, "2.11.0-transformers4.26.0-cpu-py39-ubuntu20.04"),

	"sagemaker-spark-processing":  {"spark", "173754725891", "3.5-cpu-py312-v1.0", sparkTag, false, false, true, []string{"3.3-cpu-py39-v1.0", "3.5-cpu-py39-v1.0", "3.5-cpu-py312-v1.0"}, sparkPythons},
	"sagemaker-distribution-prod": {"python", "885854791233", "3.2.0-cpu", pythonTag, true, true, true, []string{"3.2.0-cpu", "3.2.0-gpu"}, distributionPythons},
	"sagemaker-base-python":       {"python", "081325390199", "1.0", pythonTag, true, false, true, []string{"1.0"}, []python{{"", "3.10"}}},
	"sagemaker-base-python-38":    {"python", "081325390199", "1.0", pythonTag, true, false, true, []string{"1.0"}, []python{{"", "3.8"}}},
	"sagemaker-base-python-310":   {"python", "081325390199", "1.0", pythonTag, true, false, true, []string{"1.0"}, []python{{"", "3.10"}}},
}

// basePython names its Python in the repository, whichever that is.
var basePython = regexp.MustCompile(`^sagemaker-base-python-(3\d{1,2})$`)

// find gives a repository by name, and the minor version that its name tells.
func find(name string) (r repository, minorVersion string, ok bool) {
	if m := basePython.FindStringSubmatch(name); m != nil {
		return repositories["sagemaker-base-python"], minor(m[1]), true
	}
	r, ok = repositories[name]
	return r, "", ok
}

// pythonOf is the minor version of an image whose tag does not tell it.
func (r repository) pythonOf(version string) string {
	for _, p := range r.pythons {
		if p.below == "" || before(version, p.below) {
			return p.minor
		}
	}
	return ""
}

// before compares versions by their numbers: 1.9 is before 1.10.
func before(a, b string) bool {
	split := func(v string) []string {
		return strings.FieldsFunc(v, func(r rune) bool { return r == '.' || r == '-' })
	}
	x, y := split(a), split(b)
	for i := range min(len(x), len(y)) {
		p, _ := strconv.Atoi(x[i]) // digits: the tag's form has been checked
		q, _ := strconv.Atoi(y[i])
		if p != q {
			return p < q
		}
	}
	return len(x) < len(y)
}

// unsupported says why a repository of AWS's that runs scripts is not among
// ours; "" when it is, or is none of those.
func unsupported(name string) string {
	for _, u := range []struct{ pattern, why string }{
		{`^(?:sagemaker-)?mxnet(?:-training|-inference|-serving)?(?:-eia|-graviton)?$|^sagemaker-mxnet-serving(?:-eia)?$`, "MXNet is no longer developed, and has no packages for a Python of today"},
		{`^sagemaker-chainer$`, "Chainer is no longer developed, and has no packages for a Python of today"},
		{`^(?:sagemaker-)?(?:pytorch|tensorflow)(?:-inference|-serving)?-eia$`, "Elastic Inference is hardware of AWS's that is no longer there"},
		{`-neuronx?$`, "Neuron needs hardware of AWS's"},
		{`-trcomp-training$`, "the SageMaker Training Compiler is AWS's alone"},
		{`^sagemaker-rl-`, "the reinforcement learning images hold Ray, Coach or Vowpal Wabbit, which are not prepared; bring an image of your own"},
		{`^sagemaker-tensorflow$`, "TensorFlow before script mode needs Python 2, which is not supported"},
	} {
		if regexp.MustCompile(u.pattern).MatchString(name) {
			return u.why
		}
	}
	return ""
}

// Repository is a repository of framework images, under the account that holds
// it in us-east-1.
type Repository struct {
	Registry, Name string
	Tags           []string // a few of those that are accepted, oldest first
}

// Repositories are all repositories of framework images, by name.
func Repositories() []Repository {
	var out []Repository
	for _, name := range slices.Sorted(maps.Keys(repositories)) {
		r := repositories[name]
		out = append(out, Repository{r.account, name, slices.Clone(r.tags)})
	}
	return out
}
