// SPDX-License-Identifier: Apache-2.0

package xgboost

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"
)

// Where rounds are quick, one checkpoint lasts until another has lasted as long.
func TestOldCheckpointsLast(t *testing.T) {
	const hold = time.Hour
	for _, c := range []struct {
		name string
		old  int // of ten, how many are older than hold
		hold time.Duration
		want []int // that stay
	}{
		{"all are new", 0, hold, []int{0, 1, 5, 6, 7, 8, 9}},
		{"the first is old", 1, hold, []int{0, 1, 5, 6, 7, 8, 9}},
		{"the second is old", 2, hold, []int{1, 2, 5, 6, 7, 8, 9}},
		{"half are old", 5, hold, []int{4, 5, 6, 7, 8, 9}},
		{"rounds are slow", 6, hold, []int{5, 6, 7, 8, 9}},
		{"all are old", 10, hold, []int{5, 6, 7, 8, 9}},
		{"at the end", 0, 0, []int{5, 6, 7, 8, 9}},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := t.TempDir()
			for round := range 10 {
				path := filepath.Join(dir, fmt.Sprintf("%s.%d", checkpointName, round))
				if err := os.WriteFile(path, nil, 0o644); err != nil {
					t.Fatal(err)
				}
				if round < c.old {
					before := time.Now().Add(-2 * hold)
					if err := os.Chtimes(path, before, before); err != nil {
						t.Fatal(err)
					}
				}
			}
			all, err := checkpointsIn(dir)
			if err != nil {
				t.Fatal(err)
			}
			gone := outdated(dir, all, c.hold)
			var stay []int
			for _, k := range slices.Backward(all) {
				if !slices.Contains(gone, k) {
					stay = append(stay, k.round)
				}
			}
			if !slices.Equal(stay, c.want) {
				t.Errorf("%v stay, want %v", stay, c.want)
			}
		})
	}
}
