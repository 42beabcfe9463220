// SPDX-License-Identifier: Apache-2.0

package jumpstart

import (
	"encoding/json"
	"fmt"
	"strings"

	"github.com/sagebrush-ml/sagebrush/internal/algo"
)

// The image of all models so far: that of scikit-learn. AWS has these on
// PyTorch's, of which they use nothing; an environment with PyTorch is several
// gigabytes.
const (
	framework        = "sklearn"
	frameworkVersion = "1.2-1"
	image            = "683313688378.dkr.ecr.%s.amazonaws.com/sagemaker-scikit-learn:1.2-1-cpu-py3"
)

// instanceTypes are offered for training and hosting; others do as well, if
// they are of one of the families.
var instanceTypes = strings.Fields("ml.m5.large ml.m5.xlarge ml.m5.2xlarge ml.m5.4xlarge ml.m5.12xlarge ml.m5.24xlarge " +
	"ml.c5.large ml.c5.xlarge ml.c5.2xlarge ml.c5.4xlarge ml.c5.9xlarge ml.c5.18xlarge ml.m4.xlarge ml.m4.2xlarge ml.m4.4xlarge " +
	"ml.r5.large ml.r5.xlarge ml.r5.2xlarge ml.t2.medium ml.t2.large ml.t2.xlarge ml.t3.medium ml.t3.large ml.t3.xlarge")

const defaultInstanceType = "ml.m5.large"

// families are those of which an image is known by its family.
var families = strings.Fields("m4 m5 m5d m6i m7i c4 c5 c5d c5n c6i c7i r5 r5d r6i r7i t2 t3 g4dn g5 g6 p3 p4d p5 local")

// spec is a model's document. Its members are those of JumpStartModelSpecs.
type spec struct {
	ModelID                string            `json:"model_id"`
	URL                    string            `json:"url"`
	Version                string            `json:"version"`
	MinSDK                 string            `json:"min_sdk_version"`
	TrainingSupported      bool              `json:"training_supported"`
	Incremental            bool              `json:"incremental_training_supported"`
	HostingECR             ecr               `json:"hosting_ecr_specs"`
	HostingArtifact        string            `json:"hosting_artifact_key"`
	HostingScript          string            `json:"hosting_script_key"`
	HostingUseScript       bool              `json:"hosting_use_script_uri"`
	HostingVariants        variants          `json:"hosting_instance_type_variants"`
	InferenceVariables     []variable        `json:"inference_environment_variables"`
	InferenceVulnerable    bool              `json:"inference_vulnerable"`
	InferenceDependencies  []string          `json:"inference_dependencies"`
	TrainingECR            ecr               `json:"training_ecr_specs"`
	TrainingArtifact       string            `json:"training_artifact_key"`
	TrainingScript         string            `json:"training_script_key"`
	TrainingVariants       variants          `json:"training_instance_type_variants"`
	TrainingVulnerable     bool              `json:"training_vulnerable"`
	TrainingDependencies   []string          `json:"training_dependencies"`
	Hyperparameters        []hyperparameter  `json:"hyperparameters"`
	Metrics                []metric          `json:"metrics"`
	Deprecated             bool              `json:"deprecated"`
	DefaultInferenceType   string            `json:"default_inference_instance_type"`
	SupportedInferenceType []string          `json:"supported_inference_instance_types"`
	DefaultTrainingType    string            `json:"default_training_instance_type"`
	SupportedTrainingType  []string          `json:"supported_training_instance_types"`
	ModelKwargs            map[string]string `json:"model_kwargs"`
	DeployKwargs           map[string]string `json:"deploy_kwargs"`
	EstimatorKwargs        map[string]string `json:"estimator_kwargs"`
	FitKwargs              map[string]string `json:"fit_kwargs"`
	Predictor              predictor         `json:"predictor_specs"`
	InferenceIsolated      bool              `json:"inference_enable_network_isolation"`
	TrainingIsolated       bool              `json:"training_enable_network_isolation"`
	ResourceNameBase       string            `json:"resource_name_base"`
	DefaultPayloads        map[string]any    `json:"default_payloads"`
}

type ecr struct {
	Framework string `json:"framework"`
	Version   string `json:"framework_version"`
	Python    string `json:"py_version"`
}

type variants struct {
	Aliases  map[string]map[string]string `json:"regional_aliases"`
	Variants map[string]variant           `json:"variants"`
}

type variant struct {
	Regional map[string]string `json:"regional_properties"`
}

type variable struct {
	Name     string `json:"name"`
	Type     string `json:"type"`
	Default  any    `json:"default"`
	Scope    string `json:"scope"`
	Required bool   `json:"required_for_model_class"`
}

type hyperparameter struct {
	Name         string   `json:"name"`
	Type         string   `json:"type"` // int, float, text
	Default      any      `json:"default"`
	Scope        string   `json:"scope"`
	Options      []string `json:"options,omitempty"`
	Min          *float64 `json:"min,omitempty"`
	Max          *float64 `json:"max,omitempty"`
	ExclusiveMin *float64 `json:"exclusive_min,omitempty"`
	ExclusiveMax *float64 `json:"exclusive_max,omitempty"`
}

type metric struct {
	Name  string `json:"Name"`
	Regex string `json:"Regex"`
}

type predictor struct {
	DefaultContent string   `json:"default_content_type"`
	Contents       []string `json:"supported_content_types"`
	DefaultAccept  string   `json:"default_accept_type"`
	Accepts        []string `json:"supported_accept_types"`
}

// specOf is the document of a model in a Region.
func specOf(m Model, region string) spec {
	at := keysOf(m)
	images := variants{Aliases: map[string]map[string]string{region: {"alias_ecr_uri_1": fmt.Sprintf(image, region)}}, Variants: map[string]variant{}}
	for _, family := range families {
		images.Variants[family] = variant{map[string]string{"image_uri": "$alias_ecr_uri_1"}}
	}
	from := ecr{framework, frameworkVersion, "py3"}
	s := spec{
		ModelID: m.ID, URL: "https://github.com/sagebrush-ml/sagebrush", Version: m.Version, MinSDK: minSDK, TrainingSupported: true,
		HostingECR: from, HostingArtifact: at.artifact, HostingScript: at.hosting, HostingUseScript: true, HostingVariants: images,
		InferenceVariables: []variable{
			{"SAGEMAKER_PROGRAM", "text", serves, "container", true},
			{"SAGEMAKER_SUBMIT_DIRECTORY", "text", "/opt/ml/model/code", "container", false},
			{"SAGEMAKER_CONTAINER_LOG_LEVEL", "text", "20", "container", false},
			{"SAGEMAKER_MODEL_SERVER_TIMEOUT", "text", "3600", "container", false},
			{"ENDPOINT_SERVER_TIMEOUT", "int", 3600, "container", true},
			{"MODEL_CACHE_ROOT", "text", "/opt/ml/model", "container", true},
			{"SAGEMAKER_ENV", "text", "1", "container", true},
			{"SAGEMAKER_MODEL_SERVER_WORKERS", "int", 1, "container", true},
		},
		InferenceDependencies: m.Requirements,
		TrainingECR:           from, TrainingArtifact: at.artifact, TrainingScript: at.training, TrainingVariants: images,
		TrainingDependencies: m.Requirements,
		Hyperparameters: []hyperparameter{
			{Name: "sagemaker_submit_directory", Type: "text", Default: "/opt/ml/input/data/code/sourcedir.tar.gz", Scope: "container"},
			{Name: "sagemaker_program", Type: "text", Default: trains, Scope: "container"},
			{Name: "sagemaker_container_log_level", Type: "text", Default: "20", Scope: "container"},
		},
		DefaultInferenceType: defaultInstanceType, SupportedInferenceType: instanceTypes,
		DefaultTrainingType: defaultInstanceType, SupportedTrainingType: instanceTypes,
		ModelKwargs: map[string]string{}, DeployKwargs: map[string]string{}, EstimatorKwargs: map[string]string{}, FitKwargs: map[string]string{},
		Predictor: predictor{"text/csv", []string{"text/csv"}, "application/json", []string{"application/json", "application/json;verbose"}},
		// Names of jobs and endpoints begin with it.
		ResourceNameBase: strings.TrimSuffix(m.ID, "-model"),
		DefaultPayloads: map[string]any{"row": map[string]string{
			"content_type": "text/csv", "accept": "application/json;verbose", "body": m.Payload}},
	}
	for _, p := range m.Params {
		s.Hyperparameters = append(s.Hyperparameters, hyperparameterOf(p))
	}
	for _, x := range m.Metrics {
		s.Metrics = append(s.Metrics, metric{x.Name, x.Regex})
	}
	return s
}

// hyperparameterOf is p in the words of the SDK, which knows no numbers that
// may also be "auto": these are texts.
func hyperparameterOf(p algo.Param) hyperparameter {
	h := hyperparameter{Name: p.Name, Type: "text", Default: p.Default, Scope: "algorithm", Options: p.Values}
	if p.Auto || p.Kind != algo.Int && p.Kind != algo.Float {
		return h
	}
	h.Type = "float"
	if p.Kind == algo.Int {
		h.Type = "int"
	}
	h.Default = json.Number(p.Default)
	h.Min, h.Max = p.Min, p.Max
	if p.OpenMin {
		h.Min, h.ExclusiveMin = nil, p.Min
	}
	if p.OpenMax {
		h.Max, h.ExclusiveMax = nil, p.Max
	}
	return h
}
