// SPDX-License-Identifier: Apache-2.0

// Package training runs training jobs.
//
// A job is one record, the document that DescribeTrainingJob answers, and one
// task. CreateTrainingJob checks and stores it; the loop takes it from there:
//
//	Starting ──▶ Downloading ──▶ Training ──▶ Uploading ──▶ Completed | Failed
//	                 └──────── Stopping ◀──┘ ──▶ Stopped (MaxRuntimeExceeded)
//
// Downloading makes the job's /opt/ml: what the channels ask for is mounted or
// linked where it lies on this machine, copied where not. Training is the task;
// its log is shipped to the stream {job}/algo-1-{seconds} while it runs, and
// its metrics are read from the lines. Uploading packs /opt/ml/model. The last
// write to the record comes when all of that is kept, so who sees a settled job
// sees its model, its log and its metrics.
//
// Each step may be cut off by a crash and is then taken again: the task, the
// working folder, the stream and the objects have names that follow from the
// job's ARN and time of creation, and the record alone says how far the job is.
//
// The operations are described in AWS's API reference under
// API_CreateTrainingJob and its neighbours.
package training
