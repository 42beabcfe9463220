// SPDX-License-Identifier: Apache-2.0

//go:build !linux

package fusefs

import (
	"context"
	"errors"
	"fmt"
)

// Mounted is a mount that is being served; there is none on this system.
type Mounted struct{}

// Mount is possible on Linux only: elsewhere data is copied (File mode).
func Mount(o Options) (*Mounted, error) {
	return nil, fmt.Errorf("mount objects at %s: %w", o.Dir, errors.ErrUnsupported)
}

// Done never comes.
func (*Mounted) Done() <-chan struct{} { return nil }

// Unmount does nothing.
func (*Mounted) Unmount(context.Context) error { return nil }

// Detach does nothing.
func Detach(string) error { return nil }
