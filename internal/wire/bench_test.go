// SPDX-License-Identifier: Apache-2.0

package wire_test

import (
	"net/http"
	"net/http/httptest"
	"testing"

	sm "github.com/sagebrush-ml/sagebrush/internal/wire/sagemaker"
	smr "github.com/sagebrush-ml/sagebrush/internal/wire/sagemakerruntime"
)

func BenchmarkDecodeInvokeEndpoint(b *testing.B) {
	r := httptest.NewRequest(http.MethodPost, "/endpoints/my-endpoint/invocations", nil)
	r.Header.Set("Content-Type", "text/csv")
	for b.Loop() {
		o, labels, _ := smr.Service.MatchREST(r.Method, r.URL.EscapedPath())
		if _, err := o.DecodeREST(r, labels, nil); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkDecodeCreateTrainingJob(b *testing.B) {
	body := []byte(`{"TrainingJobName":"a","RoleArn":"arn:aws:iam::123456789012:role/r","OutputDataConfig":{"S3OutputPath":"s3://b"},"HyperParameters":{"eta":"0.1"}}`)
	for b.Loop() {
		if _, err := sm.CreateTrainingJob.DecodeJSON(body); err != nil {
			b.Fatal(err)
		}
	}
}
