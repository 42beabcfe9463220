// SPDX-License-Identifier: Apache-2.0

// Package resource is the one pattern of every kind of resource: a Record is
// the Describe output, and the generic operations (Create, Describe, List,
// Delete, Stop) work on it by the names of its members. Below it sqlstore and
// memstore keep the records.
package resource

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

// Moves says from which status a record may go to which.
type Moves map[string][]string

// Life is the table of a family's states. The zero Life is a family without a
// status.
type Life struct {
	Start string // status of a new record
	Moves Moves
	Rest  []string // states with moves left in which the loop has nothing to do
	Field string   // member of the document; Noun+"Status" when empty
}

// Has tells whether the family has a status at all.
func (l Life) Has() bool { return l.Start != "" }

// May tells whether a record may go from one status to another. Staying is
// always allowed.
func (l Life) May(from, to string) bool {
	return from == to || slices.Contains(l.Moves[from], to)
}

// Settled tells whether the family's loop is done with a record.
func (l Life) Settled(status string) bool {
	return !l.Has() || len(l.Moves[status]) == 0 || slices.Contains(l.Rest, status)
}

// Diagram is the table as a Mermaid state diagram.
func (l Life) Diagram() string {
	var b strings.Builder
	fmt.Fprintf(&b, "stateDiagram-v2\n    [*] --> %s\n", l.Start)
	for _, from := range slices.Sorted(maps.Keys(l.Moves)) {
		for _, to := range l.Moves[from] {
			fmt.Fprintf(&b, "    %s --> %s\n", from, to)
		}
	}
	return b.String()
}
