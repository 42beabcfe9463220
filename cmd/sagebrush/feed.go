// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"log/slog"
	"os"
	"os/signal"
	"syscall"

	"github.com/sagebrush-ml/sagebrush/internal/feed"
	"github.com/sagebrush-ml/sagebrush/internal/object/fusefs"
)

// feedCmd streams data to a training container, in a process that the server
// starts. See package feed for what its exit code means.
type feedCmd struct {
	Mount bool   `help:"Serve a mount of objects (FastFile mode), and not FIFOs (Pipe mode)."`
	Spec  string `arg:"" help:"What to feed: a file that the server has written."`
}

// Run feeds until SIGTERM, or until the mount is taken away.
func (c *feedCmd) Run() error {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, os.Interrupt)
	defer stop()
	if c.Mount {
		return fusefs.Serve(ctx, c.Spec, os.Stdout, slog.New(slog.NewTextHandler(os.Stderr, nil)))
	}
	// The FIFOs get their mode at once, not by a second call on a path that the
	// container could have changed meanwhile.
	syscall.Umask(0)
	spec, err := feed.Load(c.Spec)
	if err != nil {
		return err
	}
	return feed.Run(ctx, spec, feed.Options{Log: slog.New(slog.NewTextHandler(os.Stdout, nil))})
}
