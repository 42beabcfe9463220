// SPDX-License-Identifier: Apache-2.0

// Package logs is CloudWatch Logs as far as SageMaker's clients use it: groups,
// streams, events, filters and retention, in a SQLite file of its own.
//
// # How events are kept
//
// One row per event would cost an index entry and a statement for each line. So
// a row is a chunk: the events of a stream that follow each other, up to 256 KiB
// and an hour of them, with their messages compressed (zstd, fastest level).
// Each event of a stream has a number; events are ordered by time and then by
// number, the chunks of a stream never overlap in that order, and a batch that
// arrives late is merged into the chunks that it falls between. Tokens are cuts
// in this order: they stay valid when events are added or expire.
//
// Small batches, as a shipper sends that follows a quiet job, are first kept as
// they come and then merged sixteen at a time, so that a stream of single lines
// is not rewritten with each of them and yet reads as fast as any other.
//
// # Durability
//
// A write that was acknowledged survives the end of the process, kill -9
// included. What a shipper has handed over and how far it has read are written
// in one transaction, so each line is kept once.
package logs
