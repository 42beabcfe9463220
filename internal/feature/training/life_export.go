// SPDX-License-Identifier: Apache-2.0

package training

import "github.com/sagebrush-ml/sagebrush/internal/resource"

// Life is the table of a training job's states, as docs/design/states.md draws
// it. What it holds must not be changed.
func Life() resource.Life { return life }
