// SPDX-License-Identifier: Apache-2.0

package hosting

import "github.com/sagebrush-ml/sagebrush/internal/resource"

// Life is the table of an endpoint's states, as docs/design/states.md draws
// it. What it holds must not be changed.
func Life() resource.Life { return endpointLife }

// ComponentLife is the same of an inference component.
func ComponentLife() resource.Life { return componentLife }
