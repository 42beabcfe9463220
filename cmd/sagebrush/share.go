// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
)

// usersLock is the file by which commands under `sagebrush run` hold a server
// that another one started: a shared lock each, which goes with its holder.
const usersLock = "users.lock"

func openUsers(home string) (*os.File, error) {
	f, err := os.OpenFile(filepath.Join(home, usersLock), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, fmt.Errorf("hold the server: %w", err)
	}
	return f, nil
}

// useServer finds a server and holds it until release: whoever started it for
// a command of theirs lets it run so long. It is held before it is looked for,
// so it cannot go in between.
func useServer(home string, find func() (found, error)) (f found, release func(), err error) {
	users, err := openUsers(home)
	if err != nil {
		return found{}, nil, err
	}
	// A holder of the whole lock is about to stop its server, and lets go after.
	if err = syscall.Flock(int(users.Fd()), syscall.LOCK_SH); err == nil {
		if f, err = find(); err == nil {
			return f, func() { users.Close() }, nil
		}
	}
	users.Close()
	return f, nil, err
}

// awaitUsers waits until no other command holds our server; a signal ends the
// wait. Nobody finds the server from then until release, before which it is to
// be stopped. What cannot be locked is not waited for.
func awaitUsers(home string) (release func()) {
	users, err := openUsers(home)
	if err != nil {
		return func() {}
	}
	release = func() { users.Close() }
	if syscall.Flock(int(users.Fd()), syscall.LOCK_EX|syscall.LOCK_NB) == nil {
		return release
	}
	fmt.Fprintln(os.Stderr, "sagebrush: another `sagebrush run` still uses this server; it stops when that one ends, or by Ctrl-C now")
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	defer signal.Stop(signals)
	free := make(chan struct{})
	go func() {
		defer close(free)
		_ = syscall.Flock(int(users.Fd()), syscall.LOCK_EX) // refused, there is nothing to wait for
	}()
	select {
	case <-free:
		return release
	case <-signals: // the lock is still asked for; it goes with the process
		return func() {}
	}
}
