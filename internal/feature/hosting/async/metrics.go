// SPDX-License-Identifier: Apache-2.0

package async

import (
	"context"
	"fmt"
	"time"

	"github.com/sagebrush-ml/sagebrush/internal/telemetry"
)

const namespace = "AWS/SageMaker"

func dims(ep Endpoint, variant string) []telemetry.Dimension {
	return []telemetry.Dimension{{Name: "EndpointName", Value: ep.Name}, {Name: "VariantName", Value: variant}}
}

// count puts what a settled request has cost, and its line in the data log.
// Source: "Monitor asynchronous endpoint", whose names these are, the three s of
// one of them included.
func (q *Queue) count(ctx context.Context, j *job, o *outcome, now time.Time) {
	ep, at := j.lane.ep, dims(j.lane.ep, o.variant)
	var data []telemetry.Datum
	add := func(name, unit string, v float64) {
		data = append(data, telemetry.Datum{Name: name, Dimensions: at, Time: now, Unit: unit, Value: v})
	}
	one := func(name string, is bool) {
		if is {
			add(name, "Count", 1)
		}
	}
	micros := func(name string, d time.Duration) { add(name, "Microseconds", float64(max(d, 0).Microseconds())) }
	total := now.Sub(j.Received)
	if o.status == expired {
		one("ExpiredRequests", true)
	} else {
		one("InvocationsProcesssed", true)
		one("InvocationFailures", o.status == failed)
		one("RequestDownloadFailures", o.downloadFailed)
		one("ResponseUploadFailures", o.uploadFailed)
		if !o.downloadFailed {
			micros("RequestDownloadLatency", o.download)
		}
		if o.wrote && !o.uploadFailed {
			micros("ResponseUploadLatency", o.upload)
		}
	}
	if o.status == completed {
		add("TotalProcessingTime", "Milliseconds", float64(max(total, 0).Milliseconds()))
		add("TimeInBacklog", "Milliseconds", float64(max(o.waited, 0).Milliseconds()))
	}
	q.putData(ctx, ep, data)
	if q.Logs == nil || o.instance == "" {
		return
	}
	text := fmt.Sprintf("ModelLatency: %d us, RequestDownloadLatency: %d us, ResponseUploadLatency: %d us, TimeInBacklog: %d ms, TotalProcessingTime: %d ms",
		max(o.model, 0).Microseconds(), max(o.download, 0).Microseconds(), max(o.upload, 0).Microseconds(), max(o.waited, 0).Milliseconds(), max(total, 0).Milliseconds())
	if o.status == completed {
		text = "Inference request succeeded. " + text
	} else {
		text = "Inference request failed. " + o.reason + " " + text
	}
	text = now.UTC().Format(eventTime) + ":[sagemaker logs] [" + j.InferenceID + "] " + text
	err := q.Logs.Append(ctx, telemetry.Stream{Account: ep.Account, Region: ep.Region, Group: "/aws/sagemaker/Endpoints/" + ep.Name,
		Name: o.variant + "/" + o.instance + "/data-log"}, 0, 0, []telemetry.Event{{Time: now, Message: text}})
	if err != nil {
		q.Log.Warn("data log of an asynchronous endpoint not written", "name", ep.Name, "err", err)
	}
}

func (q *Queue) countNotificationFailure(ctx context.Context, l letter) {
	ep := Endpoint{Account: l.account, Region: l.region, Name: l.endpoint}
	q.putData(ctx, ep, []telemetry.Datum{{Name: "NotificationFailures", Dimensions: dims(ep, l.variant), Time: q.Now(), Unit: "Count", Value: 1}})
}

func (q *Queue) putData(ctx context.Context, ep Endpoint, data []telemetry.Datum) {
	if q.Metrics == nil || len(data) == 0 {
		return
	}
	if err := q.Metrics.Put(ctx, ep.Account, ep.Region, namespace, data); err != nil {
		q.Log.Warn("metrics of an asynchronous endpoint not stored", "name", ep.Name, "err", err)
	}
}

// gauge measures the backlog of each endpoint, those without any too: scaling
// to zero goes by that.
func (q *Queue) gauge(ctx context.Context, on Instances) error {
	tick := time.NewTicker(gaugeEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-tick.C:
		}
		for _, ep := range on.Endpoints() {
			b, err := q.Backlog(ctx, ep)
			if err != nil {
				if ctx.Err() == nil {
					q.Log.Warn("backlog of an asynchronous endpoint not measured", "name", ep.Name, "err", err)
				}
				continue
			}
			q.putData(ctx, ep, gauges(ep, b, on.Count(ep), q.Now()))
		}
	}
}

// gauges are an endpoint's metrics of its backlog. Without instances all of the
// backlog counts as one instance's.
func gauges(ep Endpoint, b Backlog, instances int, now time.Time) []telemetry.Datum {
	age, without := 0.0, 0.0
	if !b.Oldest.IsZero() {
		age = max(now.Sub(b.Oldest).Seconds(), 0)
	}
	if b.Size() > 0 && instances == 0 {
		without = 1
	}
	at := []telemetry.Dimension{{Name: "EndpointName", Value: ep.Name}}
	return []telemetry.Datum{
		{Name: "ApproximateBacklogSize", Dimensions: at, Time: now, Unit: "Count", Value: float64(b.Size())},
		{Name: "ApproximateBacklogSizePerInstance", Dimensions: at, Time: now, Unit: "Count", Value: float64(b.Size()) / float64(max(instances, 1))},
		{Name: "ApproximateAgeOfOldestRequest", Dimensions: at, Time: now, Unit: "Seconds", Value: age},
		{Name: "HasBacklogWithoutCapacity", Dimensions: at, Time: now, Unit: "Count", Value: without},
	}
}
