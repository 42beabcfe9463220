// SPDX-License-Identifier: Apache-2.0

// Package start makes processes of this binary start the quicker: each job and
// each endpoint's instance is some, and what they are linked with makes 4 MB of
// tables before main begins. That is where Go collects garbage for the first
// time, of which there is none; it was a quarter of the processor time from
// exec to the first answer of a model, 5 of 20 ms.
//
// Importing the package puts that first collection off to a heap of 16 MB.
// After it all is as without the package. Packages are initialized in the order
// of their import paths as far as their imports allow; this one imports next to
// nothing, so that it comes before most of those that make tables.
package start

import (
	"os"
	"runtime"
	"runtime/debug"
)

// putOff is the GOGC before the first collection. The least heap at which
// collection begins is 4 MB at 100, and in proportion.
const putOff = 400

func init() {
	if os.Getenv("GOGC") != "" {
		return // the user knows better
	}
	usual := debug.SetGCPercent(putOff)
	// What nobody holds goes with the first collection, and then this is called.
	runtime.AddCleanup(new(mark), func(percent int) { debug.SetGCPercent(percent) }, usual)
}

// mark is an object of its own: an empty or tiny one would share its memory
// with others and never go.
type mark [64]byte
