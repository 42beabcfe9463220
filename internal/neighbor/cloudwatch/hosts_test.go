// SPDX-License-Identifier: Apache-2.0

//go:build linux

package cloudwatch

import (
	"fmt"
	"os"
	"syscall"
	"testing"
	"time"

	"github.com/sagebrush-ml/sagebrush/internal/telemetry"
)

// BenchmarkHosts is one second of fifty hosts that are measured each second,
// with five metrics each, published so many seconds at a time as
// telemetry/hostmetrics does: its processor time, and what it writes.
func BenchmarkHosts(b *testing.B) {
	for _, every := range []int{1, 5} {
		b.Run(fmt.Sprintf("%d s at a time", every), func(b *testing.B) {
			const hosts, block = 50, 300
			names := []string{"CPUUtilization", "MemoryUtilization", "DiskUtilization", "GPUUtilization", "GPUMemoryUtilization"}
			s, seconds := fresh(b), 0
			spent, written := usage(b)
			for b.Loop() {
				for range block {
					seconds++
					for h := range hosts {
						if (seconds+h)%every != 0 {
							continue
						}
						var data []telemetry.Datum
						for back := range every {
							for i, name := range names {
								data = append(data, telemetry.Datum{Name: name, Unit: "Percent", Value: float64((seconds*7+i*h)%100) + 0.5,
									Time:       start.Add(time.Duration(seconds-back) * time.Second),
									Dimensions: []telemetry.Dimension{{Name: "Host", Value: fmt.Sprintf("job-%d/algo-1", h)}}})
							}
						}
						if err := s.Put(caller, account, region, "/aws/sagemaker/TrainingJobs", data); err != nil {
							b.Fatal(err)
						}
					}
					if err := s.Flush(caller); err != nil {
						b.Fatal(err)
					}
				}
			}
			after, more := usage(b)
			b.ReportMetric((after-spent).Seconds()*1000/float64(seconds), "cpu-ms/s")
			b.ReportMetric(float64(more-written)/1024/float64(seconds), "KiB-written/s")
		})
	}
}

// usage is the processor time of this process and the bytes that it wrote.
func usage(b *testing.B) (time.Duration, int64) {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	text, err := os.ReadFile("/proc/self/io")
	if err != nil {
		b.Fatal(err)
	}
	var read, written int64
	if _, err := fmt.Sscanf(string(text), "rchar: %d\nwchar: %d", &read, &written); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano()), written
}
