// SPDX-License-Identifier: Apache-2.0

package wire_test

import (
	"net/http"
	"net/http/httptest"
	"net/url"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/sagebrush-ml/sagebrush/internal/fault"
	"github.com/sagebrush-ml/sagebrush/internal/wire"
	"github.com/sagebrush-ml/sagebrush/internal/wire/a2iruntime"
	"github.com/sagebrush-ml/sagebrush/internal/wire/cloudwatch"
	"github.com/sagebrush-ml/sagebrush/internal/wire/ecr"
	"github.com/sagebrush-ml/sagebrush/internal/wire/featurestoreruntime"
	"github.com/sagebrush-ml/sagebrush/internal/wire/iam"
	"github.com/sagebrush-ml/sagebrush/internal/wire/logs"
	sm "github.com/sagebrush-ml/sagebrush/internal/wire/sagemaker"
	"github.com/sagebrush-ml/sagebrush/internal/wire/sagemakermetrics"
	smr "github.com/sagebrush-ml/sagebrush/internal/wire/sagemakerruntime"
	"github.com/sagebrush-ml/sagebrush/internal/wire/sts"
)

var services = []*wire.Service{sm.Service, smr.Service, featurestoreruntime.Service, sagemakermetrics.Service,
	a2iruntime.Service, sts.Service, iam.Service, logs.Service, cloudwatch.Service, ecr.Service}

func TestConstraintFailuresInAWSForm(t *testing.T) {
	long := strings.Repeat("a", 64)
	for _, c := range []struct{ name, body, want string }{
		{"a missing member is null at its path", `{"RoleArn":"arn:aws:iam::123456789012:role/r","OutputDataConfig":{"S3OutputPath":"s3://b"}}`,
			"1 validation error detected: Value null at 'trainingJobName' failed to satisfy constraint: Member must not be null"},
		{"a pattern names itself", `{"TrainingJobName":"foo_bar","RoleArn":"arn:aws:iam::123456789012:role/r","OutputDataConfig":{"S3OutputPath":"s3://b"}}`,
			"1 validation error detected: Value 'foo_bar' at 'trainingJobName' failed to satisfy constraint: Member must satisfy regular expression pattern: [a-zA-Z0-9](-*[a-zA-Z0-9]){0,62}"},
		{"length and pattern are both told", `{"TrainingJobName":"` + long + `","RoleArn":"arn:aws:iam::123456789012:role/r","OutputDataConfig":{"S3OutputPath":"s3://b"}}`,
			"2 validation errors detected: Value '" + long + "' at 'trainingJobName' failed to satisfy constraint: Member must have length less than or equal to 63; Value '" + long + "' at 'trainingJobName' failed to satisfy constraint: Member must satisfy regular expression pattern: [a-zA-Z0-9](-*[a-zA-Z0-9]){0,62}"},
		{"a nested enum has a dotted path", `{"TrainingJobName":"a","RoleArn":"arn:aws:iam::123456789012:role/r","OutputDataConfig":{"S3OutputPath":"s3://b","CompressionType":"ZIP"}}`,
			"1 validation error detected: Value 'ZIP' at 'outputDataConfig.compressionType' failed to satisfy constraint: Member must satisfy enum value set: [GZIP, NONE]"},
		{"a list index counts from one", `{"TrainingJobName":"a","RoleArn":"arn:aws:iam::123456789012:role/r","OutputDataConfig":{"S3OutputPath":"s3://b"},"InputDataConfig":[{"ChannelName":"train"}]}`,
			"1 validation error detected: Value null at 'inputDataConfig.1.member.dataSource' failed to satisfy constraint: Member must not be null"},
		{"a number out of range", `{"TrainingJobName":"a","RoleArn":"arn:aws:iam::123456789012:role/r","OutputDataConfig":{"S3OutputPath":"s3://b"},"StoppingCondition":{"MaxRuntimeInSeconds":0}}`,
			"1 validation error detected: Value '0' at 'stoppingCondition.maxRuntimeInSeconds' failed to satisfy constraint: Member must have value greater than or equal to 1"},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := sm.CreateTrainingJob.DecodeJSON([]byte(c.body))
			f := fault.Of(err)
			if f == nil || f.Code != "ValidationException" || f.Status != 400 || f.Message != c.want {
				t.Errorf("got  %v\nwant %s", err, c.want)
			}
		})
	}
}

func TestMalformedBodiesAreSerializationExceptions(t *testing.T) {
	for name, body := range map[string]string{
		"not JSON": `{"TrainingJobName":`, "a list": `[]`, "two values": `{} {}`, "a number for a string": `{"TrainingJobName":7}`,
		"a string for a structure": `{"OutputDataConfig":"s3://b"}`, "a fraction for an integer": `{"StoppingCondition":{"MaxRuntimeInSeconds":1.5}}`,
		"a boolean for a list": `{"InputDataConfig":true}`,
	} {
		t.Run(name, func(t *testing.T) {
			_, err := sm.CreateTrainingJob.DecodeJSON([]byte(body))
			if f := fault.Of(err); f == nil || f.Code != "SerializationException" || f.Status != 400 {
				t.Errorf("got %v", err)
			}
		})
	}
}

func TestJSONRoundTrip(t *testing.T) {
	out := &sm.DescribeTrainingJobOutput{TrainingJobName: "a\t\"b\"", HyperParameters: map[string]string{"eta": "0.1"},
		CreationTime: wire.At(time.UnixMilli(1795123456789)), BillableTimeInSeconds: new(int64(3)),
		FinalMetricDataList: []sm.MetricData{{MetricName: "m", Value: new(0.5)}}, EnableManagedSpotTraining: new(false)}
	text := string(sm.DescribeTrainingJob.EncodeJSON(out))
	for _, want := range []string{`"TrainingJobName":"a\t\"b\""`, `"CreationTime":1795123456.789`, `"BillableTimeInSeconds":3`,
		`"EnableManagedSpotTraining":false`, `"FinalMetricDataList":[{"MetricName":"m","Value":0.5}]`} {
		if !strings.Contains(text, want) {
			t.Errorf("%s lacks %s", text, want)
		}
	}
}

func TestTimesKeepTheirMilliseconds(t *testing.T) {
	for ms := int64(1795142639000); ms < 1795142640000; ms++ {
		want := wire.At(time.UnixMilli(ms))
		text, err := want.MarshalJSON()
		if err != nil {
			t.Fatal(err)
		}
		var got wire.Time
		if err := got.UnmarshalJSON(text); err != nil || !got.Equal(want.Time) {
			t.Fatalf("%s read as %v, %v", text, got, err)
		}
	}
}

func TestARequiredListIsWrittenWhenEmpty(t *testing.T) {
	if got := string(sm.ListTrainingJobs.EncodeJSON(&sm.ListTrainingJobsOutput{})); got != `{"TrainingJobSummaries":[]}` {
		t.Errorf("got %s", got)
	}
}

func TestQueryReadsListsAndWritesXML(t *testing.T) {
	form, _ := url.ParseQuery("Action=CreateRole&RoleName=r&AssumeRolePolicyDocument=%7B%7D&Tags.member.1.Key=a&Tags.member.1.Value=b&MaxSessionDuration=3600")
	in, err := iam.CreateRole.DecodeQuery(form)
	if err != nil {
		t.Fatal(err)
	}
	got := in.(*iam.CreateRoleInput)
	want := &iam.CreateRoleInput{RoleName: "r", AssumeRolePolicyDocument: "{}", Tags: []iam.Tag{{Key: "a", Value: "b"}}, MaxSessionDuration: new(int64(3600))}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v", got)
	}
	text := string(sts.GetCallerIdentity.EncodeQuery(&sts.GetCallerIdentityOutput{Account: "1", Arn: "a<b"}, "id-1"))
	for _, part := range []string{"<GetCallerIdentityResult>", "<Account>1</Account>", "<Arn>a&lt;b</Arn>", "<RequestId>id-1</RequestId>"} {
		if !strings.Contains(text, part) {
			t.Errorf("%s lacks %s", text, part)
		}
	}
}

func TestRESTReadsPathAndHeaders(t *testing.T) {
	r := httptest.NewRequest(http.MethodPost, "/endpoints/ep%2D1/invocations", nil)
	r.Header.Set("Content-Type", "text/csv")
	r.Header.Set("X-Amzn-SageMaker-Target-Variant", "A")
	o, labels, ok := smr.Service.MatchREST(r.Method, r.URL.EscapedPath())
	if !ok {
		t.Fatal("no operation")
	}
	in, err := o.DecodeREST(r, labels, nil)
	if err != nil {
		t.Fatal(err)
	}
	got := in.(*smr.InvokeEndpointInput)
	if got.EndpointName != "ep-1" || got.ContentType != "text/csv" || got.TargetVariant != "A" {
		t.Errorf("got %+v", got)
	}
}

// Every pattern of every model compiles, every operation has its messages.
func TestEveryModelLoads(t *testing.T) {
	for _, s := range services {
		for _, name := range s.Operations() {
			o, _ := s.Operation(name)
			if o.Binding() == nil {
				t.Errorf("%s has no binding", o)
				continue
			}
			walk(t, o.Binding().Input, map[*wire.Shape]bool{})
		}
	}
}

func walk(t *testing.T, s *wire.Shape, seen map[*wire.Shape]bool) {
	if s == nil || seen[s] {
		return
	}
	seen[s] = true
	if s.Pattern != "" {
		wire.Matches(s, "x") // panics when the pattern does not compile
	}
	for i := range s.Members {
		walk(t, s.Members[i].Shape, seen)
	}
	for _, m := range []*wire.Member{s.Elem, s.Key, s.Value} {
		if m != nil {
			walk(t, m.Shape, seen)
		}
	}
}

func FuzzDecodeJSON(f *testing.F) {
	f.Add([]byte(`{"TrainingJobName":"a","HyperParameters":{"a":"b"},"InputDataConfig":[{"ChannelName":"x"}]}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		in, err := sm.CreateTrainingJob.DecodeJSON(b)
		if err == nil && in == nil {
			t.Fatal("neither a message nor an error")
		}
		if err != nil && fault.Of(err) == nil {
			t.Fatalf("not a fault: %v", err)
		}
	})
}

func FuzzDecodeQuery(f *testing.F) {
	f.Add("Action=CreateRole&RoleName=r&Tags.member.1.Key=a")
	f.Fuzz(func(t *testing.T, text string) {
		form, err := url.ParseQuery(text)
		if err != nil {
			return
		}
		if _, err := iam.CreateRole.DecodeQuery(form); err != nil && fault.Of(err) == nil {
			t.Fatalf("not a fault: %v", err)
		}
	})
}
