// SPDX-License-Identifier: Apache-2.0

package model

import (
	_ "embed" // the pin
	"strings"
)

//go:embed botocore.version
var botocoreVersion string

// BotocoreVersion is the botocore release that the digests were made from,
// "1.44.5" for instance.
func BotocoreVersion() string { return strings.TrimSpace(botocoreVersion) }
