// SPDX-License-Identifier: Apache-2.0

// Package transform runs batch transform jobs: each object below an S3 prefix
// is sent to a model, and the answers are written beside one another.
//
// A job is one record, the document that DescribeTransformJob answers, with a
// copy of the model, and on each of its instances one serving task for each of
// the model's containers:
//
//	InProgress ──▶ Completed | Failed
//	      └──▶ Stopping ──▶ Stopped
//
// The plan says which instance has which objects. The containers are started,
// and an agent in this server asks each instance for /ping and
// /execution-parameters, cuts its objects into mini-batches (package batch),
// posts them to /invocations, several at a time where that is asked for, and
// writes the answers in the order of the records. An output appears whole or not
// at all, and a journal tells which objects are done: after a crash of the
// server the containers still run, and the agents go on with the objects that
// are not.
//
// The operations are described in AWS's API reference under
// API_CreateTransformJob and its neighbours, the container's contract under "Use
// Your Own Inference Code with Batch Transform".
package transform
