// SPDX-License-Identifier: Apache-2.0

// Package feed is Pipe mode: it streams a channel's data to a training container
// through FIFOs, one for each epoch, so that the container reads at once and
// nothing is copied to its disk.
//
// # Who does what
//
// The server writes a list of what to send (WriteList) and a Spec, and makes the
// first FIFOs (Prepare). A process of its own, `sagebrush feed SPEC.json`, runs
// beside the container and feeds it (Run); being no part of the server it lives
// on when the server is killed.
//
// # What the container sees
//
// In /opt/ml/input/data (Channel.Dir outside) there is the FIFO train_0 before
// the container begins. When it opens that one, train_1 is made, and all data is
// written to train_0, object after object in the order of the list; then comes
// the end of the file. So it goes on with train_1, train_2, without end. A reader
// may close before the end: the epoch is over then. Each FIFO is removed when its
// epoch is over, so that opening it again fails and does not wait for ever.
//
// # How a failure is told
//
// A reader cannot tell the end of the data from that of its feeder: both are an
// end of file. So the feeder's exit code says it. It is 0 only when the feeder
// was told to stop (SIGTERM) and each end of file that a reader may have seen was
// the end of an epoch. Whoever runs the two stops the feeder when the container
// has ended, waits for its exit code, and takes the container's work for good
// only if that is 0. A feeder that fails does so before the container's end, which
// is then the job's: Spec.Failure says why, written before any FIFO is closed.
//
// Source: "Use Pipe mode" under "How Amazon SageMaker AI Provides Training
// Information" and API_Channel (RecordWrapperType, ShuffleConfig) in the AWS
// documentation. That FIFOs are removed is ours: the documentation does not say.
package feed
