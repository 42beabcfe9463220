// SPDX-License-Identifier: Apache-2.0

package hosting

import (
	"context"
	"errors"
	"strings"

	"github.com/sagebrush-ml/sagebrush/internal/fault"
	"github.com/sagebrush-ml/sagebrush/internal/object"
	"github.com/sagebrush-ml/sagebrush/internal/resource"
	"github.com/sagebrush-ml/sagebrush/internal/runtime"
	sm "github.com/sagebrush-ml/sagebrush/internal/wire/sagemaker"
)

var modelFamily = resource.Plain[sm.DescribeModelOutput]{
	Noun: "Model", Path: "model",
	NotFound: func(arn string) error { return fault.Validation("Could not find model %q.", arn) },
	Exists:   func(arn string) error { return fault.Validation("Cannot create already existing model %q.", arn) },
}

type modelRecord = resource.Record[sm.DescribeModelOutput, resource.None]

// checkModel checks what the model cannot say: that role, image and model data
// are there. Source: API_CreateModel.
func (s *Service) checkModel(ctx context.Context, in *sm.CreateModelInput, r *modelRecord) error {
	switch {
	case in.PrimaryContainer != nil && len(in.Containers) > 0:
		return fault.Validation("Both PrimaryContainer and Containers are specified. Please specify only one of them.")
	case in.PrimaryContainer == nil && len(in.Containers) == 0:
		return fault.Validation("Either PrimaryContainer or Containers must be specified.")
	case len(in.Containers) > 1:
		return fault.Validation("Containers with more than one container is not supported by Sagebrush yet.")
	case in.ExecutionRoleArn == "":
		return fault.Validation("ExecutionRoleArn must be specified.")
	}
	if err := s.Roles.Assumable(ctx, in.ExecutionRoleArn); err != nil {
		return err
	}
	c := r.Doc.PrimaryContainer
	if c == nil {
		c = &r.Doc.Containers[0]
	}
	if err := s.checkContainer(ctx, c, in.ExecutionRoleArn); err != nil {
		return err
	}
	if c.Mode == "" {
		c.Mode = "SingleModel"
	}
	if r.Doc.EnableNetworkIsolation == nil {
		r.Doc.EnableNetworkIsolation = new(false)
	}
	return nil
}

func (s *Service) checkContainer(ctx context.Context, c *sm.ContainerDefinition, role string) error {
	switch {
	case c.ModelPackageName != "":
		return fault.Validation("ModelPackageName is not supported by Sagebrush yet.")
	case c.Image == "":
		return fault.Validation("Either Image or ModelPackageName must be specified for a container.")
	case c.Mode == "MultiModel":
		return fault.Validation("Mode MultiModel is not supported by Sagebrush yet.")
	case len(c.AdditionalModelDataSources) > 0:
		return fault.Validation("AdditionalModelDataSources is not supported by Sagebrush yet.")
	case c.ModelDataUrl != "" && c.ModelDataSource != nil:
		return fault.Validation("Both ModelDataUrl and ModelDataSource are specified. Please specify only one of them.")
	}
	img, err := s.Images.Image(ctx, c.Image, needsOf(c.Environment))
	if errors.Is(err, runtime.ErrNoImage) {
		return fault.Validation("Requested image %s not found. %s", c.Image, strings.TrimPrefix(err.Error(), runtime.ErrNoImage.Error()+": "))
	}
	if err != nil {
		return err
	}
	if img.Serve == nil {
		return fault.Validation("Requested image %s cannot serve models.", c.Image)
	}
	d, ok, err := dataOf(c)
	if err != nil || !ok {
		return err
	}
	if ok, err := s.hasData(ctx, d); err != nil {
		return err
	} else if !ok {
		return fault.Validation("Could not find model data at %s.", d.URI)
	}
	return nil
}

// modelData is where a container's artifact lies.
type modelData struct {
	URI     string
	Archive bool // a .tar.gz to unpack; otherwise a prefix to lay out as it is
}

// dataOf reads ModelDataUrl or ModelDataSource; false when there is none.
func dataOf(c *sm.ContainerDefinition) (modelData, bool, error) {
	if c.ModelDataUrl != "" {
		return modelData{URI: c.ModelDataUrl, Archive: true}, true, checkDataURI(c.ModelDataUrl)
	}
	if c.ModelDataSource == nil || c.ModelDataSource.S3DataSource == nil {
		return modelData{}, false, nil
	}
	d := c.ModelDataSource.S3DataSource
	if d.ManifestS3Uri != "" || d.HubAccessConfig != nil {
		return modelData{}, false, fault.Validation("ManifestS3Uri and HubAccessConfig are not supported by Sagebrush yet.")
	}
	switch {
	case d.CompressionType == "Gzip" && d.S3DataType == "S3Object":
		return modelData{URI: d.S3Uri, Archive: true}, true, checkDataURI(d.S3Uri)
	case d.CompressionType == "None" && d.S3DataType == "S3Prefix":
		return modelData{URI: d.S3Uri}, true, checkDataURI(d.S3Uri)
	}
	return modelData{}, false, fault.Validation("ModelDataSource with S3DataType %s and CompressionType %s is not supported: use S3Object with Gzip, or S3Prefix with None.",
		d.S3DataType, d.CompressionType)
}

func checkDataURI(uri string) error {
	if _, err := object.ParseURI(uri); err != nil {
		return fault.Validation("Model data at %s is not an Amazon S3 URI (s3://bucket/key), which is the only kind that Sagebrush reads.", uri)
	}
	return nil
}

func (s *Service) hasData(ctx context.Context, d modelData) (bool, error) {
	u, err := object.ParseURI(d.URI)
	if err != nil {
		return false, nil
	}
	if d.Archive {
		_, err := s.Objects.Stat(ctx, u)
		if errors.Is(err, object.ErrNotFound) {
			return false, nil
		}
		return err == nil, err
	}
	page, _, err := s.Objects.List(ctx, u, "", 1)
	if errors.Is(err, object.ErrNotFound) {
		return false, nil
	}
	return len(page) > 0, err
}
