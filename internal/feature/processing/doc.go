// SPDX-License-Identifier: Apache-2.0

// Package processing runs processing jobs: any container or script on data that
// comes from S3 and goes back there.
//
// A job is one record, the document that DescribeProcessingJob answers, and one
// task on each of its hosts:
//
//	InProgress ──▶ Completed | Failed
//	      └──▶ Stopping ──▶ Stopped
//
// Its inputs are staged below /opt/ml/processing, mounted where they lie on this
// machine, copied where not; the tasks run; the folders of its outputs are
// uploaded at the end, or all the time. The last write to the record comes when
// all is kept. As in training each step may be cut off by a crash and is then
// taken again.
//
// The operations are described in AWS's API reference under
// API_CreateProcessingJob and its neighbours, the container's contract under
// "Build Your Own Processing Container".
package processing
