// SPDX-License-Identifier: Apache-2.0

package server

import (
	"fmt"
	"strings"
	"testing"
)

func TestAlarmSubject(t *testing.T) {
	message := func(name string) []byte {
		return fmt.Appendf(nil, `{"AlarmName":%q,"NewStateValue":"ALARM","Region":"EU (Ireland)"}`, name)
	}
	if got := alarmSubject(message("cpu")); got != `ALARM: "cpu" in EU (Ireland)` {
		t.Errorf("subject %s", got)
	}
	long := alarmSubject(message(strings.Repeat("x", 255)))
	if len(long) != maxSubject || !strings.HasSuffix(long, "xxx...") {
		t.Errorf("subject %s", long)
	}
}
