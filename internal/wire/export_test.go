// SPDX-License-Identifier: Apache-2.0

package wire

// Matches is Shape.matches for the tests.
func Matches(s *Shape, v string) bool { return s.matches(v) }
