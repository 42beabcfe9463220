// SPDX-License-Identifier: Apache-2.0

package linear

import (
	"math"

	"github.com/sagebrush-ml/sagebrush/internal/algo/vec"
)

// loss is a loss of one score and one label, and its parameter: margin,
// quantile, insensitivity or delta.
type loss struct {
	name string
	at   float32
}

// objective is what the log calls the mean loss.
func (l loss) objective(weighted bool) string {
	switch l.name {
	case "logistic":
		if weighted {
			return "binary_classification_weighted_cross_entropy_objective"
		}
		return "binary_classification_cross_entropy_objective"
	case "softmax_loss":
		if weighted {
			return "multiclass_weighted_cross_entropy_objective"
		}
		return "multiclass_cross_entropy_objective"
	case "squared_loss":
		return "mse_objective"
	}
	return l.name + "_objective"
}

// scaled is l for labels that were divided by s: the loss of scaled scores, times
// back, is the loss of the scores.
func (l loss) scaled(s float64) (in loss, back float64) {
	in, back = l, s
	switch l.name {
	case "squared_loss":
		back = s * s
	case "eps_insensitive_squared_loss", "huber_loss":
		in.at, back = float32(float64(l.at)/s), s*s
	case "eps_insensitive_absolute_loss":
		in.at = float32(float64(l.at) / s)
	case "logistic", "hinge_loss", "softmax_loss":
		back = 1
	}
	return in, back
}

// curvature is the largest second derivative, or what steps may take for one
// where there is none.
func (l loss) curvature() float64 {
	switch l.name {
	case "logistic":
		return 0.25
	case "squared_loss", "eps_insensitive_squared_loss":
		return 2
	}
	return 1
}

// slope writes the derivative of the loss of each score, times the row's weight,
// into g and gives the sum of the weighted losses; of logistic vec.Logistic does.
// That of row i is g[i*stride], as its score s[i*stride]; y is 0 or 1 of a classifier.
// weight is of rows labelled 1.
func (l loss) slope(g, s []float32, stride int, y []float32, weight float32) float64 {
	switch l.name {
	case "hinge_loss":
		return hinge(g, s, stride, y, weight, l.at)
	case "quantile_loss":
		return quantile(g, s, stride, y, l.at)
	case "squared_loss":
		sum := 0.0
		for i, label := range y {
			e := s[i*stride] - label
			g[i*stride] = 2 * e
			sum += float64(e) * float64(e)
		}
		return sum
	}
	sum := 0.0
	for i, label := range y {
		e := s[i*stride] - label
		a, sign := e, float32(1)
		if e < 0 {
			a, sign = -e, -1
		}
		switch l.name {
		case "absolute_loss":
			g[i*stride] = sign
			if e == 0 {
				g[i*stride] = 0
			}
			sum += float64(a)
		case "huber_loss":
			if a <= l.at {
				g[i*stride] = e
				sum += 0.5 * float64(e) * float64(e)
			} else {
				g[i*stride] = sign * l.at
				sum += float64(l.at) * (float64(a) - 0.5*float64(l.at))
			}
		default: // insensitive
			a -= l.at
			switch {
			case !(a > 0) && a == a: // not of NaN
				g[i*stride] = 0
			case l.name == "eps_insensitive_absolute_loss":
				g[i*stride] = sign
				sum += float64(a)
			default:
				g[i*stride] = 2 * sign * a
				sum += float64(a) * float64(a)
			}
		}
	}
	return sum
}

func hinge(g, s []float32, stride int, y []float32, weight, margin float32) float64 {
	sum := 0.0
	for i, label := range y {
		sign, w := float32(-1), float32(1)
		if label > 0 {
			sign, w = 1, weight
		}
		short := margin - sign*s[i*stride]
		g[i*stride] = 0
		if short > 0 || short != short {
			g[i*stride] = -sign * w
			sum += float64(short) * float64(w)
		}
	}
	return sum
}

// quantile is max(q(y-s), (q-1)(y-s)).
func quantile(g, s []float32, stride int, y []float32, q float32) float64 {
	sum := 0.0
	for i, label := range y {
		switch e := label - s[i*stride]; {
		case e == 0:
			g[i*stride] = 0
		case e < 0:
			g[i*stride] = 1 - q
			sum += float64(q-1) * float64(e)
		default:
			g[i*stride] = -q
			sum += float64(q) * float64(e)
		}
	}
	return sum
}

// softmax turns the k scores of each row, s[i*stride:], into the derivatives of
// the cross entropy in g, laid out alike. weights are by class, nil for all 1. It gives
// the sum of the weighted losses; room is for rows×k numbers.
func softmax(g, s, room []float32, stride, k int, y, weights []float32) float64 {
	sum, rows := 0.0, len(y)
	for i, label := range y {
		row, to := s[i*stride:i*stride+k], room[i*k:(i+1)*k]
		most := row[0]
		for _, v := range row {
			if v > most || v != v {
				most = v
			}
		}
		for c, v := range row {
			to[c] = v - most
		}
		sum -= classWeight(weights, label) * float64(to[int(label)])
	}
	vec.Exp(room, room[:rows*k])
	for i, label := range y {
		row, to, total := room[i*k:(i+1)*k], g[i*stride:i*stride+k], float32(0)
		for _, t := range row {
			total += t
		}
		w := classWeight(weights, label)
		sum += w * math.Log(float64(total))
		scale := float32(w) / total
		for c, t := range row {
			to[c] = t * scale
		}
		to[int(label)] -= float32(w)
	}
	return sum
}

func classWeight(weights []float32, label float32) float64 {
	if weights == nil {
		return 1
	}
	return float64(weights[int(label)])
}
