// SPDX-License-Identifier: Apache-2.0

//go:build !amd64

package vec

import "testing"

func atEachLevel(t *testing.T, do func(t *testing.T, vector bool)) {
	t.Run("scalar", func(t *testing.T) { do(t, false) })
}
