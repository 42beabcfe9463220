// SPDX-License-Identifier: Apache-2.0

// Package demo is the main job of SageMaker, done on real data by signed HTTP
// requests to a running server: upload, train, deploy, predict, score.
package demo

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"time"

	"github.com/sagebrush-ml/sagebrush/internal/client"
	"github.com/sagebrush-ml/sagebrush/internal/fault"
)

// Image is the image of the built-in XGBoost, as the SageMaker SDK's
// image_uris.retrieve("xgboost", "us-east-1", "1.7-1") gives it.
const Image = "683313688378.dkr.ecr.us-east-1.amazonaws.com/sagemaker-xgboost:1.7-1"

// Rounds is how many trees are grown.
const Rounds = 50

// prefix is what all names of the demonstration begin with.
const prefix = "sagebrush-demo-"

// Options of Run; Client and Account are required.
type Options struct {
	Client  *client.Client
	Account string // 12 digits; the bucket's name has it
	// Step is told what was done and how long it took.
	Step func(what string, took time.Duration)
	// Waiting is told from time to time what is being waited for.
	Waiting func(what, status string, since time.Duration)
}

// Report is what came out.
type Report struct {
	TrainingJob string       `json:"trainingJob"`
	Model       string       `json:"model"` // s3:// URI of model.tar.gz
	Endpoint    string       `json:"endpoint"`
	Curve       []Point      `json:"curve"`
	Accuracy    float64      `json:"accuracy"` // share of held-out rows
	AUC         float64      `json:"auc"`
	HeldOut     int          `json:"heldOutRows"`
	Sample      []Prediction `json:"sample"` // the first few held-out rows
}

// Prediction is a held-out row with what the model said.
type Prediction struct {
	Features string  `json:"features"` // CSV
	Score    float64 `json:"score"`    // the model's chance of benign
	Benign   bool    `json:"benign"`   // the truth
}

// Run does the main job from the upload to the score. Every run has names of
// its own, so it may be repeated; the endpoint of this run goes on serving,
// those of earlier runs are deleted.
func Run(ctx context.Context, o Options) (Report, error) {
	if o.Step == nil {
		o.Step = func(string, time.Duration) {}
	}
	if o.Waiting == nil {
		o.Waiting = func(string, string, time.Duration) {}
	}
	rows, err := Rows(breastCancer)
	if err != nil {
		return Report{}, err
	}
	var unique [3]byte
	rand.Read(unique[:])
	r := run{Options: o, sets: Split(rows), bucket: prefix + o.Account,
		name: prefix + time.Now().UTC().Format("2006-01-02-15-04-05-") + hex.EncodeToString(unique[:])}
	for _, step := range []func(context.Context) (string, error){r.upload, r.train, r.deploy, r.predict, r.tidy} {
		start := time.Now()
		what, err := step(ctx)
		if err != nil {
			return r.report, err
		}
		if what != "" {
			o.Step(what, time.Since(start))
		}
	}
	return r.report, nil
}

// run is one run on its way.
type run struct {
	Options
	sets   Sets
	bucket string
	name   string // of job, model, configuration and endpoint
	role   string
	report Report
}

func (r *run) upload(ctx context.Context) (string, error) {
	if err := r.Client.MakeBucket(ctx, r.bucket); err != nil {
		return "", err
	}
	for channel, rows := range map[string][]Row{"train": r.sets.Train, "validation": r.sets.Validation} {
		if err := r.Client.PutObject(ctx, r.bucket, "data/"+channel+"/"+channel+".csv", "text/csv", trainingCSV(rows)); err != nil {
			return "", err
		}
	}
	return fmt.Sprintf("uploaded %d rows to train and %d to validate to s3://%s/data/ (%d are held out)",
		len(r.sets.Train), len(r.sets.Validation), r.bucket, len(r.sets.HeldOut)), nil
}

func (r *run) train(ctx context.Context) (string, error) {
	var err error
	if r.role, err = r.Client.ExecutionRoleARN(ctx); err != nil {
		return "", err
	}
	channel := func(name string) map[string]any {
		return map[string]any{"ChannelName": name, "ContentType": "text/csv", "DataSource": map[string]any{"S3DataSource": map[string]any{
			"S3DataType": "S3Prefix", "S3Uri": "s3://" + r.bucket + "/data/" + name, "S3DataDistributionType": "FullyReplicated"}}}
	}
	err = r.Client.Call(ctx, client.SageMaker, "CreateTrainingJob", map[string]any{
		"TrainingJobName":        r.name,
		"AlgorithmSpecification": map[string]any{"TrainingImage": Image, "TrainingInputMode": "File"},
		"RoleArn":                r.role,
		"HyperParameters": map[string]string{"objective": "binary:logistic", "num_round": fmt.Sprint(Rounds),
			"eval_metric": "logloss,auc", "max_depth": "4", "eta": "0.2", "subsample": "0.8", "seed": "7"},
		"InputDataConfig":   []any{channel("train"), channel("validation")},
		"OutputDataConfig":  map[string]any{"S3OutputPath": "s3://" + r.bucket + "/jobs"},
		"ResourceConfig":    map[string]any{"InstanceType": "ml.m5.large", "InstanceCount": 1, "VolumeSizeInGB": 10},
		"StoppingCondition": map[string]any{"MaxRuntimeInSeconds": 600},
	}, nil)
	if err != nil {
		return "", err
	}
	r.report.TrainingJob = r.name
	var job struct {
		TrainingJobStatus, SecondaryStatus, FailureReason string
		ModelArtifacts                                    struct{ S3ModelArtifacts string }
	}
	err = r.await(ctx, "training job", func() (string, bool, error) {
		err := r.Client.Call(ctx, client.SageMaker, "DescribeTrainingJob", map[string]any{"TrainingJobName": r.name}, &job)
		switch {
		case err != nil:
		case job.TrainingJobStatus == "Failed", job.TrainingJobStatus == "Stopped":
			err = fmt.Errorf("training job %s is %s: %s", r.name, job.TrainingJobStatus, job.FailureReason)
		}
		return job.SecondaryStatus, job.TrainingJobStatus == "Completed", err
	})
	if err != nil {
		return "", err
	}
	r.report.Model = job.ModelArtifacts.S3ModelArtifacts
	if r.report.Curve, err = r.readCurve(ctx); err != nil {
		return "", err
	}
	return fmt.Sprintf("trained %s: %d rounds of XGBoost", r.name, len(r.report.Curve)), nil
}

// readCurve reads the evaluation lines from CloudWatch Logs. They may come a
// moment after the job's end.
func (r *run) readCurve(ctx context.Context) ([]Point, error) {
	const group = "/aws/sagemaker/TrainingJobs"
	var curve []Point
	err := r.await(ctx, "log", func() (string, bool, error) {
		var streams struct {
			LogStreams []struct {
				LogStreamName string `json:"logStreamName"`
			} `json:"logStreams"`
		}
		err := r.Client.Call(ctx, client.Logs, "DescribeLogStreams", map[string]any{
			"logGroupName": group, "logStreamNamePrefix": r.name + "/"}, &streams)
		if f := fault.Of(err); f != nil && f.Code == "ResourceNotFoundException" || err == nil && len(streams.LogStreams) == 0 {
			return "has no stream yet", false, nil
		}
		if err != nil {
			return "", false, err
		}
		if curve, err = r.readStream(ctx, group, streams.LogStreams[0].LogStreamName); err != nil {
			return "", false, err
		}
		return fmt.Sprintf("has %d of %d rounds", len(curve), Rounds), len(curve) >= Rounds, nil
	})
	return curve, err
}

// readStream reads the points of a whole stream, page by page: the last page's
// token is the one that it was asked with.
func (r *run) readStream(ctx context.Context, group, stream string) ([]Point, error) {
	var curve []Point
	in := map[string]any{"logGroupName": group, "logStreamName": stream, "startFromHead": true}
	for {
		var page struct {
			Events []struct {
				Message string `json:"message"`
			} `json:"events"`
			Next string `json:"nextForwardToken"`
		}
		if err := r.Client.Call(ctx, client.Logs, "GetLogEvents", in, &page); err != nil {
			return nil, err
		}
		for _, e := range page.Events {
			if p, ok := readPoint(e.Message); ok {
				curve = append(curve, p)
			}
		}
		if page.Next == "" || page.Next == in["nextToken"] {
			return curve, nil
		}
		in["nextToken"] = page.Next
	}
}

func (r *run) deploy(ctx context.Context) (string, error) {
	for _, call := range []struct {
		operation string
		in        map[string]any
	}{
		{"CreateModel", map[string]any{"ModelName": r.name, "ExecutionRoleArn": r.role,
			"PrimaryContainer": map[string]any{"Image": Image, "ModelDataUrl": r.report.Model}}},
		{"CreateEndpointConfig", map[string]any{"EndpointConfigName": r.name, "ProductionVariants": []any{map[string]any{
			"VariantName": "AllTraffic", "ModelName": r.name, "InstanceType": "ml.m5.large", "InitialInstanceCount": 1, "InitialVariantWeight": 1}}}},
		{"CreateEndpoint", map[string]any{"EndpointName": r.name, "EndpointConfigName": r.name}},
	} {
		if err := r.Client.Call(ctx, client.SageMaker, call.operation, call.in, nil); err != nil {
			return "", err
		}
	}
	var e struct{ EndpointStatus, FailureReason string }
	err := r.await(ctx, "endpoint", func() (string, bool, error) {
		err := r.Client.Call(ctx, client.SageMaker, "DescribeEndpoint", map[string]any{"EndpointName": r.name}, &e)
		if err == nil && e.EndpointStatus == "Failed" {
			err = fmt.Errorf("endpoint %s is Failed: %s", r.name, e.FailureReason)
		}
		return e.EndpointStatus, e.EndpointStatus == "InService", err
	})
	if err != nil {
		return "", err
	}
	r.report.Endpoint = r.name
	return "deployed it: endpoint " + r.name + " is InService", nil
}

func (r *run) predict(ctx context.Context) (string, error) {
	held := r.sets.HeldOut
	answer, err := r.Client.InvokeEndpoint(ctx, r.name, "text/csv", "text/csv", featuresCSV(held))
	if err != nil {
		return "", err
	}
	scores, err := readScores(answer, len(held))
	if err != nil {
		return "", err
	}
	benign := make([]bool, len(held))
	for i, row := range held {
		benign[i] = row.Label == "1"
		if i < 5 {
			r.report.Sample = append(r.report.Sample, Prediction{Features: row.Features, Score: scores[i], Benign: benign[i]})
		}
	}
	r.report.HeldOut, r.report.Accuracy, r.report.AUC = len(held), accuracy(scores, benign), auc(scores, benign)
	return fmt.Sprintf("asked it for the %d held-out rows", len(held)), nil
}

// await asks look until it is done and tells Waiting about every three seconds
// what the status is.
func (r *run) await(ctx context.Context, what string, look func() (status string, done bool, err error)) error {
	return poll(ctx, what+" "+r.name, look, func(status string, since time.Duration) { r.Waiting(what, status, since) })
}
