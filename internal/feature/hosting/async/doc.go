// SPDX-License-Identifier: Apache-2.0

// Package async is the queue behind InvokeEndpointAsync. A request is in a
// SQLite file before its caller is answered; it is taken in order when an
// instance has room, its input comes from the object store, its result goes
// there, and then it is settled: one transaction removes it and notes what is to
// be told to whom. So a server that is killed at any moment runs again what was
// under way, writes the same objects, and settles each request once.
//
// What runs the requests is the endpoint's business: hosting fills Instances.
// Who is told is the topics': neighbor/sns is a Notifier, and a notification
// stays in the file until the topic has it.
//
// Source: "Asynchronous inference" in the developer guide.
package async
