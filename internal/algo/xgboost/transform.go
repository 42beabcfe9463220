// SPDX-License-Identifier: Apache-2.0

package xgboost

import "math"

// transform is what an objective does with a margin to make a prediction of it.
type transform int

const (
	unknownTransform transform = iota
	identity
	toProbability   // logistic sigmoid
	toMean          // exponential
	toSide          // hinge: 1 above 0, else 0
	toClass         // softmax: the number of the best class
	toProbabilities // softprob: one probability per class
)

// transformOf gives the transform of an objective by name, unknownTransform
// for a name that XGBoost does not have.
func transformOf(objective string) transform {
	switch objective {
	case "reg:squarederror", "reg:linear", "reg:squaredlogerror", "reg:pseudohubererror", "reg:absoluteerror",
		"reg:quantileerror", "binary:logitraw", "rank:pairwise", "rank:ndcg", "rank:map":
		return identity
	case "binary:logistic", "reg:logistic":
		return toProbability
	case "count:poisson", "reg:gamma", "reg:tweedie", "survival:cox", "survival:aft":
		return toMean
	case "binary:hinge":
		return toSide
	case "multi:softmax":
		return toClass
	case "multi:softprob":
		return toProbabilities
	}
	return unknownTransform
}

// marginOf turns an intercept of the model file into a margin.
func marginOf(objective string, base float32) float32 {
	switch {
	case transformOf(objective) == toProbability:
		return float32(-math.Log(1/float64(base) - 1))
	case transformOf(objective) == toMean:
		return float32(math.Log(float64(base)))
	}
	return base
}

// apply transforms rows of width margins in place. For toClass it gives the
// class in the first value of each row.
func (t transform) apply(values []float32, width int) {
	switch t {
	case toProbability:
		for i, v := range values {
			values[i] = sigmoid(v)
		}
	case toMean:
		for i, v := range values {
			values[i] = exp32(v)
		}
	case toSide:
		for i, v := range values {
			values[i] = 0
			if v > 0 {
				values[i] = 1
			}
		}
	case toClass:
		for at := 0; at < len(values); at += width {
			values[at] = float32(highest(values[at : at+width]))
		}
	case toProbabilities:
		for at := 0; at < len(values); at += width {
			softmax(values[at : at+width])
		}
	}
}

// softmax turns the margins of one row into probabilities, in place.
func softmax(row []float32) {
	top := row[0]
	for _, v := range row {
		top = max(top, v)
	}
	var sum float64
	for i, v := range row {
		row[i] = exp32(v - top)
		sum += float64(row[i])
	}
	for i := range row {
		row[i] = float32(float64(row[i]) / sum)
	}
}

// highest gives the place of the largest value, the first among equals.
func highest(row []float32) int {
	best := 0
	for i, v := range row {
		if v > row[best] {
			best = i
		}
	}
	return best
}

func sigmoid(x float32) float32 { return float32(1 / (1 + exp(-float64(x)))) }

func exp32(x float32) float32 { return float32(exp(float64(x))) }

// exp is e^x to a relative error below 1e-8, finer than float32 can tell, at
// half the cost of math.Exp. x is cut into k·ln 2 + r, |r| ≤ ln(2)/2, and e^r
// is its Taylor series up to r^7, in pairs that do not wait for each other.
func exp(x float64) float64 {
	if !(x > -700 && x < 700) {
		return math.Exp(x)
	}
	k := math.Floor(x*math.Log2E + 0.5)
	r := x - k*math.Ln2
	r2 := r * r
	p := (1 + r) + r2*((1./2+r*(1./6))+r2*((1./24+r*(1./120))+r2*(1./720+r*(1./5040))))
	return p * math.Float64frombits(uint64(int64(k)+1023)<<52)
}
