// SPDX-License-Identifier: Apache-2.0

package autoscaling

import (
	"context"
	"database/sql"
	"flag"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/sagebrush-ml/sagebrush/internal/sqlfile"
)

var update = flag.Bool("update", false, "write the chart of docs/autoscaling.md")

// minute is one minute of the day that is played.
type minute struct {
	load      float64 // requests
	instances int64   // in service
	metric    float64 // requests per instance
}

// load is the requests in a minute of the day: a quiet night, a busy noon and
// evening, and at three in the afternoon a crowd that comes at once.
func load(m int) float64 {
	h := float64(m) / 60
	hump := func(at, width, height float64) float64 { return height * math.Exp(-(h-at)*(h-at)/(2*width*width)) }
	v := 120 + hump(11, 2, 2300) + hump(20, 1.6, 1900)
	if h >= 15 && h < 16 {
		v += 1800
	}
	return math.Round(v * (1 + 0.05*math.Sin(float64(m)*1.7)*math.Cos(float64(m)*0.37)))
}

const (
	dayTarget  = 300.0
	dayLowest  = 1
	dayHighest = 12
)

// playDay plays a day in which an endpoint takes two minutes for each change of
// its size, and gives the minutes and the changes.
func playDay(t *testing.T) ([]minute, []change) {
	w := newWorld(t)
	w.clock = time.Date(2026, 11, 20, 0, 0, 0, 0, time.UTC)
	e := w.endpoint("churn", 1)
	w.takes = 2 * time.Minute
	w.register(dayLowest, dayHighest)
	w.putPolicy("follow", trackingOf(dayTarget), nil)
	day := make([]minute, 24*60)
	for m := range day {
		v := load(m)
		day[m] = minute{v, e.current, v / float64(e.current)}
		w.put(perInstance, w.clock, day[m].metric)
		for range 3 { // a look every 20 seconds, so that the test is quick
			w.clock = w.clock.Add(20 * time.Second)
			if err := w.look(context.Background()); err != nil {
				t.Fatal(err)
			}
			if _, err := w.find(caller, "churn"); err != nil { // an update that is over shows
				t.Fatal(err)
			}
		}
	}
	var changes []change
	err := w.file.Read(caller, func(q sqlfile.Querier) (err error) {
		changes, err = list(caller, q, "SELECT before, after, started FROM activity ORDER BY id", nil, func(c *change, row *sql.Rows) error {
			var at int64
			err := row.Scan(&c.from, &c.to, &at)
			c.ended = ofMS(at)
			return err
		})
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, a := range w.activities(false) {
		if a.StatusCode != "Successful" {
			t.Errorf("an activity is %+v", a)
		}
	}
	return day, changes
}

// TestADay plays a day of requests and holds the policy to its rules: each
// change has its data points, none is in a cooldown, and the capacity follows.
func TestADay(t *testing.T) {
	day, changes := playDay(t)
	midnight := time.Date(2026, 11, 20, 0, 0, 0, 0, time.UTC)
	outs, ins := 0, 0
	for i, c := range changes {
		m := int(c.ended.Sub(midnight) / time.Minute) // the minute in which it began
		if c.to > c.from {
			outs++
			for _, p := range day[m-3 : m] {
				if p.metric <= dayTarget {
					t.Errorf("from %d to %d at minute %d, though a minute before it has %.0f", c.from, c.to, m, p.metric)
				}
			}
		} else {
			ins++
			for _, p := range day[max(m-15, 0):m] {
				if p.metric >= 0.9*dayTarget {
					t.Errorf("from %d to %d at minute %d, though a minute before it has %.0f", c.from, c.to, m, p.metric)
				}
			}
			if i > 0 && c.ended.Sub(changes[i-1].ended) < 5*time.Minute {
				t.Errorf("from %d to %d at minute %d, within the cooldown", c.from, c.to, m)
			}
		}
		if c.to < dayLowest || c.to > dayHighest {
			t.Errorf("%d instances", c.to)
		}
	}
	if outs < 5 || ins < 5 || outs+ins > 60 {
		t.Errorf("%d changes up and %d down", outs, ins)
	}
	// A change is asked for after three minutes and takes two, and one that was too
	// small is followed by another after five.
	worst, busy, wasted := 0, 0, 0.0
	for _, p := range day {
		if p.metric > dayTarget {
			busy++
			worst = max(worst, busy)
		} else {
			busy = 0
		}
		wasted += float64(p.instances) - math.Max(1, math.Ceil(p.load/dayTarget))
	}
	if worst > 14 {
		t.Errorf("the target was exceeded for %d minutes on end", worst)
	}
	if over := wasted / float64(len(day)); over < 0 || over > 1.5 {
		t.Errorf("%.2f instances too many on average", over)
	}
	most := slices.MaxFunc(day, func(a, b minute) int { return int(a.instances - b.instances) })
	if most.instances < 8 || day[5*60].instances != 1 || day[len(day)-1].instances > 3 {
		t.Errorf("at most %d instances, %d at five, %d at the end", most.instances, day[5*60].instances, day[len(day)-1].instances)
	}
	path := filepath.Join("..", "..", "..", "docs", "img", "autoscaling.svg")
	got := chart(day)
	if *update {
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil || strings.ReplaceAll(string(want), "\r", "") != got {
		t.Errorf("docs/img/autoscaling.svg does not show this day (%v): go test ./internal/neighbor/autoscaling -run TestADay -update", err)
	}
	t.Logf("%d changes up, %d down, the target exceeded for %d minutes on end at most, %.2f instances more than needed on average",
		outs, ins, worst, wasted/float64(len(day)))
}
