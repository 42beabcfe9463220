// SPDX-License-Identifier: Apache-2.0

package sqlstore_test

import (
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"runtime"
	"sync/atomic"
	"testing"
	"time"

	"github.com/sagebrush-ml/sagebrush/internal/resource"
	"github.com/sagebrush-ml/sagebrush/internal/resource/sqlstore"
)

var start = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

// filled is a store with n rows of one family.
func filled(b *testing.B, n int) *sqlstore.Store {
	b.Helper()
	s := open(b, filepath.Join(b.TempDir(), "records.db"), sqlstore.Options{})
	random := rand.New(rand.NewPCG(1, 2))
	for from := 0; from < n; from += 1000 {
		rows := make([]resource.Row, 1000)
		for i := range rows {
			rows[i] = row(fmt.Sprintf("job-%06d", from+i))
			rows[i].Created = start.Add(time.Duration(random.IntN(n)) * time.Second)
			rows[i].Modified = rows[i].Created.Add(time.Duration(random.IntN(n)) * time.Second)
			rows[i].Status = []string{"Completed", "Failed", "Stopped"}[random.IntN(3)]
			rows[i].Settled = true
		}
		if err := insert(b.Context(), s, rows...); err != nil {
			b.Fatal(err)
		}
	}
	return s
}

// BenchmarkWrite inserts rows of about 650 bytes, one in each transaction.
func BenchmarkWrite(b *testing.B) {
	for _, safe := range []bool{false, true} {
		for _, writers := range []int{1, 64} {
			b.Run(fmt.Sprintf("power-safe %v, %d writers", safe, writers), func(b *testing.B) {
				s := open(b, filepath.Join(b.TempDir(), "records.db"), sqlstore.Options{PowerSafe: safe})
				var n atomic.Int64
				b.SetParallelism(max(1, writers/runtime.GOMAXPROCS(0))) // it is multiplied by that again
				b.ResetTimer()
				work := func() {
					if err := insert(b.Context(), s, row(fmt.Sprint(n.Add(1)))); err != nil {
						b.Error(err)
					}
				}
				if writers == 1 {
					for b.Loop() {
						work()
					}
				} else {
					b.RunParallel(func(pb *testing.PB) {
						for pb.Next() {
							work()
						}
					})
				}
				b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "writes/s")
			})
		}
	}
}

// BenchmarkRead reads from 1,000 and from 100,000 rows.
func BenchmarkRead(b *testing.B) {
	for _, n := range []int{1000, 100_000} {
		s := filled(b, n)
		b.Run(fmt.Sprintf("get of %d", n), func(b *testing.B) {
			b.RunParallel(func(pb *testing.PB) {
				for pb.Next() {
					if _, err := s.Get(b.Context(), row(fmt.Sprintf("job-%06d", rand.IntN(n))).Key); err != nil {
						b.Error(err)
					}
				}
			})
		})
		b.Run(fmt.Sprintf("update of %d", n), func(b *testing.B) {
			for b.Loop() {
				err := s.Write(b.Context(), func(tx resource.Tx) error {
					r, err := tx.Get(b.Context(), row(fmt.Sprintf("job-%06d", rand.IntN(n))).Key)
					if err != nil {
						return err
					}
					return tx.Update(b.Context(), r)
				})
				if err != nil {
					b.Fatal(err)
				}
			}
		})
		list := resource.Filter{Account: "111122223333", Region: "eu-west-1", Family: "training-job", Limit: 100}
		for _, sort := range []string{resource.SortName, resource.SortCreated, resource.SortStatus, resource.SortModified} {
			f := list
			f.Sort = sort
			f, err := f.Defaults()
			if err != nil {
				b.Fatal(err)
			}
			// The middle of each order.
			middle := resource.Row{Key: resource.Key{Name: fmt.Sprintf("job-%06d", n/2)}, Status: "Failed"}
			middle.Created = start.Add(time.Duration(n) * time.Second / 2)
			middle.Modified = start.Add(time.Duration(n) * time.Second)
			f.After = f.Token(middle)
			benchmarkList(b, s, fmt.Sprintf("page in the middle of %d by %s", n, sort), f)
		}
		rare := list
		rare.Status = []string{"InProgress"}
		benchmarkList(b, s, fmt.Sprintf("status that none of %d has", n), rare)
		part := list
		part.NameContains = "nowhere"
		benchmarkList(b, s, fmt.Sprintf("name part that none of %d has", n), part)
		match := list
		match.Match = func(resource.Row) bool { return false }
		benchmarkList(b, s, fmt.Sprintf("predicate over all of %d", n), match)
		b.Run(fmt.Sprintf("count of %d", n), func(b *testing.B) {
			for b.Loop() {
				if _, err := s.Count(b.Context(), "training-job"); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func benchmarkList(b *testing.B, s *sqlstore.Store, name string, f resource.Filter) {
	b.Run(name, func(b *testing.B) {
		for b.Loop() {
			if _, err := s.List(b.Context(), f); err != nil {
				b.Fatal(err)
			}
		}
	})
}
