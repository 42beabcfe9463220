// SPDX-License-Identifier: Apache-2.0

package collective

import (
	"context"
	"fmt"
	"testing"
)

// BenchmarkSum compares the two ways to add up a vector, by which smallBytes
// was chosen.
func BenchmarkSum(b *testing.B) {
	ways := []struct {
		name string
		sum  func(context.Context, *Group, []int64) error
	}{
		{"exchange", func(ctx context.Context, g *Group, v []int64) error { return exchange(ctx, g, v, addInts) }},
		{"scatter and spread", func(ctx context.Context, g *Group, v []int64) error {
			part := make([]int, 0, 2*g.Size())
			for rank := range g.Size() {
				part = append(part, rank*len(v)/g.Size(), (rank+1)*len(v)/g.Size())
			}
			if err := scatter(ctx, g, v, part, addInts); err != nil {
				return err
			}
			return spread(ctx, g, v, part)
		}},
	}
	for _, hosts := range []int{2, 4} {
		for _, n := range []int{1, 512, 2048, 8192, 65536, 458752} {
			for _, way := range ways {
				b.Run(fmt.Sprintf("%s, %d hosts, %d bytes", way.name, hosts, 8*n), func(b *testing.B) {
					b.SetBytes(int64(8 * n))
					everyoneWell(b, together(b, options(b, hosts), func(g *Group) error {
						v := make([]int64, n)
						for range b.N {
							if err := way.sum(b.Context(), g, v); err != nil {
								return err
							}
						}
						return nil
					}))
				})
			}
		}
	}
}
