// SPDX-License-Identifier: Apache-2.0

package firstparty

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/sagebrush-ml/sagebrush/internal/algo"
)

// Report writes the lines of a training job's log that people and metric
// definitions look for.
type Report struct {
	in        algo.Input
	algorithm string
	began     time.Time
	now       func() time.Time
}

// Begin writes the lines with which a job begins. algorithm is what the lines of
// metrics call it: "AWS/KMeansWebscale".
func Begin(in algo.Input, algorithm string) *Report {
	r := &Report{in: in, algorithm: algorithm, now: time.Now}
	r.began = r.now()
	in.Print("Docker entrypoint called with argument(s): train")
	in.Print("Running default environment configuration script")
	r.Info("Merging with provided configuration from /opt/ml/input/config/hyperparameters.json: %s", dict(in.Params.Given()))
	r.Info("Final configuration: %s", dict(in.Params.Values()))
	r.Info("Using default worker.")
	r.Info("Number of GPUs being used: 0")
	if len(in.Hosts) > 1 {
		r.Info("Training on %d hosts: %s", len(in.Hosts), strings.Join(in.Hosts, ", "))
	}
	return r
}

// dict writes m as Python does.
func dict(m map[string]string) string {
	var b strings.Builder
	b.WriteByte('{')
	for i, name := range slices.Sorted(maps.Keys(m)) {
		if i > 0 {
			b.WriteString(", ")
		}
		fmt.Fprintf(&b, "'%s': '%s'", name, strings.ReplaceAll(m[name], "'", `\'`))
	}
	return b.String() + "}"
}

// Info writes a line for people.
func (r *Report) Info(format string, args ...any) { r.line("INFO", format, args...) }

// Warn is Info of a warning.
func (r *Report) Warn(format string, args ...any) { r.line("WARNING", format, args...) }

func (r *Report) line(level, format string, args ...any) {
	r.in.Print("[%s %s 140037024819008] %s", r.now().UTC().Format("01/02/2006 15:04:05"), level, fmt.Sprintf(format, args...))
}

func number(v float64) string { return string(algo.AppendNumber64(nil, v)) }

// Final writes a measure of the finished model on a channel.
func (r *Report) Final(channel string, m Measure, v float64) { r.quality("", channel, m, v) }

// Epoch writes a measure after an epoch, which counts from 0.
func (r *Report) Epoch(epoch int, channel string, m Measure, v float64) {
	r.quality(fmt.Sprintf("epoch=%d, ", epoch), channel, m, v)
}

// Batch writes a measure after a batch of an epoch.
func (r *Report) Batch(epoch, batch int, channel string, m Measure, v float64) {
	r.quality(fmt.Sprintf("epoch=%d, batch=%d ", epoch, batch), channel, m, v)
}

func (r *Report) quality(when, channel string, m Measure, v float64) {
	r.Info("#quality_metric: host=%s, %s%s %s <%s>=%s", r.in.Host, when, channel, m.Name, m.tag(), number(v))
}

// Score writes a figure of the finished model on a channel: "#test_score".
func (r *Report) Score(channel, name string, v float64) {
	r.Info("#%s_score (%s) : ('%s', %s)", channel, r.in.Host, name, number(v))
}

// Progress says how many of all epochs are done.
func (r *Report) Progress(done, all int) {
	r.Info("#progress_metric: host=%s, completed %s %% of epochs", r.in.Host, number(100*float64(done)/float64(max(all, 1))))
}

// Throughput says how many records were learned from in some time.
func (r *Report) Throughput(records int, took time.Duration) {
	r.Info("#throughput_metric: host=%s, train throughput=%s records/second", r.in.Host, number(float64(records)/max(took.Seconds(), 1e-6)))
}

// Counts writes the "#metrics" line of so many records and batches of an epoch.
func (r *Report) Counts(epoch, records, batches int) {
	r.metrics(map[string]any{"epoch": epoch, "Meta": "training_data_iter"}, map[string]float64{
		"Total Records Seen": float64((epoch + 1) * records), "Total Batches Seen": float64((epoch + 1) * batches),
		"Max Records Seen Between Resets": float64(records), "Max Batches Seen Between Resets": float64(batches),
		"Number of Records Since Last Reset": float64(records), "Number of Batches Since Last Reset": float64(batches),
		"Reset Count": float64(epoch + 1),
	})
}

// End writes the "#metrics" line of the whole job, and that there is no channel
// test where there is none.
func (r *Report) End() {
	if _, ok := r.in.Channels["test"]; !ok {
		r.Info("Test data is not provided.")
	}
	r.metrics(nil, map[string]float64{"totaltime": float64(r.now().Sub(r.began).Microseconds()) / 1000})
}

// summary is how a "#metrics" line tells of values: here of one.
type summary struct {
	Sum   float64 `json:"sum"`
	Count float64 `json:"count"`
	Min   float64 `json:"min"`
	Max   float64 `json:"max"`
}

func (r *Report) metrics(more map[string]any, values map[string]float64) {
	dims := map[string]any{"Algorithm": r.algorithm, "Host": r.in.Host, "Operation": "training"}
	maps.Copy(dims, more)
	all := make(map[string]summary, len(values))
	for name, v := range values {
		all[name] = summary{v, 1, v, v}
	}
	end := float64(r.now().UnixMicro()) / 1e6
	b, err := json.Marshal(map[string]any{
		"StartTime": float64(r.began.UnixMicro()) / 1e6, "EndTime": end, "Dimensions": dims, "Metrics": all,
	})
	if err != nil {
		r.Warn("metrics could not be written: %v", err)
		return
	}
	r.in.Print("#metrics %s", b)
}
