// SPDX-License-Identifier: Apache-2.0

//go:build !linux

package oci

import (
	"errors"
	"os"
	"syscall"
)

// Images are unpacked to be run, which is on Linux only.

func setExtended(*os.File, string, string) {}

func (t *tree) fifo(string, attributes) error { return nil }

func isName(err error) bool {
	return errors.Is(err, syscall.ENAMETOOLONG) || errors.Is(err, syscall.ENOTDIR) || errors.Is(err, syscall.EINVAL)
}
