// SPDX-License-Identifier: Apache-2.0

package optml

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
)

// MaxRequirements is how long a requirements.txt may be, in bytes.
const MaxRequirements = 1 << 20

// Requirements is the text of a file of requirements below root, nil when there
// is none. The folder was the user's to fill: no link is followed out of it.
func Requirements(root *os.Root, name string) ([]byte, error) {
	b, err := root.ReadFile(name)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, nil
	case err != nil:
		return nil, fmt.Errorf("read %s: %w", path.Base(name), err)
	case len(b) > MaxRequirements:
		return nil, fmt.Errorf("%s is larger than %d bytes", path.Base(name), MaxRequirements)
	}
	return b, nil
}
