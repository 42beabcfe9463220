// SPDX-License-Identifier: Apache-2.0

//go:build unix

package process

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
)

// The program that images of the tests hold is built once, static and so
// independent of all that an image may lack.
var guestBuilt string // to be removed

// guestDir is its folder.
var guestDir = sync.OnceValues(func() (string, error) {
	if dir := os.Getenv("SAGEBRUSH_TEST_GUEST"); dir != "" { // built by the test that started us
		return dir, nil
	}
	dir, err := os.MkdirTemp("", "sagebrush-guest-")
	if err != nil {
		return "", err
	}
	cmd := exec.Command("go", "build", "-o", filepath.Join(dir, "guest"), "./testdata/guest")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOFLAGS=-buildvcs=false")
	if out, err := cmd.CombinedOutput(); err != nil {
		os.RemoveAll(dir)
		return "", fmt.Errorf("build the guest: %w: %s", err, out)
	}
	guestBuilt = dir
	return dir, nil
})
