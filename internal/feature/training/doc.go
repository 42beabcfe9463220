// SPDX-License-Identifier: Apache-2.0

// Package training runs training jobs.
//
// A job is one record, the document that DescribeTrainingJob answers, and one
// task on each of its hosts. CreateTrainingJob checks and stores it; the loop
// takes it from there:
//
//	Starting ──▶ Downloading ──▶ Training ──▶ Uploading ──▶ Completed | Failed
//	   ▲             └─────── Stopping ◀─┤ ──▶ Stopped (MaxRuntimeExceeded)
//	   └── Interrupted | Restarting ◀────┘
//
// Downloading makes each host's /opt/ml: what the channels ask for is mounted or
// linked where it lies on this machine, copied where not, or fed through pipes
// by a task beside the host's. The user's code is fetched and the image made
// ready. Training is the tasks; their logs are shipped to one stream for each
// host while they run, metrics are read from the lines, checkpoints kept. When
// one host fails all end. Uploading packs /opt/ml/model. The last write to the
// record comes when all of that is kept, so who sees a settled job sees its
// model, its log and its metrics.
//
// A run from Starting on is an attempt. Under managed spot training an attempt
// that is interrupted, and with a RetryStrategy one that the machine has lost,
// is followed by another, which finds the checkpoints.
//
// Each step may be cut off by a crash and is then taken again: the tasks, the
// working folder, the streams and the objects have names that follow from the
// job's ARN, time of creation and attempt, and the record alone says how far the
// job is.
//
// The operations are described in AWS's API reference under
// API_CreateTrainingJob and its neighbours.
package training
