// SPDX-License-Identifier: Apache-2.0

// Package sqs is Amazon SQS: standard and FIFO queues in a SQLite file of their
// own. Here arrive what topics of neighbor/sns send, and what users send
// themselves.
//
// # How messages are kept
//
// A message is a row, and visible is the time from which it may be received: a
// delay, a visibility timeout and a message that was given back are all one
// number. A receive adds to received, which is also the generation of the
// receipt handle, so that a handle of an earlier receive is known to be old.
//
// Whoever polls waits for the queue's channel, which a send closes, and for the
// next visible, whichever is first; nothing is asked for in a loop.
//
// # Durability
//
// A message whose send was answered survives the end of the process, kill -9
// included, and so does a delete. A message that was received and not deleted
// comes back when its visibility timeout has passed, whether the server went
// down meanwhile or not.
package sqs
