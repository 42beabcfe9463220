// SPDX-License-Identifier: Apache-2.0

package serving

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/sagebrush-ml/sagebrush/internal/fault"
	"github.com/sagebrush-ml/sagebrush/internal/object"
	"github.com/sagebrush-ml/sagebrush/internal/runtime"
	sm "github.com/sagebrush-ml/sagebrush/internal/wire/sagemaker"
)

// Model is a copy of what CreateModel was told, as a record of ours keeps it:
// an endpoint goes on after its model was deleted.
type Model struct {
	Name       string      `json:"name"`
	Role       string      `json:"role,omitempty"`
	Isolated   bool        `json:"isolated,omitempty"` // EnableNetworkIsolation
	Direct     bool        `json:"direct,omitempty"`   // InferenceExecutionConfig.Mode is Direct: one container answers, not each in turn
	Containers []Container `json:"containers"`
}

// Container is one of a model's containers.
type Container struct {
	Hostname string            `json:"hostname,omitempty"` // ContainerHostname, or the one that stands for it
	Image    string            `json:"image"`
	Resolved string            `json:"resolved,omitempty"` // the digest form
	Env      map[string]string `json:"env,omitempty"`
	Data     *Data             `json:"data,omitempty"`
	Extra    []Channel         `json:"extra,omitempty"` // AdditionalModelDataSources
	// Multi says that Data is a prefix with an archive for each model, which the
	// container loads and unloads (Mode MultiModel). Cached is its ModelCacheSetting.
	Multi  bool `json:"multi,omitempty"`
	Cached bool `json:"cached,omitempty"`
}

// Data is where a container's artifact lies.
type Data struct {
	URI     string `json:"uri"`
	Archive bool   `json:"archive,omitempty"` // a .tar.gz to unpack; otherwise a prefix to lay out as it is
}

// Channel is more model data, below /opt/ml/additional-model-data-sources.
type Channel struct {
	Name string `json:"name"`
	Data Data   `json:"data"`
}

// MultiModel tells which container, counted from 1, holds many models; 0 for none.
func (m *Model) MultiModel() int {
	for i := range m.Containers {
		if m.Containers[i].Multi {
			return i + 1
		}
	}
	return 0
}

// ContainersOf are the definitions of a model's containers.
func ContainersOf(doc *sm.DescribeModelOutput) []sm.ContainerDefinition {
	if doc.PrimaryContainer != nil {
		return []sm.ContainerDefinition{*doc.PrimaryContainer}
	}
	return doc.Containers
}

// ModelOf copies a stored model.
func ModelOf(ctx context.Context, images runtime.Images, doc *sm.DescribeModelOutput) (Model, error) {
	m := Model{Name: doc.ModelName, Role: doc.ExecutionRoleArn,
		Isolated: doc.EnableNetworkIsolation != nil && *doc.EnableNetworkIsolation,
		Direct:   doc.InferenceExecutionConfig != nil && doc.InferenceExecutionConfig.Mode == "Direct"}
	for i, d := range ContainersOf(doc) {
		c, err := ContainerOf(ctx, images, &d)
		if err != nil {
			return Model{}, fmt.Errorf("model %s: %w", doc.ModelName, err)
		}
		if c.Hostname == "" && doc.PrimaryContainer == nil {
			c.Hostname = "container-" + strconv.Itoa(i+1)
		}
		m.Containers = append(m.Containers, c)
	}
	return m, nil
}

// ContainerOf copies one definition.
func ContainerOf(ctx context.Context, images runtime.Images, d *sm.ContainerDefinition) (Container, error) {
	img, err := images.Image(ctx, d.Image, NeedsOf(d.Environment))
	if err != nil {
		return Container{}, fmt.Errorf("image %s: %w", d.Image, err)
	}
	c := Container{Hostname: d.ContainerHostname, Image: d.Image, Resolved: img.Resolved, Env: d.Environment, Multi: d.Mode == "MultiModel",
		Cached: d.MultiModelConfig == nil || d.MultiModelConfig.ModelCacheSetting != "Disabled"}
	if c.Data, err = DataOf(d); err != nil {
		return Container{}, err
	}
	for _, a := range d.AdditionalModelDataSources {
		data, err := dataOfS3(a.S3DataSource)
		if err != nil {
			return Container{}, err
		}
		c.Extra = append(c.Extra, Channel{Name: a.ChannelName, Data: *data})
	}
	return c, nil
}

// DataOf reads ModelDataUrl or ModelDataSource; nil when there is none. Errors
// are a ValidationException.
func DataOf(c *sm.ContainerDefinition) (*Data, error) {
	if c.ModelDataUrl != "" {
		return &Data{URI: c.ModelDataUrl, Archive: c.Mode != "MultiModel"}, checkURI(c.ModelDataUrl)
	}
	if c.ModelDataSource == nil || c.ModelDataSource.S3DataSource == nil {
		return nil, nil
	}
	return dataOfS3(c.ModelDataSource.S3DataSource)
}

func dataOfS3(d *sm.S3ModelDataSource) (*Data, error) {
	if d.ManifestS3Uri != "" || d.HubAccessConfig != nil {
		return nil, fault.Validation("ManifestS3Uri and HubAccessConfig are not supported by Sagebrush yet.")
	}
	switch {
	case d.CompressionType == "Gzip" && d.S3DataType == "S3Object":
		return &Data{URI: d.S3Uri, Archive: true}, checkURI(d.S3Uri)
	case d.CompressionType == "None":
		return &Data{URI: d.S3Uri}, checkURI(d.S3Uri)
	}
	return nil, fault.Validation("ModelDataSource with S3DataType %s and CompressionType %s is not supported: use S3Object with Gzip, or S3Prefix with None.",
		d.S3DataType, d.CompressionType)
}

func checkURI(uri string) error {
	if _, err := object.ParseURI(uri); err != nil {
		return fault.Validation("Model data at %s is not an Amazon S3 URI (s3://bucket/key), which is the only kind that Sagebrush reads.", uri)
	}
	return nil
}

// Exists tells whether there is anything at d.
func (d *Data) Exists(ctx context.Context, objects object.Store) (bool, error) {
	u, err := object.ParseURI(d.URI)
	if err != nil {
		return false, nil
	}
	if d.Archive {
		_, err := objects.Stat(ctx, u)
		if errors.Is(err, object.ErrNotFound) {
			return false, nil
		}
		return err == nil, err
	}
	page, _, err := objects.List(ctx, u, "", 1)
	if errors.Is(err, object.ErrNotFound) {
		return false, nil
	}
	return len(page) > 0, err
}

// NeedsOf is what a container's environment says of what its image must hold.
func NeedsOf(env map[string]string) runtime.Needs {
	return runtime.Needs{Script: env["SAGEMAKER_PROGRAM"] != "" || env["SAGEMAKER_SUBMIT_DIRECTORY"] != ""}
}

// CheckImage refuses an image that is not there or cannot serve.
func CheckImage(ctx context.Context, images runtime.Images, uri string, env map[string]string) error {
	img, err := images.Image(ctx, uri, NeedsOf(env))
	if errors.Is(err, runtime.ErrNoImage) {
		return fault.Validation("Requested image %s not found. %s", uri, strings.TrimPrefix(err.Error(), runtime.ErrNoImage.Error()+": "))
	}
	if err != nil {
		return err
	}
	if img.Serve == nil {
		return fault.Validation("Requested image %s cannot serve models.", uri)
	}
	return nil
}
