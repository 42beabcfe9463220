// SPDX-License-Identifier: Apache-2.0

package tune

func (s Search) bayesian(history []Trial, n int) (Point, bool) { return s.random(history, n) }
