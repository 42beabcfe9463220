// SPDX-License-Identifier: Apache-2.0

package vec

// levels are the vector forms that this processor has.
func levels() (all []uint8) {
	for l := level; l > 0; l-- {
		all = append(all, l)
	}
	return all
}

func setLevel(l uint8) (restore func()) {
	was := level
	level = l
	return func() { level = was }
}
