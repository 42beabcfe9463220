// SPDX-License-Identifier: Apache-2.0

package start

import (
	"math"
	"runtime"
	"runtime/debug"
	"runtime/metrics"
	"testing"
	"time"
)

func TestTheFirstCollectionEndsIt(t *testing.T) {
	percent := func() uint64 {
		s := []metrics.Sample{{Name: "/gc/gogc:percent"}}
		metrics.Read(s)
		return s[0].Value.Uint64()
	}
	runtime.GC() // a test has seen some by now, or sees this
	for deadline := time.Now().Add(10 * time.Second); percent() == putOff; time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("it is still put off")
		}
	}
	if got := percent(); got == math.MaxUint64 || got != uint64(debug.SetGCPercent(int(got))) {
		t.Errorf("GOGC is %d", got)
	}
}
