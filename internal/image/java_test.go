// SPDX-License-Identifier: Apache-2.0

package image_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/sagebrush-ml/sagebrush/internal/image"
	"github.com/sagebrush-ml/sagebrush/internal/runtime"
)

// A machine without Java was told of as an internal failure of the server.
func TestSparkWithoutJavaIsAFaultOfTheRequest(t *testing.T) {
	t.Setenv("PATH", t.TempDir())
	t.Setenv("JAVA_HOME", "")
	_, err := image.New(image.Options{}).Image(t.Context(),
		"173754725891.dkr.ecr.us-east-1.amazonaws.com/sagemaker-spark-processing:3.5-cpu-py39-v1.0", runtime.Needs{Script: true})
	if !errors.Is(err, runtime.ErrNoImage) || !strings.Contains(err.Error(), "Java 8, 11 or 17") {
		t.Errorf("%v", err)
	}
}
