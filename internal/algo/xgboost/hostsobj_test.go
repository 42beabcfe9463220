// SPDX-License-Identifier: Apache-2.0

package xgboost

import (
	"bytes"
	"slices"
	"strings"
	"testing"

	"github.com/sagebrush-ml/sagebrush/internal/algo"
	"github.com/sagebrush-ml/sagebrush/internal/algo/algotest"
	"github.com/sagebrush-ml/sagebrush/internal/algo/collective"
)

// inQueries makes m a ranking of groups of the given size, with degrees 0 to 2.
func inQueries(m *algo.Matrix, size int) *algo.Matrix {
	for r := range m.Rows {
		if r%size == 0 {
			m.Groups = append(m.Groups, r)
		}
	}
	m.Groups = append(m.Groups, m.Rows)
	return m
}

// Groups lie on one host each, so hosts rank as one does. One of them is idle.
func TestHostsRankAsOneHost(t *testing.T) {
	for _, c := range []struct{ objective, labels, metrics string }{
		{"rank:ndcg", "multi:softprob", "ndcg,ndcg@3-,auc"},
		{"rank:map", "binary:logistic", "map,map@2,pre@2,auc,aucpr"},
		{"rank:pairwise", "multi:softprob", "ndcg"},
	} {
		t.Run(c.objective, func(t *testing.T) {
			m, valid := inQueries(mixed(600, 6, c.labels), 20), inQueries(mixed(300, 6, c.labels), 20)
			config := plainConfig(c.objective, 5)
			config.metrics, config.patience = strings.Split(c.metrics, ","), 4
			one, err := learn(t.Context(), *config, nil, slice(m, 0, m.Rows), slice(valid, 0, valid.Rows))
			if err != nil {
				t.Fatal(err)
			}
			want, err := one.model.PredictMargin(t.Context(), m)
			if err != nil {
				t.Fatal(err)
			}
			for rank, l := range learnOn(t, config, m, valid, []int{280, 280, 600}) {
				got, err := l.model.PredictMargin(t.Context(), m)
				if err != nil {
					t.Fatal(err)
				}
				for i, v := range got.Values {
					if d := v - want.Values[i]; d > 1e-5 || d < -1e-5 {
						t.Fatalf("host %d: row %d is %v, want %v", rank+1, i, v, want.Values[i])
					}
				}
				if rank == 0 && !slices.Equal(l.lines, one.lines) {
					t.Errorf("lines\n%s\nwant\n%s", strings.Join(l.lines, "\n"), strings.Join(one.lines, "\n"))
				}
			}
		})
	}
}

// The medians of several hosts are theirs in the mean: all hosts have the same
// model, about as good as that of one.
func TestHostsLearnByMedians(t *testing.T) {
	m := mixed(1500, 6, "reg:squarederror")
	config := plainConfig("reg:absoluteerror", 8)
	one, err := learn(t.Context(), *config, nil, slice(m, 0, m.Rows), nil)
	if err != nil {
		t.Fatal(err)
	}
	loss := func(model *Model) float64 {
		p, err := model.Predict(t.Context(), m)
		if err != nil {
			t.Fatal(err)
		}
		return meanRows(&seen{m: m, preds: p.Values, width: 1, threads: 1}, func(i int) float64 {
			d := float64(p.Values[i] - m.Label[i])
			return max(d, -d)
		})
	}
	hosts := learnOn(t, config, m, nil, []int{700, 700, 1500})
	for rank, l := range hosts {
		if !bytes.Equal(l.bytes, hosts[0].bytes) {
			t.Errorf("host %d has another model", rank+1)
		}
	}
	if a, b := loss(hosts[0].model), loss(one.model); a > b*1.05 {
		t.Errorf("mean error %.4f, of one host %.4f", a, b)
	}
}

func TestObjectivesThatHostsRefuse(t *testing.T) {
	for _, c := range []struct {
		objective string
		groups    [2]bool
		want      string
	}{
		{"survival:cox", [2]bool{}, "survival:cox and cox-nloglik do not support distributed training"},
		{"rank:ndcg", [2]bool{true, false}, "some hosts have qid:n"},
	} {
		for rank, err := range algotest.Together(t, 2, func(peers *collective.Group) error {
			m := mixed(40, 3, "binary:logistic")
			if c.groups[peers.Rank()] {
				inQueries(m, 10)
			}
			_, err := learn(t.Context(), *plainConfig(c.objective, 2), peers, m, nil)
			return err
		}) {
			if !algo.IsClientError(err) || !strings.Contains(err.Error(), c.want) {
				t.Errorf("%s: host %d: %v, want %q", c.objective, rank+1, err, c.want)
			}
		}
	}
}
