// SPDX-License-Identifier: Apache-2.0

package main

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"github.com/sagebrush-ml/sagebrush/internal/client"
	"github.com/sagebrush-ml/sagebrush/internal/fault"
)

type logsCmd struct {
	homeFlags
	Name   string `arg:"" name:"job" help:"Name of a training, processing or transform job, or of an endpoint."`
	Follow bool   `short:"f" help:"Go on with what is printed later, until the job ends."`
	Since  string `placeholder:"TIME" help:"Leave out what is older: 10m, 2h, or 2026-11-25T13:00:00Z."`
	Host   string `aliases:"stream" placeholder:"HOST" help:"Only one host of several: algo-2, or an endpoint's variant or instance."`
	NoTime bool   `name:"no-time" help:"Print the lines without their times."`
	Kind   string `enum:",training,processing,transform,endpoint" default:"" placeholder:"KIND" help:"What is meant where several have the name: training, processing, transform or endpoint."`
	Region string `placeholder:"REGION" help:"Region of the job; the home's own by default."`
}

// Help is the text below the usage.
func (logsCmd) Help() string {
	return `Prints the log of a job or an endpoint: of all its hosts, in the order of time. Where there are several hosts each line begins with its own.

With -f it goes on until the job has ended; its exit code is then 0 if the job has completed and 1 if it has not. An endpoint's log goes on until the endpoint is deleted. Ctrl-C ends it and leaves the job running.

Examples:

  sagebrush logs -f churn-2026-11-25
  sagebrush logs --since 10m --host algo-2 churn-2026-11-25`
}

// Run prints the log.
func (c *logsCmd) Run() error {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	cl, err := c.connect(ctx, c.Region)
	if err != nil {
		return err
	}
	err = c.print(ctx, cl, os.Stdout, os.Stderr)
	if ctx.Err() != nil {
		return exitError(exitInterrupted) // the usual way to end a log that goes on needs no word
	}
	return err
}

// print writes the log to out and what there is to say about it to notes.
func (c *logsCmd) print(ctx context.Context, cl *client.Client, out, notes io.Writer) error {
	since, err := parseSince(c.Since, time.Now())
	if err != nil {
		return err
	}
	w, others, err := c.find(ctx, cl)
	if err != nil {
		return err
	}
	for _, k := range others {
		fmt.Fprintf(notes, "sagebrush: this is the %s; --kind %s shows the %s of that name\n", w.noun, k.kind, k.noun)
	}
	r := &logReader{client: cl, work: w, since: since, host: c.Host, noTime: c.NoTime, out: out}
	if err := r.round(ctx); err != nil {
		return err
	}
	done, answered := w.ended(), time.Now()
	for c.Follow && !done {
		if err := pause(ctx, r.pause()); err != nil {
			return err
		}
		err := w.look(ctx, cl)
		if err == nil {
			err = r.round(ctx)
		}
		switch {
		case err == nil:
			done, answered = w.ended(), time.Now()
		case fault.Of(err) != nil || ctx.Err() != nil || time.Since(answered) > restartTime:
			return err
		}
	}
	switch {
	case len(r.streams) == 0 && c.Host != "":
		fmt.Fprintf(notes, "sagebrush: the %s %s has no log of %s\n", w.noun, w.name, c.Host)
	case len(r.streams) == 0:
		fmt.Fprintf(notes, "sagebrush: the %s %s has no log yet\n", w.noun, w.name)
	}
	if c.Follow {
		return w.outcome(notes)
	}
	return nil
}

// restartTime is how long a server that does not answer may take to come back
// before a log that is followed ends.
const restartTime = 30 * time.Second

// parseSince reads a time, or how long ago it was. The empty text is the
// beginning of all times.
func parseSince(text string, now time.Time) (time.Time, error) {
	if text == "" {
		return time.UnixMilli(0), nil
	}
	if ago, err := time.ParseDuration(text); err == nil {
		return now.Add(-ago), nil
	}
	for _, layout := range []string{time.RFC3339, "2006-01-02T15:04:05", "2006-01-02 15:04:05", time.DateOnly} {
		if t, err := time.ParseInLocation(layout, text, time.Local); err == nil {
			return t, nil
		}
	}
	return time.Time{}, fmt.Errorf("--since %s is neither a duration such as 10m nor a time such as 2026-11-25T13:00:00Z", text)
}

// pause waits, unless ctx is done before.
func pause(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// workKind is a kind of what has a log.
type workKind struct {
	kind, noun, operation, member, group string
}

// workKinds are asked in this order. An endpoint has a group of its own.
var workKinds = []workKind{
	{"training", "training job", "DescribeTrainingJob", "TrainingJobName", "/aws/sagemaker/TrainingJobs"},
	{"processing", "processing job", "DescribeProcessingJob", "ProcessingJobName", "/aws/sagemaker/ProcessingJobs"},
	{"transform", "transform job", "DescribeTransformJob", "TransformJobName", "/aws/sagemaker/TransformJobs"},
	{"endpoint", "endpoint", "DescribeEndpoint", "EndpointName", "/aws/sagemaker/Endpoints/"},
}

func (k workKind) endpoint() bool { return strings.HasSuffix(k.group, "/") }

// work is a job or an endpoint, as it was when it was looked at.
type work struct {
	workKind
	name      string
	status    string // "" when it is gone
	reason    string
	instances int
}

// find finds what has the name, and the other kinds of what has it too. A job
// that was deleted is found by the log that it has left.
func (c *logsCmd) find(ctx context.Context, cl *client.Client) (found *work, others []workKind, err error) {
	logged := func(w *work) (bool, error) {
		streams, err := w.streams(ctx, cl)
		return len(streams) > 0, err
	}
	for _, there := range []func(w *work) (bool, error){
		func(w *work) (bool, error) { return w.status != "", nil }, logged,
	} {
		for _, k := range workKinds {
			if c.Kind != "" && c.Kind != k.kind {
				continue
			}
			w := &work{workKind: k, name: c.Name}
			if err := w.look(ctx, cl); err != nil {
				return nil, nil, err
			}
			ok, err := there(w)
			switch {
			case err != nil:
				return nil, nil, err
			case ok && found == nil:
				found = w
			case ok:
				others = append(others, k)
			}
		}
		if found != nil {
			return found, others, nil
		}
	}
	kind := "training, processing or transform job and no endpoint"
	for _, k := range workKinds {
		if k.kind == c.Kind {
			kind = k.noun
		}
	}
	return nil, nil, fmt.Errorf("there is no %s called %s", kind, c.Name)
}

// look asks how it stands.
func (w *work) look(ctx context.Context, cl *client.Client) error {
	var d struct {
		TrainingJobStatus, ProcessingJobStatus, TransformJobStatus, EndpointStatus string
		FailureReason                                                              string
		ResourceConfig                                                             struct {
			InstanceCount  int
			InstanceGroups []struct{ InstanceCount int }
		}
		ProcessingResources struct{ ClusterConfig struct{ InstanceCount int } }
		TransformResources  struct{ InstanceCount int }
	}
	err := cl.Call(ctx, client.SageMaker, w.operation, map[string]string{w.member: w.name}, &d)
	if f := fault.Of(err); f != nil {
		switch f.Code {
		case "ValidationException", "ResourceNotFound", "NotImplementedException": // no such thing, or none of this kind
			w.status = ""
			return nil
		}
	}
	if err != nil {
		return err
	}
	w.status = cmp.Or(d.TrainingJobStatus, d.ProcessingJobStatus, d.TransformJobStatus, d.EndpointStatus)
	w.reason = d.FailureReason
	w.instances = max(d.ResourceConfig.InstanceCount, d.ProcessingResources.ClusterConfig.InstanceCount, d.TransformResources.InstanceCount)
	for _, g := range d.ResourceConfig.InstanceGroups {
		w.instances += g.InstanceCount
	}
	return nil
}

// ended reports whether nothing more will be printed.
func (w *work) ended() bool {
	switch w.status {
	case "", "Completed", "Stopped":
		return true
	case "Failed":
		return !w.endpoint() // instances of an endpoint that failed may go on
	}
	return false
}

// outcome is what the command ends with when the work has ended.
func (w *work) outcome(notes io.Writer) error {
	if w.status == "Completed" || w.status == "" {
		return nil
	}
	text := fmt.Sprintf("sagebrush: the %s %s is %s", w.noun, w.name, w.status)
	if w.reason != "" {
		text += ": " + w.reason
	}
	fmt.Fprintln(notes, text)
	return exitError(exitFailed)
}

// streams are the names of its log streams.
func (w *work) streams(ctx context.Context, cl *client.Client) ([]string, error) {
	in := map[string]string{"logGroupName": w.group, "logStreamNamePrefix": w.name + "/"}
	if w.endpoint() {
		in = map[string]string{"logGroupName": w.logGroup()}
	}
	var names []string
	for {
		var page struct {
			LogStreams []struct{ LogStreamName string }
			NextToken  string
		}
		err := cl.Call(ctx, client.Logs, "DescribeLogStreams", in, &page)
		if f := fault.Of(err); f != nil && f.Code == "ResourceNotFoundException" {
			return nil, nil // the group comes with the first stream
		}
		if err != nil {
			return nil, err
		}
		for _, s := range page.LogStreams {
			names = append(names, s.LogStreamName)
		}
		if page.NextToken == "" {
			return names, nil
		}
		in["nextToken"] = page.NextToken
	}
}

func (w *work) logGroup() string {
	if w.endpoint() {
		return w.group + w.name
	}
	return w.group
}
