// SPDX-License-Identifier: Apache-2.0

//go:build !unix

package data

import "os"

// mapFile gives the content of a file.
func mapFile(path string) (b []byte, release func(), err error) {
	b, err = os.ReadFile(path)
	return b, func() {}, err
}
