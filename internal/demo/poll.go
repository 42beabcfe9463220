// SPDX-License-Identifier: Apache-2.0

package demo

import (
	"context"
	"fmt"
	"time"
)

// patience is how long one step may take. The work takes about a second; a
// machine under load is given room.
const patience = 2 * time.Minute

// poll asks look until it is done, ever more slowly, and tells told about
// every three seconds what the status is.
func poll(ctx context.Context, what string, look func() (status string, done bool, err error), told func(status string, since time.Duration)) error {
	start := time.Now()
	last := start
	for pause := 10 * time.Millisecond; ; pause = min(pause*3/2, 250*time.Millisecond) {
		status, done, err := look()
		if done || err != nil {
			return err
		}
		if time.Since(start) > patience {
			return fmt.Errorf("wait for %s: still %s after %s", what, status, patience)
		}
		if time.Since(last) > 3*time.Second {
			last = time.Now()
			told(status, time.Since(start))
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("wait for %s: %w", what, ctx.Err())
		case <-time.After(pause):
		}
	}
}
