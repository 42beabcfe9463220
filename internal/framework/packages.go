// SPDX-License-Identifier: Apache-2.0

package framework

import (
	"slices"
	"strings"

	"github.com/sagebrush-ml/sagebrush/internal/pyenv"
)

// The bounds below stand where the metadata of an old package allow a newer one
// that it does not run with: NumPy 2 broke what was compiled before it, NumPy
// 1.24 took np.float and its like away, pandas 2 Int64Index and iteritems.
// network_test.go trains with each version that it can be found out with.
var (
	sklearnBounds = []pyenv.Companion{{Below: "1.1", Requirement: "numpy<1.24"}, {Below: "1.4.2", Requirement: "numpy<2"},
		{Below: "1.1", Requirement: "pandas<2"}, {Below: "1.8", Requirement: "pandas<3"},
		{Below: "1.1", Requirement: "scipy<1.11"}, {Below: "1.4", Requirement: "scipy<1.12"}}
	xgboostBounds = []pyenv.Companion{{Below: "1.6", Requirement: "numpy<1.24"}, {Below: "2", Requirement: "numpy<2"},
		{Below: "1.6", Requirement: "pandas<2"}, {Below: "3.1", Requirement: "pandas<3"},
		{Below: "1.6", Requirement: "scipy<1.11"},
		{Below: "1.6", Requirement: "scikit-learn<1.3"}, {Below: "2.1.4", Requirement: "scikit-learn<1.6"}}
	torchBounds        = []pyenv.Companion{{Below: "2.3", Requirement: "numpy<2"}}
	tensorflowBounds   = []pyenv.Companion{{Below: "2.12", Requirement: "numpy<1.24"}, {Below: "2.18", Requirement: "numpy<2"}, {Below: "2.10", Requirement: "protobuf<3.21"}}
	transformersBounds = []pyenv.Companion{{Below: "4.40", Requirement: "accelerate<0.30"}}
)

// packages are what an environment for f holds. AWS's images hold more; what is
// here is what a script is sure to import, and requirements.txt adds the rest.
// Those of every image have boto3, numpy and pandas.
func packages(f Framework) []pyenv.Choice {
	common := versionless("numpy", "pandas", "boto3")
	switch f.Name {
	case "scikit-learn":
		v := sklearnVersion(f.Version)
		return append([]pyenv.Choice{{Package: "scikit-learn", Wanted: exactly(v), Nearest: v, With: sklearnBounds}}, append(versionless("scipy", "joblib"), common...)...)
	case "xgboost":
		wanted, nearest := xgboostVersion(f.Version)
		return append([]pyenv.Choice{{Package: "xgboost", Wanted: wanted, Nearest: nearest, With: xgboostBounds}}, append(versionless("scikit-learn", "scipy"), common...)...)
	case "pytorch":
		return append([]pyenv.Choice{torchOf(f.Version)}, common...)
	case "tensorflow":
		return append([]pyenv.Choice{tensorflowOf(f.Version)}, common...)
	case "huggingface-pytorch":
		return append([]pyenv.Choice{torchOf(f.Version), transformersOf(f.Transformers)}, append(versionless("accelerate", "datasets"), common...)...)
	case "huggingface-tensorflow":
		return append([]pyenv.Choice{tensorflowOf(f.Version), transformersOf(f.Transformers)}, append(versionless("datasets"), common...)...)
	case "spark":
		// pyspark is a source distribution only, and brings Spark itself.
		spark := pyenv.Choice{Package: "pyspark", Wanted: []string{"~=" + f.Version + ".0"}, Source: true}
		numpy, pandas := pyenv.Choice{Package: "numpy"}, pyenv.Choice{Package: "pandas"}
		if before(f.Version, "4.0") {
			numpy.Wanted, pandas.Wanted = []string{"<2", ""}, []string{"<3", ""}
		}
		if before(f.Version, "3.4") {
			numpy.Wanted, pandas.Wanted = []string{"<1.24", "<2", ""}, []string{"<2", "<3", ""}
		}
		// setuptools has distutils, which Python has no more since 3.12.
		return append([]pyenv.Choice{spark, numpy, pandas}, versionless("boto3", "setuptools")...)
	case "python":
		if f.Repository == "sagemaker-distribution-prod" {
			common = append(common, versionless("scikit-learn", "scipy")...)
		}
		return append(common, versionless("cloudpickle")...)
	}
	return common
}

// versionless are packages of whatever version goes with the rest.
func versionless(names ...string) []pyenv.Choice {
	var out []pyenv.Choice
	for _, n := range names {
		out = append(out, pyenv.Choice{Package: n})
	}
	return out
}

func without(choices []pyenv.Choice, name string) []pyenv.Choice {
	return slices.DeleteFunc(slices.Clone(choices), func(c pyenv.Choice) bool { return c.Package == name })
}

// exactly wants a version, or one that differs in its last number only.
func exactly(version string) []string {
	parts := strings.Split(version, ".")
	if len(parts) < 3 { // "2.6" is any of 2.6
		return []string{"~=" + version + ".0"}
	}
	return []string{"==" + version, "~=" + parts[0] + "." + parts[1] + ".0"}
}

// sklearnVersion is the scikit-learn of an image "1.2-1". The last number is
// that of scikit-learn but for two. Source: the containers' Dockerfiles.
func sklearnVersion(image string) string {
	switch image {
	case "0.23-1":
		return "0.23.2"
	case "1.0-1":
		return "1.0.2"
	}
	return strings.ReplaceAll(image, "-", ".")
}

// xgboostVersion is the XGBoost of an image: up to 2 the last number counts the
// images, later it is XGBoost's.
func xgboostVersion(image string) (wanted []string, nearest string) {
	line, _, _ := strings.Cut(image, "-")
	if before(image, "3.0") {
		return []string{"~=" + line + ".0"}, line
	}
	v := strings.ReplaceAll(image, "-", ".")
	return exactly(v), v
}

func torchOf(version string) pyenv.Choice {
	return pyenv.Choice{Package: "torch", Wanted: exactly(version), Nearest: version, With: torchBounds}
}

func tensorflowOf(version string) pyenv.Choice {
	return pyenv.Choice{Package: "tensorflow", Wanted: exactly(version), Nearest: version, With: tensorflowBounds}
}

func transformersOf(version string) pyenv.Choice {
	return pyenv.Choice{Package: "transformers", Wanted: exactly(version), Nearest: version, With: transformersBounds}
}
