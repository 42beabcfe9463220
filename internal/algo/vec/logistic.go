// SPDX-License-Identifier: Apache-2.0

package vec

import "math"

// factorsMost is how many numbers from 1 to 2 have a product that float32 holds.
const factorsMost = 120

// Logistic is the loss ln(1+e^-s) of scores s of rows labelled y = 1, times w, and
// ln(1+e^s) of those labelled 0. It writes the derivatives into g and adds the
// sum of each column to losses. s and g are matrices of a row for each of y and a
// column for each of w: one, or a multiple of Lanes. g may be s.
//
// A derivative is within 4 units of the last place, and no nearer to 0 than 4.5e-38.
func Logistic(g, s, y, w []float32, losses []float64) {
	n := len(w)
	if n%Lanes != 0 && n != 1 {
		panic("vec: columns are no whole lanes")
	}
	g, s, losses = g[:len(y)*n], s[:len(y)*n], losses[:n]
	if n == 1 { // its rows are rows of Lanes
		var all [Lanes]float32
		var sums [Lanes]float64
		for i := range all {
			all[i] = w[0]
		}
		whole := len(y) &^ (Lanes - 1)
		logisticParts(g[:whole], s[:whole], y[:whole], all[:], sums[:], Lanes)
		if left := len(y) - whole; left > 0 {
			var tail, labels [Lanes]float32
			for i := range tail {
				tail[i] = -100 // has no loss
			}
			copy(tail[:], s[whole:])
			copy(labels[:], y[whole:])
			logisticParts(tail[:], tail[:], labels[:], all[:], sums[:], Lanes)
			copy(g[whole:], tail[:left])
		}
		for _, v := range sums {
			losses[0] += v
		}
		return
	}
	logisticParts(g, s, y, w, losses, 1)
}

// logisticParts does as many rows at a time as have a product of their factors
// 1+e^-|s|, and takes few logarithms of those. A row has so many labels.
func logisticParts(g, s, y, w []float32, losses []float64, labels int) {
	const few, parts = 4 * Lanes, 1023 / factorsMost
	n := len(w)
	var room [3 * few]float32
	var products [2 * few]float64
	sums, ones, zeros := room[:], products[:few], products[few:]
	if n > few {
		sums, ones, zeros = make([]float32, 3*n), make([]float64, n), make([]float64, n)
	}
	sums, ones, zeros = sums[:3*n], ones[:n], zeros[:n]
	for part := 0; len(y) > 0; part++ {
		rows := min(factorsMost, len(y)/labels)
		clear(sums[:n])
		for j := n; j < 3*n; j++ {
			sums[j] = 1
		}
		if labels == 1 {
			logistic(g[:rows*n], s[:rows*n], y[:rows], w, sums)
		} else {
			logisticEach(g[:rows*n], s[:rows*n], y[:rows*n], w, sums)
		}
		g, s, y = g[rows*n:], s[rows*n:], y[rows*labels:]
		for j := range losses {
			losses[j] += float64(sums[j])
			zero, one := float64(sums[n+j]), float64(sums[2*n+j])
			if part%parts > 0 {
				zero, one = zero*zeros[j], one*ones[j]
			}
			switch {
			case len(y) > 0 && part%parts < parts-1:
				zeros[j], ones[j] = zero, one
			case w[j] == 1:
				losses[j] += math.Log(zero * one)
			default:
				losses[j] += math.Log(zero) + float64(w[j])*math.Log(one)
			}
		}
	}
}

func logisticScalar(g, s, y, w, sums []float32) {
	for i, label := range y {
		logisticRow(g[i*len(w):], s[i*len(w):], w, sums, func(int) float32 { return label })
	}
}

func logisticEachScalar(g, s, y, w, sums []float32) {
	for i := 0; i < len(y); i += len(w) {
		logisticRow(g[i:], s[i:], w, sums, func(j int) float32 { return y[i+j] })
	}
}

// logisticRow does a row and adds to the columns' sums of max(t, 0), where t is the
// score that is wrong above 0, and to the two products of 1+e^-|t|, by label.
func logisticRow(g, s, w, sums []float32, label func(j int) float32) {
	n := len(w)
	for j, weight := range w {
		t, sign, product := s[j], float32(1), n+j
		if label(j) == 1 {
			t, sign, product = -t, -weight, 2*n+j
		}
		e := float32(math.Exp(max(-math.Abs(float64(t)), -86)))
		slope := 1 / (1 + e)
		if t < 0 {
			slope *= e
		}
		g[j] = slope * sign
		sums[product] *= 1 + e
		sums[j] += max(t, 0) * float32(math.Abs(float64(sign)))
	}
}
