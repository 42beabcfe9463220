// SPDX-License-Identifier: Apache-2.0

package xgboost

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
)

// importanceFile is where training tells how much each feature counts.
const importanceFile = "feature_importance.json"

// importance gives what Booster.get_score gives, by the kind of importance and
// the feature: how often it is split (weight), what its splits gain and how many
// rows, by their hessians, they divide, in the mean (gain, cover) and in all.
// Features that are never split are left out. A linear model has its weights,
// one or one per output.
func (m *Model) importance() map[string]map[string]any {
	name := func(f int) string {
		if f < len(m.names) {
			return m.names[f]
		}
		return "f" + strconv.Itoa(f)
	}
	out := map[string]map[string]any{"weight": {}}
	if linear := m.linear; linear != nil {
		for f := range m.features {
			values := linear[f*m.width : (f+1)*m.width]
			out["weight"][name(f)] = values
			if m.width == 1 {
				out["weight"][name(f)] = values[0]
			}
		}
		return out
	}
	type sums struct {
		n           int
		gain, cover float64
	}
	by := map[int]*sums{}
	for i := range m.trees {
		t := &m.trees[i]
		for at, left := range t.left {
			if left < 0 {
				continue
			}
			f := int(t.feature[at])
			if by[f] == nil {
				by[f] = &sums{}
			}
			by[f].n++
			by[f].gain += float64(t.gain[at])
			by[f].cover += float64(t.hess[at])
		}
	}
	for _, kind := range []string{"gain", "cover", "total_gain", "total_cover"} {
		out[kind] = map[string]any{}
	}
	for f, s := range by {
		n := float64(s.n)
		out["weight"][name(f)] = n
		out["gain"][name(f)], out["total_gain"][name(f)] = float32(s.gain/n), float32(s.gain)
		out["cover"][name(f)], out["total_cover"][name(f)] = float32(s.cover/n), float32(s.cover)
	}
	return out
}

// saveImportance writes the importance of features into dir, where there is one.
func (m *Model) saveImportance(dir string) error {
	if dir == "" {
		return nil
	}
	b, err := json.Marshal(m.importance())
	if err == nil {
		err = os.MkdirAll(dir, 0o755)
	}
	if err == nil {
		err = os.WriteFile(filepath.Join(dir, importanceFile), append(b, '\n'), 0o644)
	}
	if err != nil {
		return fmt.Errorf("save the importance of features: %w", err)
	}
	return nil
}
