// SPDX-License-Identifier: Apache-2.0

package builtin

import (
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
	"sync"
)

// Ref is what an image URI asks for.
type Ref struct {
	Algorithm string // a name that Lookup knows
	Version   string // of the image without suffixes: "1.7-1"
}

// repository is one ECR repository and its tags, oldest first.
type repository struct {
	algorithm string
	tags      []string
}

// repositories holds the images of the algorithms that are built. The tags of
// XGBoost 0.90 and 1.0 name processor and language; repository "xgboost" is the
// first generation, XGBoost 0.72, whose latest has always been 1.
var repositories = map[string]repository{
	"sagemaker-xgboost": {"xgboost", []string{
		"0.90-1-cpu-py3", "0.90-2-cpu-py3", "1.0-1-cpu-py3", "1.2-1", "1.2-2", "1.3-1", "1.5-1", "1.7-1", "3.0-5", "3.2-0",
	}},
	"blazingtext":            {"blazingtext", []string{"1", "latest"}},
	"factorization-machines": {"factorization-machines", []string{"1", "latest"}},
	"ipinsights":             {"ipinsights", []string{"1", "latest"}},
	"kmeans":                 {"kmeans", []string{"1", "latest"}},
	"knn":                    {"knn", []string{"1", "latest"}},
	"lda":                    {"lda", []string{"1", "latest"}},
	"linear-learner":         {"linear-learner", []string{"1", "latest"}},
	"pca":                    {"pca", []string{"1", "latest"}},
	"randomcutforest":        {"randomcutforest", []string{"1", "latest"}},
	"xgboost":                {"xgboost", []string{"1", "latest"}},
}

// version is a tag without what is not a version.
func version(tag string) string {
	if tag == "latest" {
		return "1"
	}
	return strings.TrimSuffix(tag, "-cpu-py3")
}

// firstParty is AWS's repositories of algorithms, built here or not. Sources:
// the registry paths of the SageMaker SDK.
var firstParty = []string{
	"blazingtext", "factorization-machines", "forecasting-deepar", "image-classification", "ipinsights", "kmeans",
	"knn", "lda", "linear-learner", "ntm", "object-detection", "object2vec", "pca", "randomcutforest",
	"sagemaker-xgboost", "semantic-segmentation", "seq2seq", "xgboost",
}

// ecr takes apart {account}.dkr.ecr.{region}.amazonaws.com/{repo}[:{tag}], the
// FIPS hosts and the China suffix included. A digest is not a tag that AWS's
// SDKs give for an algorithm and does not match. It is compiled when it is first
// asked for: each task of this binary starts the quicker.
var ecr = sync.OnceValue(func() *regexp.Regexp {
	return regexp.MustCompile(`^\d{12}\.dkr\.ecr(?:-fips)?\.[a-z0-9-]+\.(?:amazonaws\.com(?:\.cn)?|c2s\.ic\.gov|sc2s\.sgov\.gov)/` +
		`([a-z0-9]+(?:[._/-][a-z0-9]+)*)(?::([A-Za-z0-9_][A-Za-z0-9_.-]{0,127}))?$`)
})

// Image gives what uri asks for. ok is false when uri is not the image of an
// algorithm that is built here; Known then tells whether AWS has it, and
// Resolve whether only its tag is wrong. Account and region are not compared:
// every region has its own.
func Image(uri string) (Ref, bool) {
	ref, err := Resolve(uri)
	return ref, err == nil && ref != Ref{}
}

// Resolve is Image with the reason. A URI that is no image of a built algorithm
// gives the zero Ref and no error; a built one under an unknown tag gives an
// *UnknownTagError.
func Resolve(uri string) (Ref, error) {
	name, tag, ok := parse(uri)
	repo, built := repositories[name]
	if !ok || !built {
		return Ref{}, nil
	}
	if !slices.Contains(repo.tags, tag) {
		return Ref{}, &UnknownTagError{Repository: name, Tag: tag, Known: repo.tags}
	}
	return Ref{repo.algorithm, version(tag)}, nil
}

// UnknownTagError is an image of a built algorithm under a tag that AWS has not.
type UnknownTagError struct {
	Repository, Tag string
	Known           []string // oldest first
}

func (e *UnknownTagError) Error() string {
	tag := "has no tag"
	if e.Tag != "" {
		tag = fmt.Sprintf("has the unknown tag %q", e.Tag)
	}
	return fmt.Sprintf("image %s %s; known tags are %s", e.Repository, tag, strings.Join(e.Known, ", "))
}

// Known reports whether uri is an image of one of AWS's first-party
// algorithms, built here or not, and gives the repository's name, so that a
// caller can say which algorithm is not built yet.
func Known(uri string) (name string, ok bool) {
	name, _, ok = parse(uri)
	if !ok || !slices.Contains(firstParty, name) {
		return "", false
	}
	return name, true
}

func parse(uri string) (name, tag string, ok bool) {
	m := ecr().FindStringSubmatch(uri)
	if m == nil {
		return "", "", false
	}
	return m[1], m[2], true
}

// Repository is a repository of built images, under the account that holds it
// in us-east-1.
type Repository struct {
	Registry, Name string
	Tags           []string // oldest first
}

// Repositories are all repositories of built images, by name.
func Repositories() []Repository {
	registries := map[string]string{
		"blazingtext":            "811284229777",
		"factorization-machines": "382416733822",
		"ipinsights":             "382416733822",
		"kmeans":                 "382416733822",
		"knn":                    "382416733822",
		"lda":                    "766337827248",
		"linear-learner":         "382416733822",
		"pca":                    "382416733822",
		"randomcutforest":        "382416733822",
		"sagemaker-xgboost":      "683313688378",
		"xgboost":                "811284229777",
	}
	var out []Repository
	for _, name := range slices.Sorted(maps.Keys(repositories)) {
		out = append(out, Repository{registries[name], name, slices.Clone(repositories[name].tags)})
	}
	return out
}
