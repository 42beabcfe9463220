// SPDX-License-Identifier: Apache-2.0

//go:build !linux

package versity

import (
	"os"
	"path/filepath"
)

// socketAddress is a file in the folder for temporary files, as the path of a
// socket may not be longer than about 100 bytes.
func socketAddress(unique string) string {
	return filepath.Join(os.TempDir(), "sagebrush-s3-"+unique[:12])
}
