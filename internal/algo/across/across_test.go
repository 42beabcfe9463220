// SPDX-License-Identifier: Apache-2.0

package across

import (
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/sagebrush-ml/sagebrush/internal/algo"
	"github.com/sagebrush-ml/sagebrush/internal/algo/algotest"
	"github.com/sagebrush-ml/sagebrush/internal/algo/collective"
	"github.com/sagebrush-ml/sagebrush/internal/algo/data"
)

// channel is a channel of one CSV file, or of none.
func channel(t *testing.T, text string) *algo.Channel {
	dir := t.TempDir()
	if text != "" {
		if err := os.WriteFile(filepath.Join(dir, "a.csv"), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return &algo.Channel{Name: "train", Dir: dir, ContentType: "text/csv", Sharded: true}
}

func TestEachRowHasItsPlace(t *testing.T) {
	channels := []*algo.Channel{channel(t, "0,1\n0,2\n"), channel(t, ""), channel(t, "0,3\n0,4\n0,5\n")}
	replicated := channel(t, "0,1\n0,2\n0,3\n0,4\n0,5\n")
	replicated.Sharded = false
	for _, all := range [][]*algo.Channel{channels, {replicated, replicated, replicated}} {
		parts := make([]Part, 3)
		for rank, err := range algotest.Together(t, 3, func(peers *collective.Group) (err error) {
			in := algo.Input{Peers: peers, Hosts: []string{"a", "b", "c"}}
			parts[peers.Rank()], err = Load(t.Context(), in, all[peers.Rank()], data.Options{})
			return err
		}) {
			if err != nil {
				t.Fatalf("host %d: %v", rank, err)
			}
		}
		place := 0
		for rank, p := range parts {
			if p.First != place || p.Total != 5 || p.Cols != 1 {
				t.Errorf("host %d: first %d of %d, %d columns", rank, p.First, p.Total, p.Cols)
			}
			for _, v := range p.Values {
				if place++; v != float32(place) {
					t.Errorf("host %d has %v at place %d", rank, v, place)
				}
			}
		}
	}
}

func TestHostsWhoseRowsDiffer(t *testing.T) {
	for name, c := range map[string]struct {
		texts [2]string
		want  string
	}{
		"nobody has rows":      {[2]string{"", ""}, "train channel: no data files found"},
		"rows of other length": {[2]string{"0,1\n", "0,1,2\n"}, "the rows of host algo-1 have 1 features, those of host algo-2 2"},
	} {
		t.Run(name, func(t *testing.T) {
			for rank, err := range algotest.Together(t, 2, func(peers *collective.Group) error {
				_, err := Load(t.Context(), algo.Input{Peers: peers, Hosts: []string{"a", "b"}}, channel(t, c.texts[peers.Rank()]), data.Options{})
				return err
			}) {
				if !algo.IsClientError(err) || !strings.Contains(err.Error(), c.want) {
					t.Errorf("host %d: %v", rank, err)
				}
			}
		})
	}
}

func TestSampleIsFair(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 1))
	var seen [10]int
	for range 10_000 {
		all := Sample(3, 10, rng)
		if len(all) != 3 || !(all[0] < all[1] && all[1] < all[2]) {
			t.Fatalf("%v", all)
		}
		for _, i := range all {
			seen[i]++
		}
	}
	for i, n := range seen {
		if n < 2800 || n > 3200 {
			t.Errorf("%d was chosen %d times of 3000", i, n)
		}
	}
	if got := fmt.Sprint(Sample(3, 3, rng), Sample(0, 3, rng)); got != "[0 1 2] []" {
		t.Error(got)
	}
}

func TestCheckRows(t *testing.T) {
	nan := float32(math.NaN())
	for name, c := range map[string]struct {
		rows algo.Matrix
		want string
	}{
		"as they should be":     {algo.Matrix{Rows: 1, Cols: 2, Values: []float32{1, 2}}, ""},
		"too few":               {algo.Matrix{Rows: 1, Cols: 1, Values: []float32{1}}, "a row has 1 features, but the model has 2"},
		"sparse and shorter":    {algo.Matrix{Rows: 1, Cols: 1, Values: []float32{1}, Index: []int32{0}, Start: []int64{0, 1}}, ""},
		"sparse and longer":     {algo.Matrix{Rows: 1, Cols: 3, Start: []int64{0, 0}}, "a row has 3 features"},
		"a gap":                 {algo.Matrix{Rows: 2, Cols: 2, Values: []float32{1, 2, 3, nan}}, "row 2: feature 2 is missing"},
		"a sparse row with NaN": {algo.Matrix{Rows: 1, Cols: 2, Values: []float32{nan}, Index: []int32{0}, Start: []int64{0, 1}}, "a feature is NaN"},
	} {
		err := CheckRows(&c.rows, 2)
		if c.want == "" && err != nil || c.want != "" && (!algo.IsClientError(err) || !strings.Contains(err.Error(), c.want)) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
