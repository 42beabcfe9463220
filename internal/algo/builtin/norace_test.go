// SPDX-License-Identifier: Apache-2.0

//go:build !race

package builtin

// raced tells that the race detector is at work.
const raced = false
