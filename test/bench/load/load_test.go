// SPDX-License-Identifier: Apache-2.0

package main

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/sagebrush-ml/sagebrush/internal/arn"
	"github.com/sagebrush-ml/sagebrush/internal/resource"
	"github.com/sagebrush-ml/sagebrush/internal/resource/sqlstore"
	"github.com/sagebrush-ml/sagebrush/internal/wire"
	sm "github.com/sagebrush-ml/sagebrush/internal/wire/sagemaker"
)

// file writes a file of a test and gives its path.
func file(t *testing.T, name, content string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// to are the flags for a server of a test.
func to(t *testing.T, h http.HandlerFunc) []string {
	t.Helper()
	s := httptest.NewServer(h)
	t.Cleanup(s.Close)
	keys := file(t, "credentials.json", `{"region":"eu-west-1","accessKeyId":"AKIAEXAMPLE","secretAccessKey":"secret"}`)
	return []string{"-url", s.URL, "-home", filepath.Dir(keys)}
}

func TestDriveSendsEachNumberOnceAndCountsWhatIsRefused(t *testing.T) {
	for _, client := range []string{"lean", "ordinary"} {
		t.Run(client, func(t *testing.T) {
			var mu sync.Mutex
			seen := map[string]int{}
			flags := to(t, func(w http.ResponseWriter, r *http.Request) {
				body, err := io.ReadAll(r.Body)
				if err != nil || !strings.Contains(r.Header.Get("Authorization"), "/eu-west-1/sagemaker/aws4_request") {
					t.Errorf("body %q, %v, authorization %q", body, err, r.Header.Get("Authorization"))
				}
				mu.Lock()
				defer mu.Unlock()
				if seen[string(body)]++; strings.HasSuffix(string(body), "7") {
					http.Error(w, "not this one", http.StatusTeapot)
				}
			})
			got, err := drive(append(flags, "-client", client, "-conns", "4", "-serial", "10", "-count", "40", "-body", file(t, "b", "row %d")))
			if err != nil {
				t.Fatal(err)
			}
			d := got.(driven)
			if d.Sent != 40 || d.Errors != 4 || d.Requests != 36 || !strings.Contains(d.FirstError, "not this one") {
				t.Errorf("sent %d, %d errors, %d counted, first error %q", d.Sent, d.Errors, d.Requests, d.FirstError)
			}
			for i := 10; i < 50; i++ {
				if n := seen[fmt.Sprint("row ", i)]; n != 1 {
					t.Errorf("row %d was sent %d times", i, n)
				}
			}
			if d.P50 <= 0 || d.P99 < d.P50 || d.Max < d.P99 || d.PerSecond <= 0 {
				t.Errorf("p50 %g, p99 %g, max %g, %g a second", d.P50, d.P99, d.Max, d.PerSecond)
			}
		})
	}
}

func TestSettleAsksUntilTheStatusChanges(t *testing.T) {
	asked := 0
	flags := to(t, func(w http.ResponseWriter, r *http.Request) {
		switch target := r.Header.Get("X-Amz-Target"); target {
		case "SageMaker.CreateEndpoint":
			fmt.Fprint(w, `{}`)
		case "SageMaker.DescribeEndpoint":
			status := "Creating"
			if asked++; asked == 3 {
				status = "InService"
			}
			fmt.Fprintf(w, `{"EndpointStatus": %q}`, status)
		default:
			t.Errorf("asked for %s", target)
		}
	})
	body := file(t, "b", `{"EndpointName":"e"}`)
	got, err := settle(append(flags, "-noun", "Endpoint", "-while", "Creating", "-every", "1ms", "-body", body))
	if err != nil {
		t.Fatal(err)
	}
	if s := got.(settled); s.Status != "InService" || s.Polls != 3 || s.Seconds <= s.Created {
		t.Errorf("settled as %+v", s)
	}
}

func TestFillStoresCopiesThatTheServiceCanRead(t *testing.T) {
	home := t.TempDir()
	path := filepath.Join(home, "state.db")
	db, err := sqlstore.Open(t.Context(), path, sqlstore.Options{})
	if err != nil {
		t.Fatal(err)
	}
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	key := resource.Key{Account: "123456789012", Region: "eu-west-1", Family: trainingJobs, Name: "first"}
	like := arn.SageMaker(key.Region, key.Account, key.Family, key.Name)
	doc, err := json.Marshal(sm.DescribeTrainingJobOutput{TrainingJobName: "first", TrainingJobArn: like, CreationTime: wire.At(now)})
	if err != nil {
		t.Fatal(err)
	}
	err = db.Write(t.Context(), func(tx resource.Tx) error {
		return tx.Insert(t.Context(), resource.Row{Key: key, ARN: like, Status: "Completed", Settled: true, Created: now, Modified: now,
			Doc: doc, Private: []byte(`{"p":{}}`)})
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := fill([]string{"-home", home, "-like", like, "-count", "1234"}); err != nil {
		t.Fatal(err)
	}
	if db, err = sqlstore.Open(t.Context(), path, sqlstore.Options{}); err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	count, err := db.Count(t.Context(), trainingJobs)
	if err != nil || count["Completed"]+count["Failed"]+count["Stopped"] != 1235 || count["Stopped"] != 123 {
		t.Errorf("stored %v, %v", count, err)
	}
	key.Name = "bench-000004"
	row, err := db.Get(t.Context(), key)
	if err != nil {
		t.Fatal(err)
	}
	var got sm.DescribeTrainingJobOutput
	if err := json.Unmarshal(row.Doc, &got); err != nil {
		t.Fatal(err)
	}
	if got.TrainingJobName != key.Name || got.TrainingJobStatus != row.Status || !got.CreationTime.Equal(row.Created) ||
		!row.Created.Equal(now.Add(-1230*time.Minute)) || got.TrainingJobArn != row.ARN || !row.Settled {
		t.Errorf("row %+v, document %+v", row, got)
	}
}

func TestMeasureTellsPeakMemoryAndFailure(t *testing.T) {
	got, err := measure([]string{"--", "go", "version"})
	if err != nil {
		t.Fatal(err)
	}
	if m := got.(measured); m.Seconds <= 0 || m.PeakBytes < 1<<20 || m.PeakBytes > 1<<32 {
		t.Errorf("measured %+v", m)
	}
	if _, err := measure([]string{"--", "go", "no-such-command"}); err == nil {
		t.Error("a command that fails is not told")
	}
}
