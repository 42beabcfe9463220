// SPDX-License-Identifier: Apache-2.0

package taskgroup

import (
	"fmt"
	"strings"

	"github.com/sagebrush-ml/sagebrush/internal/instance"
	"github.com/sagebrush-ml/sagebrush/internal/runtime"
)

// maxReason is the length of FailureReason in the service's model.
const maxReason = 1024

// Reason is the service's account of a job that failed, whose hosts were seen
// like this. noun is what the container does: "training". failure is the text of
// the container's failure file; hosts is how many there are; room names the
// instance's memory ("the 8 GiB that ml.m5.large has") and disk its volume in GB.
func Reason(s Seen, noun, failure string, hosts int, room string, disk int64) string {
	task, host := s.State, ""
	if s.Failed != nil {
		task = s.States[s.Failed.ID]
		if s.Failed.Beside {
			if failure == "" { // it was killed
				failure = "InternalServerError: The input of " + s.Failed.Host + " was cut off: its feeder was lost " + task.Reason
			}
			return WithCode(failure, task.ExitCode)
		}
		if hosts > 1 {
			host = " on " + s.Failed.Host
		}
	}
	switch {
	case task.Phase == runtime.Missing || s.Failed == nil:
		return "InternalServerError: The " + noun + " container was removed while it ran."
	case task.Reason == runtime.ReasonOOM:
		return WithCode("AlgorithmError: Please use an instance type with more memory, or reduce the size of "+noun+" data "+
			"processed on an instance. The "+noun+host+" needed more memory than "+room, task.ExitCode)
	case task.Reason == runtime.ReasonDisk:
		return WithCode(fmt.Sprintf("AlgorithmError: No space left on device: the %s%s wrote more than the %d GB of "+
			"VolumeSizeInGB, or the machine's disk is nearly full", noun, host, disk), task.ExitCode)
	case failure != "":
		for _, head := range []string{"AlgorithmError:", "ClientError:", "InternalServerError:"} {
			if strings.HasPrefix(failure, head) {
				return WithCode(failure, task.ExitCode)
			}
		}
		return WithCode("AlgorithmError: "+failure, task.ExitCode)
	case task.Reason != "" && task.Started.IsZero(): // it could not even begin
		return WithCode("AlgorithmError: The "+noun+" container could not be started: "+task.Reason, task.ExitCode)
	case task.Reason != "": // the machine's fault, not the container's
		return "InternalServerError: The " + noun + " container was lost: " + task.Reason
	}
	return WithCode("AlgorithmError: ", task.ExitCode)
}

// Room names the memory of an instance type.
func Room(name string) string {
	typ, ok := instance.Lookup(name)
	if !ok {
		return "the instance has"
	}
	return fmt.Sprintf("the %g GiB that %s has", typ.MemoryGiB, typ.Name)
}

// WithCode adds the exit code to a reason. FailureReason holds 1,024 characters
// in the service; the code must not be what is cut.
func WithCode(text string, code int) string {
	tail := fmt.Sprintf(", exit code: %d", code)
	runes := []rune(text)
	return string(runes[:min(len(runes), maxReason-len(tail))]) + tail
}

// Cut is a reason as far as FailureReason holds it.
func Cut(reason string) string {
	runes := []rune(reason)
	return string(runes[:min(len(runes), maxReason)])
}

// Lost says that a task ended by a fault of the machine's.
func Lost(task runtime.State) bool {
	return task.Reason != "" && task.Reason != runtime.ReasonOOM && task.Reason != runtime.ReasonDisk && !task.Started.IsZero()
}
