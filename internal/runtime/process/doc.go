// SPDX-License-Identifier: Apache-2.0

// Package process runs tasks as processes of this machine, without a daemon.
//
// # Who runs what
//
// Start re-executes our own binary as a small parent ("sagebrush task DIR") in
// a session of its own. The parent outlives the server, collects the output
// and writes the exit code to disk. It starts our binary once more as the
// first process (PID 1) of new mount, PID, UTS and IPC namespaces; that one
// builds the root file system, starts the command as its child, passes signals
// on to it and reaps orphans. When PID 1 ends the kernel ends all that is left.
//
//	server ─ Start ─▶ parent (holds the lock, writes log and exit.json)
//	                     └─▶ init (PID 1) ─▶ command ─▶ …
//
// Nothing ties the two together: neither process group, session nor pipe. Only
// a service manager may still kill the tasks with the server (systemd does
// unless KillMode=process).
//
// # What lies on disk
//
//	<Dir>/_live/<id>       an empty file for each task that has not ended; its changes are the events
//	<Dir>/<id>/lock        locked while a Start, the parent or init lives
//	<Dir>/<id>/task.json   what to run; written under the lock
//	<Dir>/<id>/begun.json  exists once the command may have begun: from here on it never runs again
//	<Dir>/<id>/running.json  when the command began, and its address
//	<Dir>/<id>/stop.json   a wish to stop
//	<Dir>/<id>/log         lines "<unix ms>\t<text>\n"
//	<Dir>/<id>/exit.json   code, reason, times; written once, after the log is complete
//	<Dir>/<id>/disk.json   what it has written, as last measured
//	<Dir>/<id>/own         what it writes that goes with it: /tmp, layers over images; gone when it has ended
//	<Dir>/_net/<id>        of a task in a network that it shares with its group
//	<Dir>/_gone-*          being deleted
//
// Start takes the lock and hands the locked file to the parent it starts, so
// there is no moment at which a second Start, by this server or another, could
// find it free. A task whose lock is free is Exited if exit.json exists;
// Missing if begun.json does not (Start may be called again); else it lost its
// parent, and the first to see that writes exit.json with code 137 and
// ReasonParentDied, or ReasonLost when the machine was restarted meanwhile. A
// lost task is never run again by the runtime: Remove it and Start it anew if
// that is what the job's policy says.
//
// # What a task sees
//
// Without Task.Root the host's files, read-only, so that its programs and
// Pythons run where they are; but a private /tmp on disk, private /run, /dev
// and /dev/shm, its mounts, and nothing of the paths in Options.Hide, of
// Options.Dir, and of the usual credential folders of the user who runs the
// server. Its environment is Task.Env and, where that does not set them, PATH
// (the server's), HOME=/tmp, LANG, HOSTNAME, and SAGEBRUSH_CPUS, the whole
// processors that its share of them comes to, and SAGEBRUSH_MEMORY_BYTES, its
// limit if it has one.
//
// With Task.Root the image there, under an overlay whose upper layer is the
// task's, and nothing of the host: /proc, /dev and a read-only /sys are made
// for it, /etc/hosts, hostname and resolv.conf are ours. Its environment is
// Task.Env and PATH (that of container engines), HOME (of its user's entry in
// the image's passwd) and HOSTNAME. Where overlays are refused the image is
// copied first, sharing blocks where the file system can. Scratch mounts are
// made in the same way.
//
// Capabilities that reach beyond the task are dropped, and a filter refuses it
// some calls that containers have no use for (see filter_linux.go).
//
// # Networks
//
// The network is the host's, unless the task wants None or serves on a port of
// its own: then it has a network namespace with a loopback and nothing else,
// and its parent passes on what may pass (network.go). The hosts of a group
// with None share one; as nothing but their processes holds it, it ends with
// the last of them.
//
// An ordinary user gets all this by a user namespace, in which they are root
// and nobody else is there, and where a network cannot be shared by tasks.
// Where namespaces are not possible the command runs directly, and
// SAGEBRUSH_ML_ROOT names the host folder that stands for /opt/ml; images, None
// and groups of several hosts are refused.
package process
