// SPDX-License-Identifier: Apache-2.0

package telemetry

import "errors"

// ErrOffset says that a shipper's place in the source log is not the one the
// stream remembers; ask Offset and go on from there.
var ErrOffset = errors.New("log offset is not the one remembered")
