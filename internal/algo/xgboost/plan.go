// SPDX-License-Identifier: Apache-2.0

package xgboost

import (
	"fmt"
	"math"
	"slices"
	"strings"

	"github.com/sagebrush-ml/sagebrush/internal/algo"
)

// method is how trees are grown.
type method int

const (
	byHistogram method = iota // hist
	bySketch                  // approx
	byValue                   // exact
)

// plan is which kind of model is learned, and how.
type plan struct {
	booster string // dartBooster, linearBooster, or "" for gbtree
	method  method
	prune   bool // after a tree is grown or refreshed
	refresh bool // after a tree is grown, or instead of growing
	// update goes on with the trees of another model in place of new ones.
	update      bool
	refreshLeaf bool
	gpu         bool // a GPU was asked for
	dask        bool // and the hosts that have all rows are to divide them
	dart        dartPlan
	biasPenalty float64 // lambda_bias of gblinear
	categorical []int   // features that hold categories
}

// planFrom reads what the plan says of p into c.
func (c *config) planFrom(p given) error {
	c.plan = plan{
		update:      p.String("process_type") == "update",
		dask:        p.String("use_dask_gpu_training") == "true",
		refreshLeaf: p.Int("refresh_leaf") == 1,
		dart: dartPlan{
			rate: p.Float("rate_drop"), skip: p.Float("skip_drop"), one: p.Int("one_drop") == 1,
			weighted: p.String("sample_type") == "weighted", forest: p.String("normalize_type") == "forest",
		},
		biasPenalty: p.Float("lambda_bias"),
	}
	if c.dask && !slices.Contains([]string{"gpu_hist", "hist"}, p.String("tree_method")) {
		return algo.ClientErrorf("Dask training is only available for `gpu_hist` training on GPU instances.")
	}
	switch name := p.String("booster"); name {
	case linearBooster:
		return c.planLinear(p)
	case dartBooster:
		c.booster = dartBooster
	}
	switch name := p.String("tree_method"); name {
	case "exact":
		c.method, c.prune = byValue, true
	case "approx":
		c.method = bySketch
	case "gpu_hist":
		c.gpu = true
	}
	if err := c.planUpdaters(p.List("updater")); err != nil {
		return err
	}
	c.gradientBased = p.String("sampling_method") == "gradient_based"
	switch {
	case c.method == byValue && c.gradientBased:
		return algo.ClientErrorf("Only uniform sampling is supported by the tree method exact: sampling_method is gradient_based")
	case c.method == byValue && c.maxDepth == 0:
		return algo.ClientErrorf("exact tree method doesn't support unlimited depth: max_depth is 0")
	case c.update && c.booster == dartBooster:
		return algo.ClientErrorf("process_type: update is for the booster gbtree, not dart")
	case c.method == bySketch && p.Has("sketch_eps") && !p.Has("max_bin"):
		c.maxBin = max(2, int(math.Ceil(1/p.Float("sketch_eps"))))
	}
	if err := c.planConstraints(p); err != nil {
		return err
	}
	return c.planCategories(p)
}

// planLinear is planFrom for the booster gblinear, whose defaults differ.
func (c *config) planLinear(p given) error {
	c.booster = linearBooster
	if updaters := p.List("updater"); len(updaters) > 1 || len(updaters) == 1 && updaters[0] != "shotgun" && updaters[0] != "coord_descent" {
		return algo.ClientErrorf("Linear updater should be one of these options: 'shotgun', 'coord_descent'.")
	}
	if c.update {
		return algo.ClientErrorf("process_type: update is for the booster gbtree, not gblinear")
	}
	if !p.Has("eta") {
		c.eta = 0.5
	}
	if !p.Has("lambda") {
		c.lambda = 0
	}
	return nil
}

// planUpdaters reads the hyperparameter updater, which outranks tree_method.
func (c *config) planUpdaters(names []string) error {
	if c.update {
		c.prune, c.refresh = false, false
		for _, name := range names {
			switch name {
			case "refresh":
				c.refresh = true
			case "prune":
				c.prune = true
			default:
				return algo.ClientErrorf("process_type 'update' can only be used with updater 'refresh' and 'prune'")
			}
		}
		if len(names) == 0 {
			return algo.ClientErrorf("process_type 'update' needs updater 'refresh', 'prune' or both")
		}
		return nil
	}
	if len(names) == 0 {
		return nil
	}
	c.method, c.prune, c.gpu = byHistogram, false, false
	grower := ""
	for _, name := range names {
		switch name {
		case "grow_quantile_histmaker", "grow_histmaker", "grow_colmaker":
			if grower != "" {
				return algo.ClientErrorf("Only one tree grow plugin can be selected: updater names %s and %s", grower, name)
			}
			grower = name
			c.method = map[string]method{"grow_histmaker": bySketch, "grow_colmaker": byValue}[name]
		case "prune":
			c.prune = true
		case "refresh":
			c.refresh = true
		case "sync": // models are the same on all hosts anyway
		case "distcol", "grow_local_histmaker", "grow_skmaker":
			return algo.ClientErrorf("Unknown tree updater %s: XGBoost has had none of that name since 1.3", name)
		case "shotgun", "coord_descent":
			return algo.ClientErrorf("Hyperparameter updater: %s is for the booster gblinear", name)
		default:
			return algo.ClientErrorf("Hyperparameter updater: %q is not a tree updater", name)
		}
	}
	if grower == "" {
		return algo.ClientErrorf("Hyperparameter updater: %s grows no trees; name grow_quantile_histmaker, grow_histmaker or grow_colmaker too",
			strings.Join(names, ","))
	}
	return nil
}

// planConstraints reads monotone_constraints and interaction_constraints.
func (c *config) planConstraints(p given) error {
	ofMethod := func(allowed ...string) bool { return slices.Contains(allowed, p.String("tree_method")) }
	if text := p.String("monotone_constraints"); !blank(text) {
		if !ofMethod("exact", "hist") {
			return algo.ClientErrorf("monotone_constraints can be used only when the tree_method parameter is set to either 'exact' or 'hist'.")
		}
		directions, err := parseDirections(text)
		if err != nil {
			return algo.ClientErrorf("Hyperparameter monotone_constraints: %v", err)
		}
		if slices.ContainsFunc(directions, func(d int8) bool { return d != 0 }) {
			c.monotone = directions
		}
	}
	if text := p.String("interaction_constraints"); !blank(text) {
		if !ofMethod("exact", "hist", "approx") {
			return algo.ClientErrorf("interaction_constraints can be used only when the tree_method parameter is set to either 'exact', 'hist' or 'approx'.")
		}
		var err error
		if c.meet, err = parseGroups(text); err != nil {
			return algo.ClientErrorf("Hyperparameter interaction_constraints: %v", err)
		}
	}
	return nil
}

// blank tells whether a constraint says nothing.
func blank(text string) bool {
	return slices.Contains([]string{"", "()", "[]", "none", "None"}, strings.TrimSpace(text))
}

// fits checks the plan against the number of features, and of hosts.
func (c *config) fits(features, hosts int) error {
	if len(c.monotone) > features {
		return algo.ClientErrorf("The size of monotone constraint should be less or equal to the number of features: "+
			"monotone_constraints has %d directions for %d features", len(c.monotone), features)
	}
	for _, group := range c.meet {
		if last := group[len(group)-1]; int(last) >= features {
			return algo.ClientErrorf("interaction_constraints names feature %d; the data has %d, counted from 0", last, features)
		}
	}
	if hosts == 1 {
		return nil
	}
	what := ""
	switch {
	case c.booster == linearBooster:
		what = "the booster gblinear"
	case c.method == byValue && !c.update:
		what = "the tree method exact"
	default:
		return nil
	}
	return fmt.Errorf("%w", algo.ClientErrorf("Distributed training is not available for %s in XGBoost, since it needs all rows in one place: use one instance", what))
}
