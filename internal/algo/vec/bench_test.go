// SPDX-License-Identifier: Apache-2.0

package vec

import (
	"fmt"
	"testing"
)

func BenchmarkGemm(b *testing.B) {
	for _, c := range []struct{ m, n, k int }{{1024, 1024, 1024}, {10000, 10, 100}, {10000, 32, 100}, {10000, 100, 100}, {1, 20, 100}, {256, 4096, 128}, {100, 20, 10000}} {
		for _, threads := range []int{1, 2} {
			b.Run(fmt.Sprintf("%dx%dx%d/%d", c.m, c.n, c.k, threads), func(b *testing.B) {
				x, y, z := random(1, c.m*c.k), random(2, c.n*c.k), make([]float32, c.m*c.n)
				for b.Loop() {
					Gemm(threads, Rows(z, c.n), Rows(x, c.k), Rows(y, c.k).T(), c.m, c.n, c.k, false)
				}
				b.ReportMetric(2*float64(c.m*c.n*c.k)*float64(b.N)/b.Elapsed().Seconds()/1e9, "GFLOPS")
			})
		}
	}
}

func BenchmarkDot(b *testing.B) {
	for _, n := range []int{10, 100, 300, 1024, 8192} {
		x, y := random(1, n), random(2, n)
		report := func(b *testing.B) { b.ReportMetric(2*float64(n)*float64(b.N)/b.Elapsed().Seconds()/1e9, "GFLOPS") }
		b.Run(fmt.Sprintf("dot/%d", n), func(b *testing.B) {
			for b.Loop() {
				Dot(x, y)
			}
			report(b)
		})
		b.Run(fmt.Sprintf("scalar/%d", n), func(b *testing.B) {
			for b.Loop() {
				dotScalar(x, y)
			}
			report(b)
		})
		b.Run(fmt.Sprintf("distance/%d", n), func(b *testing.B) {
			for b.Loop() {
				SquaredDistance(x, y)
			}
			report(b)
		})
		b.Run(fmt.Sprintf("axpy/%d", n), func(b *testing.B) {
			for b.Loop() {
				Axpy(1e-3, x, y)
			}
			report(b)
		})
	}
}
