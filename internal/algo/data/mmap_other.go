// SPDX-License-Identifier: Apache-2.0

//go:build !unix

package data

import (
	"os"

	"github.com/sagebrush-ml/sagebrush/internal/algo/spill"
)

// mapFile gives the content of a file.
func mapFile(path string, _ *spill.Space) (b []byte, release func(), err error) {
	b, err = os.ReadFile(path)
	return b, nil, err
}
