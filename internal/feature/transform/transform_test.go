// SPDX-License-Identifier: Apache-2.0

package transform

import (
	"bytes"
	"compress/gzip"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/sagebrush-ml/sagebrush/internal/taskgroup/jobtest"
	sm "github.com/sagebrush-ml/sagebrush/internal/wire/sagemaker"
)

type change = func(*sm.CreateTransformJobInput)

func TestTheStoryOfAJob(t *testing.T) {
	l := newLab(t)
	l.put("in/a.csv", "a\nb\n")
	l.put("in/deep/b.csv", "c")
	l.put("in/empty.csv", "")
	var env map[string]string
	l.container.set(func(c *container) {
		c.answer = func(w http.ResponseWriter, r *http.Request) {
			for _, k := range l.tasks.Tasks() {
				env = k.Env
			}
			upper(w, r)
		}
	})
	got := l.completed(func(in *sm.CreateTransformJobInput) {
		in.TransformOutput.Accept = "text/plain"
		in.BatchStrategy, in.MaxPayloadInMB = "MultiRecord", new(int64(3))
	})
	if want := `a.csv.out="A\nB\n" deep/b.csv.out="C\n" empty.csv.out=""`; got != want {
		t.Errorf("outputs are %s, want %s", got, want)
	}
	d := l.describe("job")
	if d.TransformStartTime.IsZero() || d.TransformEndTime.Before(d.TransformStartTime.Time) || d.TransformInput.CompressionType != "None" {
		t.Errorf("described as %+v", d)
	}
	if h := l.container.headers[0]; h.Get("Content-Type") != "text/csv" || h.Get("Accept") != "text/plain" || h.Get("User-Agent") != "" {
		t.Errorf("headers are %v", h)
	}
	for k, want := range map[string]string{"SAGEMAKER_BATCH": "true", "SAGEMAKER_BATCH_STRATEGY": "MULTI_RECORD", "SAGEMAKER_MAX_PAYLOAD_IN_MB": "3", "OWN": "1", "BOTH": "2", "IMAGE": "yes"} {
		if env[k] != want {
			t.Errorf("%s is %q in the container, want %q", k, env[k], want)
		}
	}
	if _, there := env["SAGEMAKER_MAX_CONCURRENT_TRANSFORMS"]; there {
		t.Error("the container is told what was not given")
	}
	if text := l.stream("/data-log"); !strings.HasSuffix(text, ":[sagemaker logs]: MaxConcurrentTransforms=1, MaxPayloadInMB=3, BatchStrategy=MULTI_RECORD") {
		t.Errorf("the data log is %q", text)
	}
}

func TestWhatIsSentAndWritten(t *testing.T) {
	zip := func(text string) string {
		var b bytes.Buffer
		z := gzip.NewWriter(&b)
		_, _ = io.WriteString(z, text)
		z.Close()
		return b.String()
	}
	for _, c := range []struct {
		name, data string
		change     change
		sent       string
		want       string
	}{
		{"the whole object", "a\nb", func(in *sm.CreateTransformJobInput) { in.TransformInput.SplitType = "" }, `["a\nb"]`, "A\nB\n"},
		{"raw", "a\nb", func(in *sm.CreateTransformJobInput) { in.TransformOutput.AssembleWith = "" }, `["a\nb"]`, "A\nB"},
		{"each record", "a\n\nb\n", func(in *sm.CreateTransformJobInput) { in.BatchStrategy = "SingleRecord" }, `["a" "b"]`, "A\nB\n"},
		{"each record, raw", "a\nb\n", func(in *sm.CreateTransformJobInput) {
			in.BatchStrategy, in.TransformOutput.AssembleWith = "SingleRecord", "None"
		}, `["a" "b"]`, "AB"},
		{"gzip", zip("a\nb\n"), func(in *sm.CreateTransformJobInput) { in.TransformInput.CompressionType = "Gzip" }, `["a\nb\n"]`, "A\nB\n"},
		{"without a limit", "a\nb", func(in *sm.CreateTransformJobInput) { in.MaxPayloadInMB = new(int64(0)) }, `["a\nb"]`, "A\nB\n"},
		{"joined", "1,x\n2,y\n", func(in *sm.CreateTransformJobInput) {
			in.DataProcessing = &sm.DataProcessing{InputFilter: "$[1]", JoinSource: "Input", OutputFilter: "$[0,-1]"}
		}, `["x\ny\n"]`, "1,X\n2,Y\n"},
	} {
		t.Run(c.name, func(t *testing.T) {
			l := newLab(t)
			l.put("in/a", c.data)
			if got, want := l.completed(c.change), fmt.Sprintf("a.out=%q", c.want); got != want {
				t.Errorf("writes %s, want %s", got, want)
			}
			if got := fmt.Sprintf("%q", l.container.asked()); got != c.sent {
				t.Errorf("sends %s, want %s", got, c.sent)
			}
		})
	}
}

// The order is that of the records though the first answer comes last.
func TestConcurrentRequestsKeepTheOrder(t *testing.T) {
	l := newLab(t)
	var want strings.Builder
	var data strings.Builder
	for i := range 200 {
		fmt.Fprintf(&data, "r%d\n", i)
		fmt.Fprintf(&want, "R%d\n", i)
	}
	l.put("in/a", data.String())
	l.container.set(func(c *container) {
		c.params = `{"MaxConcurrentTransforms": 4, "BatchStrategy": "SINGLE_RECORD", "MaxPayloadInMB": 6}`
		var n atomic.Int32
		c.answer = func(w http.ResponseWriter, r *http.Request) {
			if n.Add(1)%4 == 1 {
				time.Sleep(3 * time.Millisecond)
			}
			upper(w, r)
		}
	})
	if got := l.completed(); got != fmt.Sprintf("a.out=%q", want.String()) {
		t.Errorf("writes %.300s", got)
	}
	if l.container.most < 2 || l.container.most > 4 {
		t.Errorf("%d requests were under way at a time", l.container.most)
	}
}

func TestInstancesShareTheObjects(t *testing.T) {
	l := newLab(t)
	for i := range 5 {
		l.put(fmt.Sprintf("in/%d", i), fmt.Sprintf("v%d", i))
	}
	got := l.completed(func(in *sm.CreateTransformJobInput) { in.TransformResources.InstanceCount = new(int64(2)) })
	if want := `0.out="V0\n" 1.out="V1\n" 2.out="V2\n" 3.out="V3\n" 4.out="V4\n"`; got != want || len(l.container.asked()) != 5 {
		t.Errorf("writes %s, asked %q", got, l.container.asked())
	}
	n := 0
	for name := range l.logs.All() {
		if strings.HasSuffix(name, "/data-log") {
			n++
		}
	}
	if n != 2 {
		t.Errorf("%d instances had data logs", n)
	}
}

func TestManifest(t *testing.T) {
	l := newLab(t)
	l.put("data/x/1", "one")
	l.put("data/2", "two")
	l.put("manifest", `[{"prefix": "s3://bucket/data/"}, "x/1", "2", "none"]`)
	reason := l.failed(func(in *sm.CreateTransformJobInput) {
		in.TransformInput.DataSource.S3DataSource = &sm.TransformS3DataSource{S3DataType: "ManifestFile", S3Uri: "s3://bucket/manifest"}
	})
	if got := l.outputs(); got != `2.out="TWO\n" x/1.out="ONE\n"` || reason != "ClientError: See job logs for more information" {
		t.Errorf("writes %s, %s", got, reason)
	}
}

// An object that fails has no output; the others have theirs.
func TestFailures(t *testing.T) {
	refuse := func(status int, times int32) http.HandlerFunc {
		var n atomic.Int32
		return func(w http.ResponseWriter, r *http.Request) {
			text, _ := io.ReadAll(r.Body)
			if strings.Contains(string(text), "bad") && n.Add(1) <= times {
				http.Error(w, "I do not\nlike it", status)
				return
			}
			_, _ = w.Write(bytes.ToUpper(text))
		}
	}
	for _, c := range []struct {
		name   string
		answer http.HandlerFunc
		change change
		data   string
		reason string // "" for Completed
		log    string
		asked  int
	}{
		{"the container refuses", refuse(400, 100), nil, "bad", "ClientError: See job logs for more information", "[sagemaker logs]: bucket/in/b: ClientError: 400\n", 2},
		{"with its words", refuse(400, 100), nil, "bad", "ClientError: See job logs for more information", "bucket/in/b: I do not\n", 2},
		{"the container fails", refuse(500, 100), func(in *sm.CreateTransformJobInput) {
			in.ModelClientConfig = &sm.ModelClientConfig{InvocationsMaxRetries: new(int64(1))}
		}, "bad", "AlgorithmError: See job logs for more information", "bucket/in/b: AlgorithmError: 500", 3},
		{"it is asked again", refuse(503, 1), nil, "bad", "", "", 3},
		{"a record is too large", upper, func(in *sm.CreateTransformJobInput) { in.MaxPayloadInMB = new(int64(1)) }, strings.Repeat("x", 1<<20+1),
			"ClientError: See job logs for more information", "bucket/in/b: ClientError: Too much data for max payload size: a record has 1048577 bytes, the limit is 1048576 bytes", 1},
		{"a quote that is not closed", upper, func(in *sm.CreateTransformJobInput) {
			in.DataProcessing = &sm.DataProcessing{InputFilter: "$[0]", JoinSource: "Input", OutputFilter: "$[1]"}
		}, "\"x", "ClientError: See job logs for more information", "bucket/in/b: ClientError: DataProcessing: OutputFilter, record 1: JSONPath \"$[1]\"", 2},
		{"another number of answers", func(w http.ResponseWriter, r *http.Request) { _, _ = io.WriteString(w, "1\n") }, func(in *sm.CreateTransformJobInput) {
			in.DataProcessing = &sm.DataProcessing{JoinSource: "Input"}
		}, "x\ny\n", "ClientError: See job logs for more information", "bucket/in/b: ClientError: DataProcessing: the answer has 1 records, what was sent has 2", 2},
		{"a column is missing", upper, func(in *sm.CreateTransformJobInput) {
			in.DataProcessing = &sm.DataProcessing{JoinSource: "Input", OutputFilter: "$[4]"}
		}, "1,2,3,4,5", "ClientError: See job logs for more information", "bucket/in/a: ClientError: DataProcessing: OutputFilter, record 1", 2},
		{"no gzip", upper, func(in *sm.CreateTransformJobInput) { in.TransformInput.CompressionType = "Gzip" }, "x",
			"ClientError: See job logs for more information", "bucket/in/b: ClientError: the object is not a gzip file", 0},
		{"half a gzip file", upper, func(in *sm.CreateTransformJobInput) { in.TransformInput.CompressionType = "Gzip" }, "\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\xff\x4a",
			"ClientError: See job logs for more information", "bucket/in/b: ClientError: unexpected EOF", 0},
		{"a gzip file that is broken", upper, func(in *sm.CreateTransformJobInput) { in.TransformInput.CompressionType = "Gzip" }, "\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\xff\xff\xff\xff",
			"ClientError: See job logs for more information", "bucket/in/b: ClientError: flate: corrupt input", 0},
		{"it does not answer in time", func(w http.ResponseWriter, r *http.Request) {
			if text, _ := io.ReadAll(r.Body); string(text) == "bad" {
				<-r.Context().Done()
			}
		}, func(in *sm.CreateTransformJobInput) {
			in.ModelClientConfig = &sm.ModelClientConfig{InvocationsMaxRetries: new(int64(0)), InvocationsTimeoutInSeconds: new(int64(1))}
		}, "bad", "AlgorithmError: See job logs for more information", "bucket/in/b: AlgorithmError: the container did not answer within 1s", 2},
	} {
		t.Run(c.name, func(t *testing.T) {
			l := newLab(t)
			l.put("in/a", "good")
			l.put("in/b", c.data)
			l.container.set(func(k *container) { k.answer = c.answer })
			if c.change == nil {
				c.change = func(*sm.CreateTransformJobInput) {}
			}
			l.create(l.request("job", c.change))
			d := l.settled("job")
			if d.FailureReason != c.reason || (d.TransformJobStatus == Completed) != (c.reason == "") {
				t.Errorf("%s: %q", d.TransformJobStatus, d.FailureReason)
			}
			if strings.Contains(l.outputs(), "b.out") != (c.reason == "" || strings.Contains(c.log, "in/a")) {
				t.Errorf("outputs are %.200s", l.outputs())
			}
			if !strings.Contains(l.stream("/data-log"), c.log) {
				t.Errorf("the data log is %s", l.stream("/data-log"))
			}
			if n := len(l.container.asked()); n != c.asked {
				t.Errorf("asked %d times, want %d", n, c.asked)
			}
		})
	}
}

func TestPipeline(t *testing.T) {
	l := newLab(t)
	l.models["model"] = &sm.DescribeModelOutput{ModelName: "model", ExecutionRoleArn: goodRole,
		Containers: []sm.ContainerDefinition{{Image: goodImage}, {Image: goodImage, ContainerHostname: "second"}, {Image: goodImage}}}
	l.container.set(func(c *container) {
		c.answer = func(w http.ResponseWriter, r *http.Request) {
			text, _ := io.ReadAll(r.Body)
			w.Header().Set("Content-Type", r.Header.Get("Content-Type")+"+")
			_, _ = w.Write(append(text, text...))
		}
	})
	for _, payload := range []int64{6, 0} { // in memory, and streamed
		t.Run(fmt.Sprint(payload), func(t *testing.T) {
			l.t = t
			l.container.set(func(c *container) { c.headers = nil })
			l.put("in/a", "xy")
			name := fmt.Sprintf("job-%d", payload)
			l.create(l.request(name, func(in *sm.CreateTransformJobInput) {
				in.TransformOutput.Accept, in.TransformOutput.S3OutputPath, in.MaxPayloadInMB = "last", "s3://bucket/out/"+name, &payload
				in.TransformOutput.AssembleWith = "None"
			}))
			if d := l.settled(name); d.TransformJobStatus != Completed {
				t.Fatalf("%s: %s", d.TransformJobStatus, l.stream("/data-log"))
			}
			if got := l.objects("out/" + name + "/"); got != `a.out="xyxyxyxyxyxyxyxy"` {
				t.Errorf("writes %s", got)
			}
			var types []string
			for _, h := range l.container.headers {
				types = append(types, h.Get("Content-Type")+" "+h.Get("Accept"))
			}
			if got := strings.Join(types, "|"); got != "text/csv |text/csv+ |text/csv++ last" {
				t.Errorf("asked with %s", got)
			}
		})
	}
}

func TestStop(t *testing.T) {
	l := newLab(t)
	l.put("in/a", "good")
	l.put("in/b", "slow")
	l.container.set(func(c *container) {
		c.answer = func(w http.ResponseWriter, r *http.Request) {
			if text, _ := io.ReadAll(r.Body); string(text) == "slow" {
				<-r.Context().Done()
			}
		}
	})
	l.create(l.request("job"))
	l.until("the slow one", func() bool { return len(l.container.asked()) == 2 })
	if _, err := call(l, sm.StopTransformJob, &sm.StopTransformJobInput{TransformJobName: "job"}); err != nil {
		t.Fatal(err)
	}
	if d := l.settled("job"); d.TransformJobStatus != Stopped || d.FailureReason != "" || d.TransformEndTime.IsZero() {
		t.Errorf("%s %s", d.TransformJobStatus, d.FailureReason)
	}
	if got := l.outputs(); got != `a.out="\n"` {
		t.Errorf("writes %s", got)
	}
	_, err := call(l, sm.StopTransformJob, &sm.StopTransformJobInput{TransformJobName: "job"})
	jobtest.Refusal(t, err, "ValidationException", "in status Stopped")
}

// After a restart of the server the objects that are done are left alone, and
// the containers are those that ran before.
func TestRestart(t *testing.T) {
	l := newLab(t)
	for _, k := range []string{"a", "b", "c"} {
		l.put("in/"+k, k)
	}
	var slow atomic.Bool
	slow.Store(true)
	l.container.set(func(c *container) {
		c.answer = func(w http.ResponseWriter, r *http.Request) {
			text, _ := io.ReadAll(r.Body)
			if string(text) == "b" && slow.Load() {
				<-r.Context().Done()
				return
			}
			_, _ = w.Write(bytes.ToUpper(text))
		}
	})
	l.create(l.request("job"))
	l.until("the second", func() bool { return len(l.container.asked()) == 2 })
	l.stop()
	running := fmt.Sprint(l.tasks.Tasks())
	slow.Store(false)
	l.run()
	l.until("the third", func() bool { return len(l.container.asked()) == 4 })
	if now := fmt.Sprint(l.tasks.Tasks()); len(l.tasks.Tasks()) > 0 && now != running {
		t.Errorf("the containers are others")
	}
	if d := l.settled("job"); d.TransformJobStatus != Completed || l.outputs() != `a.out="A\n" b.out="B\n" c.out="C\n"` {
		t.Errorf("%s, %s", d.TransformJobStatus, l.outputs())
	}
	if got := fmt.Sprint(l.container.asked()); got != "[a b b c]" {
		t.Errorf("asked for %s", got)
	}
}

func TestAContainerThatEnds(t *testing.T) {
	l := newLab(t)
	l.put("in/a", "a")
	l.container.set(func(c *container) {
		c.answer = func(w http.ResponseWriter, r *http.Request) {
			for _, k := range l.tasks.Tasks() {
				l.tasks.Kill(k.ID, 3, "")
			}
			panic(http.ErrAbortHandler)
		}
	})
	if got := l.failed(); got != "AlgorithmError: , exit code: 3" {
		t.Errorf("fails with %s", got)
	}
	if l.outputs() != "" {
		t.Errorf("writes %s", l.outputs())
	}
}

func TestTheLogIsShipped(t *testing.T) {
	l := newLab(t)
	l.put("in/a", "a")
	l.completed(func(in *sm.CreateTransformJobInput) { in.Environment["FAKE_LOG"] = "I serve" })
	found := false
	for name, lines := range l.logs.All() {
		found = found || strings.HasPrefix(name, logGroup+" job/i-0") && strings.Join(lines, "") == "I serve"
	}
	if !found {
		t.Errorf("logs are %v", l.logs.All())
	}
}

func TestDataCapture(t *testing.T) {
	l := newLab(t)
	l.put("in/a", "x\ny\n")
	got := l.completed(func(in *sm.CreateTransformJobInput) {
		in.DataCaptureConfig = &sm.BatchDataCaptureConfig{DestinationS3Uri: "s3://bucket/captured", GenerateInferenceId: new(true)}
	})
	lines := strings.Split(got, `\n`)
	for i, want := range []string{`a.out="X,`, "Y,"} {
		fields := strings.Split(lines[i], ",")
		if !strings.HasPrefix(lines[i], want) || len(fields) != 3 || len(fields[1]) != 36 {
			t.Errorf("line %d is %s", i, lines[i])
		}
		if _, err := time.Parse(time.RFC3339, fields[2]); err != nil {
			t.Error(err)
		}
	}
	sides := l.objects("captured/")
	if !strings.Contains(sides, `"[{\"prefix\":\"s3://bucket/\"},\"in/a\"]"`) || !strings.Contains(sides, `"[{\"prefix\":\"s3://bucket/\"},\"out/a.out\"]"`) ||
		!strings.HasPrefix(sides, "input/"+time.Now().UTC().Format("2006/01/02/")) {
		t.Errorf("captured %s", sides)
	}
}

func TestCreateRefuses(t *testing.T) {
	l := newLab(t)
	l.put("in/a", "x")
	l.models["direct"] = &sm.DescribeModelOutput{ModelName: "direct", ExecutionRoleArn: goodRole, InferenceExecutionConfig: &sm.InferenceExecutionConfig{Mode: "Direct"},
		Containers: []sm.ContainerDefinition{{Image: goodImage}, {Image: goodImage}}}
	l.models["multi"] = &sm.DescribeModelOutput{ModelName: "multi", ExecutionRoleArn: goodRole, PrimaryContainer: &sm.ContainerDefinition{Image: goodImage, Mode: "MultiModel", ModelDataUrl: "s3://bucket/m/"}}
	l.models["role"] = &sm.DescribeModelOutput{ModelName: "role", ExecutionRoleArn: goodRole + "-none", PrimaryContainer: &sm.ContainerDefinition{Image: goodImage}}
	filter := func(in, out, join string) change {
		return func(r *sm.CreateTransformJobInput) {
			r.DataProcessing = &sm.DataProcessing{InputFilter: in, OutputFilter: out, JoinSource: join}
		}
	}
	for text, c := range map[string]change{
		`Could not find model "none"`: func(in *sm.CreateTransformJobInput) { in.ModelName = "none" },
		"Mode is Direct":              func(in *sm.CreateTransformJobInput) { in.ModelName = "direct" },
		"multi-model container":       func(in *sm.CreateTransformJobInput) { in.ModelName = "multi" },
		"Could not assume role":       func(in *sm.CreateTransformJobInput) { in.ModelName = "role" },
		"No S3 objects found": func(in *sm.CreateTransformJobInput) {
			in.TransformInput.DataSource.S3DataSource.S3Uri = "s3://bucket/none"
		},
		"Invalid S3 output location": func(in *sm.CreateTransformJobInput) { in.TransformOutput.S3OutputPath = "s3://none/out" },
		"AugmentedManifestFile is not s": func(in *sm.CreateTransformJobInput) {
			in.TransformInput.DataSource.S3DataSource.S3DataType = "AugmentedManifestFile"
		},
		"must not exceed 100 MB: 20 * 6 is 120": func(in *sm.CreateTransformJobInput) { in.MaxConcurrentTransforms = new(int64(20)) },
		"not be greater than 100 MB: it is 101": func(in *sm.CreateTransformJobInput) { in.MaxPayloadInMB = new(int64(101)) },
		"65 Instances":                          func(in *sm.CreateTransformJobInput) { in.TransformResources.InstanceCount = new(int64(65)) },
		"Invalid DataProcessing.Input":          filter("$..a", "", ""),
		"Invalid DataProcessing.Outpu":          filter("", "x", ""),
		"does not name columns":                 filter("$.a", "", ""),
		"must be the same as Tran": func(in *sm.CreateTransformJobInput) {
			filter("", "", "Input")(in)
			in.TransformOutput.Accept = "application/json"
		},
		"cannot read answers of the type": func(in *sm.CreateTransformJobInput) {
			filter("", "$[0]", "")(in)
			in.TransformOutput.Accept = "application/x-thing"
		},
		"only for the content types": func(in *sm.CreateTransformJobInput) {
			filter("$[0]", "", "")(in)
			in.TransformInput.ContentType = "image/png"
		},
		"needs another SplitType than TFRecord": func(in *sm.CreateTransformJobInput) {
			filter("$[0]", "", "")(in)
			in.TransformInput.SplitType = "TFRecord"
		},
		"need MaxPayloadInMB above 0": func(in *sm.CreateTransformJobInput) {
			filter("$[0]", "", "")(in)
			in.MaxPayloadInMB = new(int64(0))
		},
	} {
		code := "ValidationException"
		if strings.Contains(text, "Instances") {
			code = "ResourceLimitExceeded"
		}
		_, err := call(l, sm.CreateTransformJob, l.request("refused", c))
		jobtest.Refusal(t, err, code, text)
	}
	_, err := call(l, sm.DescribeTransformJob, &sm.DescribeTransformJobInput{TransformJobName: "refused"})
	jobtest.Refusal(t, err, "ValidationException", "Could not find requested job with name: refused")
}

func TestAModelThatCannotBeHad(t *testing.T) {
	l := newLab(t)
	l.put("in/a", "x")
	l.models["model"].PrimaryContainer.ModelDataUrl = "s3://bucket/gone.tar.gz"
	if got := l.failed(); !strings.HasPrefix(got, "ClientError: Failed to download model data for container") {
		t.Errorf("fails with %s", got)
	}
}

func TestChoose(t *testing.T) {
	number := func(n float64) *float64 { return &n }
	job := func(concurrent, payload *int64, strategy string) Job {
		return Job{Doc: &sm.DescribeTransformJobOutput{MaxConcurrentTransforms: concurrent, MaxPayloadInMB: payload, BatchStrategy: strategy}}
	}
	told := parameters{number(8), strategySingle, number(10)}
	for _, c := range []struct {
		name       string
		job        Job
		told       parameters
		concurrent int
		megabytes  int
		single     bool
	}{
		{"the defaults", job(nil, nil, ""), parameters{}, 1, 6, false},
		{"what the container says", job(nil, nil, ""), told, 8, 10, true},
		{"what the request says", job(new(int64(2)), new(int64(3)), "MultiRecord"), told, 2, 3, false},
		{"0 asks the container", job(new(int64(0)), new(int64(0)), ""), told, 8, 0, true},
		{"a container wants too much", job(nil, nil, ""), parameters{number(64), "", number(500)}, 1, 100, false},
		{"all that is allowed", job(nil, nil, ""), parameters{MaxConcurrentTransforms: number(64)}, 16, 6, false},
		{"nonsense", job(nil, nil, ""), parameters{number(-3), "x", number(-1)}, 1, 6, false},
	} {
		got := choose(c.job, c.told)
		if got.concurrent != c.concurrent || got.payload != c.megabytes<<20 || got.single != c.single || got.retries != 3 || got.timeout != 10*time.Minute {
			t.Errorf("%s: %+v", c.name, got)
		}
	}
}
