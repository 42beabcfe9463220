// SPDX-License-Identifier: Apache-2.0

//go:build unix && !linux

package process

import (
	"context"

	"github.com/sagebrush-ml/sagebrush/internal/runtime"
)

// watch gives the function that tells of changes among the live files until
// its context ends.
func (r *Runtime) watch() func(context.Context, func(runtime.ID)) { return r.poll }
