// SPDX-License-Identifier: Apache-2.0

// Package firstparty is what Amazon's own built-in algorithms, k-means to IP
// Insights, have in common: hidden hyperparameters, the lines of their logs with
// the regular expressions that find metrics in them, and the layout of answers.
//
// Source: "Common Information About Built-in Algorithms" in the SageMaker
// developer guide, and the public logs of its examples.
package firstparty

import "github.com/sagebrush-ml/sagebrush/internal/algo"

// Hidden are the hyperparameters that all of them take and the pages do not
// tell. Only _tuning_objective_metric, which a tuning job sets, is of a service;
// the others are about the machinery of the containers and have no effect.
func Hidden() []algo.Param {
	none := "no effect"
	return []algo.Param{
		algo.TextParam("_tuning_objective_metric", "", "metric that a tuning job watches"),
		algo.IntParam("_num_gpus", "auto", new(0.0), nil, none).OrAuto(),
		algo.IntParam("_num_kv_servers", "auto", new(0.0), nil, none).OrAuto(),
		algo.EnumParam("_kvstore", "auto", none, "auto", "dist_async", "dist_sync", "local", "device"),
		algo.EnumParam("_log_level", "info", none, "debug", "info", "warn", "warning", "error", "critical"),
		algo.TextParam("_data_format", "record", none),
		algo.BoolParam("_enable_profiler", "false", none),
		algo.BoolParam("_disable_wait_to_read", "false", none),
		algo.IntParam("_num_slices", "1", new(1.0), nil, none),
	}
}

// Measure is something that is measured of a model.
type Measure struct {
	Name     string // "msd"; in lines as it stands
	Maximize bool
}

// Loss is a Measure to be minimised.
func Loss(name string) Measure { return Measure{Name: name} }

// Score is a Measure to be maximised.
func Score(name string) Measure { return Measure{Name: name, Maximize: true} }

func (m Measure) tag() string {
	if m.Maximize {
		return "score"
	}
	return "loss"
}

// Final is the metric channel:m of a line that Report.Final writes. In its
// regular expression \S+ may stand for a part of m.Name that varies; name is then
// the metric's, "" for m.Name.
func Final(channel string, m Measure, name string) algo.Metric {
	return metric(channel, m, name, "")
}

// Epoch is Final of a line that Report.Epoch writes.
func Epoch(channel string, m Measure, name string) algo.Metric {
	return metric(channel, m, name, `epoch=\S+, `)
}

// Batch is Final of a line that Report.Batch writes.
func Batch(channel string, m Measure, name string) algo.Metric {
	return metric(channel, m, name, `epoch=\S+, batch=\S+ `)
}

func metric(channel string, m Measure, name, when string) algo.Metric {
	if name == "" {
		name = m.Name
	}
	return algo.Metric{
		Name:     channel + ":" + name,
		Regex:    `#quality_metric: host=\S+, ` + when + channel + " " + m.Name + " <" + m.tag() + `>=(\S+)`,
		Maximize: m.Maximize,
	}
}

// Common are the metrics that all of them have.
func Common() []algo.Metric {
	return []algo.Metric{
		{Name: "train:progress", Regex: `#progress_metric: host=\S+, completed (\S+) %`, Maximize: true},
		{Name: "train:throughput", Regex: `#throughput_metric: host=\S+, train throughput=(\S+) records/second`, Maximize: true},
	}
}
