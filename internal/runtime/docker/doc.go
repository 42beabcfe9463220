// SPDX-License-Identifier: Apache-2.0

// Package docker runs tasks as containers of a Docker Engine.
//
// # Who knows what
//
// The engine is the store: a task is the container named after it, and what is
// asked of a task is answered from the engine's own account. So a new server
// needs to find nothing again, and tasks go on while there is none. In
// Options.Dir lies a note for each task, with what an engine does not keep:
//
//	<Dir>/<id>.json  when to kill a task that was asked to stop; what it writes to; why it was ended by us
//
// It is written before anything is made in the engine and goes when all is
// removed. A task without a note is Missing, which can be told without the
// engine: what runs elsewhere must not wait for it.
//
// Labels tell containers, networks and volumes of this home from all others;
// nothing without them is ever touched.
//
//	sagebrush.home   digest of Options.Name
//	sagebrush.task   the task's ID
//	sagebrush.net    the task's network, if it is one that we made
//
// # Life of a task
//
// Start makes the container and starts it. A container that was made and not
// started, because the server was killed between the two, counts as Missing:
// Start starts it. One that the engine could not start, or that has ended, is
// Exited for good.
//
// The engine's init (tini) is the first process: it passes SIGTERM on, reaps
// orphans, and makes that SIGTERM ends a command that does not care for it.
// Restart policies are not used: what comes after an end is for the job to say.
//
// # Networks
//
//	Open, one host       the engine's default bridge
//	Open, several        a bridge of the group's own; its hosts have fixed addresses, and each knows all names
//	None, one host       none but a loopback
//	None, several        an internal bridge of the group's own
//	None, and it serves  an internal bridge of its own; State.Addr is the container's address
//
// An internal bridge leads nowhere but to this machine's own address on it.
// A port is otherwise published on a free port of 127.0.0.1.
//
// Containers have a loopback of their own. An address of Task.Reach on the
// machine's loopback is therefore replaced, in the values of the task's
// environment, by the address that Gateway tells, where the server must listen
// too.
package docker
