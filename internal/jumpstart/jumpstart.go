// SPDX-License-Identifier: Apache-2.0

// Package jumpstart is the catalogue that the SageMaker Python SDKs find models
// in by their id: JumpStartEstimator(model_id="lightgbm-classification-model").
// In AWS it is a bucket of each Region, jumpstart-cache-prod-REGION, that
// everyone may read; here its content is made from a table of models and from
// the programs beside it, which are this project's own.
//
//	models_manifest.json           which models there are, in which versions
//	community_models/ID/...json    the spec of one: images, programs, hyperparameters, metrics
//	source-directory-tarballs/...  its programs: one archive to train, one to serve
//	training-artifacts/...         what its channel "model" holds
//
// Source of the forms: sagemaker.jumpstart of the Python SDK v2, 2.257.
package jumpstart

import (
	"bytes"
	"encoding/json"
	"fmt"
	"regexp"
	"slices"
	"sync"

	"github.com/sagebrush-ml/sagebrush/internal/algo"
)

// Model is an entry of the catalogue.
type Model struct {
	ID      string // "lightgbm-classification-model"
	Version string // "1.0.0"
	Library string // folder of its programs below scripts: "lightgbm"
	Task    string // "classification" or "regression"
	Title   string // what it is, in a few words

	Requirements []string // what its programs need beside the image
	Modules      []string // what its training program imports from its folder
	Params       []algo.Param
	Metrics      []algo.Metric
	Payload      string // a request to try a model of the default kind with
}

// Models are all models, ordered by id.
func Models() []Model {
	all := slices.Concat(catBoost(), lightGBM())
	slices.SortFunc(all, func(a, b Model) int { return bytes.Compare([]byte(a.ID), []byte(b.ID)) })
	return all
}

// Catalog is the catalogue as buckets.
type Catalog struct{}

// name is how AWS calls the bucket of a Region.
var name = sync.OnceValue(func() *regexp.Regexp {
	return regexp.MustCompile(`^jumpstart-cache-prod-([a-z]{2}(?:-[a-z]+)+-[0-9]+)$`)
})

// prefix begins each such name.
const prefix = "jumpstart-cache-prod-"

// Has tells whether the bucket is a Region's catalogue.
func (Catalog) Has(bucket string) bool {
	return len(bucket) > len(prefix) && bucket[:len(prefix)] == prefix && name().MatchString(bucket)
}

// Objects are the objects of a Region's catalogue by their keys. They are the
// same bytes each time.
func (Catalog) Objects(bucket string) (map[string][]byte, error) {
	m := name().FindStringSubmatch(bucket)
	if m == nil {
		return nil, fmt.Errorf("%q is no bucket of JumpStart", bucket)
	}
	out := map[string][]byte{}
	var manifest []header
	for _, model := range Models() {
		at := keysOf(model)
		manifest = append(manifest, header{ModelID: model.ID, Version: model.Version, MinVersion: minSDK, SpecKey: at.spec,
			SearchKeywords: []string{model.Library, model.Task, "tabular"}})
		var err error
		if out[at.spec], err = document(specOf(model, m[1])); err != nil {
			return nil, err
		}
		if out[at.training], err = sources(model, trains); err != nil {
			return nil, err
		}
		if out[at.hosting], err = sources(model, serves); err != nil {
			return nil, err
		}
		if out[at.artifact], err = artifact(model); err != nil {
			return nil, err
		}
	}
	var err error
	if out["models_manifest.json"], err = document(manifest); err != nil {
		return nil, err
	}
	out["proprietary-sdk-manifest.json"] = []byte("[]\n") // of models from the Marketplace
	return out, nil
}

// minSDK is the oldest Python SDK whose reading of specs these follow.
const minSDK = "2.49.0"

// header is an entry of models_manifest.json.
type header struct {
	ModelID        string   `json:"model_id"`
	Version        string   `json:"version"`
	MinVersion     string   `json:"min_version"`
	SpecKey        string   `json:"spec_key"`
	SearchKeywords []string `json:"search_keywords"`
}

// keys are where the parts of a model lie.
type keys struct{ spec, training, hosting, artifact string }

func keysOf(m Model) keys {
	return keys{
		spec:     fmt.Sprintf("community_models/%s/specs_v%s.json", m.ID, m.Version),
		training: fmt.Sprintf("source-directory-tarballs/%s/transfer_learning/%s/v%s/sourcedir.tar.gz", m.Library, m.Task, m.Version),
		hosting:  fmt.Sprintf("source-directory-tarballs/%s/inference/%s/v%s/sourcedir.tar.gz", m.Library, m.Task, m.Version),
		artifact: fmt.Sprintf("training-artifacts/v%s/train-%s.tar.gz", m.Version, m.ID),
	}
}

// document is v as JSON.
func document(v any) ([]byte, error) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	err := e.Encode(v)
	return b.Bytes(), err
}
