// SPDX-License-Identifier: Apache-2.0

package proxy

import "testing"

func TestServiceOfHost(t *testing.T) {
	tests := []struct{ host, service, region string }{
		{"api.sagemaker.us-east-1.amazonaws.com", "sagemaker", "us-east-1"},
		{"api.sagemaker.us-east-1.amazonaws.com:443", "sagemaker", "us-east-1"},
		{"API.SageMaker.us-east-1.AmazonAWS.com.", "sagemaker", "us-east-1"},
		{"api-fips.sagemaker.us-east-1.amazonaws.com", "sagemaker", "us-east-1"},
		{"api.sagemaker.cn-north-1.amazonaws.com.cn", "sagemaker", "cn-north-1"},
		{"api.sagemaker.us-east-1.api.aws", "sagemaker", "us-east-1"},
		{"api.sagemaker.cn-north-1.api.amazonwebservices.com.cn", "sagemaker", "cn-north-1"},
		{"runtime.sagemaker.us-gov-west-1.amazonaws.com", "sagemaker-runtime", "us-gov-west-1"},
		{"runtime-fips.sagemaker.us-east-1.amazonaws.com", "sagemaker-runtime", "us-east-1"},
		{"metrics.sagemaker.eu-west-1.amazonaws.com", "sagemaker-metrics", "eu-west-1"},
		{"featurestore-runtime.sagemaker.us-east-1.amazonaws.com", "sagemaker-featurestore-runtime", "us-east-1"},
		{"featurestore-runtime.sagemaker-fips.us-east-1.amazonaws.com", "sagemaker-featurestore-runtime", "us-east-1"},
		{"a2i-runtime.sagemaker.us-east-1.amazonaws.com", "sagemaker-a2i-runtime", "us-east-1"},
		{"edge.sagemaker.us-east-1.amazonaws.com", "sagemaker-edge", "us-east-1"},
		{"sagemaker-geospatial.us-west-2.amazonaws.com", "sagemaker-geospatial", "us-west-2"},
		{"sts.amazonaws.com", "sts", "us-east-1"},
		{"sts.us-east-1.amazonaws.com", "sts", "us-east-1"},
		{"sts-fips.us-east-2.amazonaws.com", "sts", "us-east-2"},
		{"iam.amazonaws.com", "iam", "us-east-1"},
		{"iam.global.api.aws", "iam", "us-east-1"},
		{"iam.cn-north-1.amazonaws.com.cn", "iam", "cn-north-1"},
		{"logs.us-east-1.amazonaws.com", "logs", "us-east-1"},
		{"monitoring.us-east-1.amazonaws.com", "monitoring", "us-east-1"},
		{"api.ecr.us-east-1.amazonaws.com", "ecr", "us-east-1"},
		{"ecr.us-east-1.api.aws", "ecr", "us-east-1"},
		{"123456789012.dkr.ecr.us-east-1.amazonaws.com", "dkr.ecr", "us-east-1"},
		{"123456789012.dkr.ecr-fips.us-east-1.amazonaws.com", "dkr.ecr", "us-east-1"},
		{"api.pricing.us-east-1.amazonaws.com", "pricing", "us-east-1"},
		{"123456789012.s3-control.us-east-1.amazonaws.com", "s3-control", "us-east-1"},
		{"s3.amazonaws.com", "s3", "us-east-1"},
		{"bucket.s3.eu-west-1.amazonaws.com", "s3", "eu-west-1"},
		{"s3.us-east-1.evil.com", "", ""},
		{"amazonaws.com", "", ""},
		{"notamazonaws.com", "", ""},
		{"sts.amazonaws.com.evil.com", "", ""},
		{"127.0.0.1:8080", "", ""},
		{"", "", ""},
	}
	for _, tt := range tests {
		service, region, ok := ServiceOfHost(tt.host)
		if service != tt.service || region != tt.region || ok != (tt.service != "") {
			t.Errorf("%s: %q %q %v, want %q %q", tt.host, service, region, ok, tt.service, tt.region)
		}
	}
}

func TestSplitS3Host(t *testing.T) {
	tests := []struct {
		host, bucket, region string
		ok                   bool
	}{
		{"sm-pysdk-t-us-east-1.s3.us-east-1.amazonaws.com", "sm-pysdk-t-us-east-1", "us-east-1", true},
		{"my.dotted.bucket.s3.eu-central-1.amazonaws.com:443", "my.dotted.bucket", "eu-central-1", true},
		{"bucket.s3.amazonaws.com", "bucket", "us-east-1", true},
		{"bucket.s3-us-west-2.amazonaws.com", "bucket", "us-west-2", true},
		{"bucket.s3.dualstack.us-west-2.amazonaws.com", "bucket", "us-west-2", true},
		{"bucket.s3-fips.us-west-2.amazonaws.com", "bucket", "us-west-2", true},
		{"bucket.s3-fips.dualstack.us-west-2.amazonaws.com", "bucket", "us-west-2", true},
		{"bucket.s3-accelerate.amazonaws.com", "bucket", "us-east-1", true},
		{"bucket.s3.cn-north-1.amazonaws.com.cn", "bucket", "cn-north-1", true},
		{"s3.s3.us-east-1.amazonaws.com", "s3", "us-east-1", true},
		{"us-west-2.s3.amazonaws.com", "us-west-2", "us-east-1", true},
		{"dualstack.s3.us-east-1.amazonaws.com", "dualstack", "us-east-1", true},
		{"s3.us-east-1.amazonaws.com", "", "us-east-1", true},
		{"s3.amazonaws.com", "", "us-east-1", true},
		{"sts.us-east-1.amazonaws.com", "", "", false},
		{"x.s3-website.us-east-1.amazonaws.com", "", "", false},
		{"us-east-1.amazonaws.com", "", "", false},
		{"bucket.s3.us-east-1.example.com", "", "", false},
		{"bucket.localhost:8080", "", "", false},
	}
	for _, tt := range tests {
		bucket, region, ok := SplitS3Host(tt.host)
		if bucket != tt.bucket || region != tt.region || ok != tt.ok {
			t.Errorf("%s: %q %q %v, want %q %q %v", tt.host, bucket, region, ok, tt.bucket, tt.region, tt.ok)
		}
	}
}

func FuzzHosts(f *testing.F) {
	f.Add("bucket.s3.us-east-1.amazonaws.com:443")
	f.Add("..amazonaws.com")
	f.Add("[::1]:443")
	f.Fuzz(func(t *testing.T, host string) {
		service, region, ok := ServiceOfHost(host)
		if ok && (region == "" || !IsAWS(host)) {
			t.Errorf("%q: %q in %q", host, service, region)
		}
		if _, _, s3 := SplitS3Host(host); s3 && service != "s3" {
			t.Errorf("%q is of S3 and of %q", host, service)
		}
	})
}
