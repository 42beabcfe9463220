// SPDX-License-Identifier: Apache-2.0

package vec

import "testing"

// atEachLevel runs do with each form of the kernels that this machine has.
func atEachLevel(t *testing.T, do func(t *testing.T, vector bool)) {
	best := level
	defer func() { level = best }()
	for l, name := range []string{"scalar", "AVX2", "AVX-512"} {
		t.Run(name, func(t *testing.T) {
			if uint8(l) > best {
				t.Skip("the processor lacks it")
			}
			level = uint8(l)
			do(t, level > scalarLevel)
		})
	}
}
