// SPDX-License-Identifier: Apache-2.0

package tune

import "math"

// process is a Gaussian process: what is believed of the objective everywhere
// after some of its values are known. Its kernel is Matérn's with ν = 5/2 and a
// length for each hyperparameter; two different categories lie one apart.
// Observations of earlier searches on other data are correlated with those of
// this one by a factor that is learned too.
//
// Source: Rasmussen and Williams, "Gaussian Processes for Machine Learning",
// 2006, chapters 2, 4.2 and 5.4; Snoek, Larochelle and Adams, "Practical Bayesian
// Optimization of Machine Learning Algorithms", NIPS 2012.
type process struct {
	space  Space
	x      [][]float64
	source []int // Trial.Source of each
	y      []float64
	theta  []float64

	chol  []float64 // of the kernel matrix with noise
	alpha []float64 // its inverse times (y - mean)
	mean  float64
}

// Theta is the logarithms of: a length for each hyperparameter, the variance of
// the objective, the variance of its noise; and the correlation with other
// sources as a logit. kernelBounds keeps them where numbers stay good.
const (
	priorNoise, priorNoiseSpread = -7.0, 1.5 // the objective is nearly exact, unless it shows that it is not
	priorVariance                = 0.0
	priorVarianceSpread          = 1.0
	priorLengthSpread            = 1.0
	priorShared                  = 1.0
	priorSharedSpread            = 1.5
)

// priorLength is what is believed of a length before anything is known: the
// more hyperparameters there are, the less each matters. After Hvarfner, Hellsten
// and Nardi, "Vanilla Bayesian Optimization Performs Great in High Dimensions",
// ICML 2024, with a smaller spread, since there are few points.
func (p *process) priorLength(i int) float64 {
	l := -0.7 + 0.5*math.Log(float64(len(p.space)))
	if p.space[i].Kind == Categorical {
		l -= 0.7
	}
	return l
}

// prior gives the middle of what is believed of theta, and its bounds.
func (p *process) prior() (middle, low, high []float64) {
	d := len(p.space)
	for i := range d {
		middle, low, high = append(middle, p.priorLength(i)), append(low, -4), append(high, 4)
	}
	middle, low, high = append(middle, priorVariance, priorNoise, priorShared), append(low, -4, -16, -3), append(high, 4, 1, 6)
	return middle, low, high
}

// distances are the scaled squared distances of two points by hyperparameter.
func (p *process) distances(a, b, weight, into []float64) float64 {
	sum := 0.0
	for j := range p.space {
		var q float64
		if p.space[j].Kind == Categorical {
			if a[j] != b[j] {
				q = weight[j]
			}
		} else {
			diff := a[j] - b[j]
			q = diff * diff * weight[j]
		}
		if into != nil {
			into[j] = q
		}
		sum += q
	}
	return sum
}

// weights are one over the squared lengths.
func (p *process) weights(theta []float64) []float64 {
	w := make([]float64, len(p.space))
	for j := range w {
		w[j] = math.Exp(-2 * theta[j])
	}
	return w
}

const sqrt5 = 2.23606797749979

// matern is the kernel at the squared distance q, and its slope in q times -2.
func matern(q float64) (k, slope float64) {
	r := sqrt5 * math.Sqrt(q)
	e := math.Exp(-r)
	return (1 + r + r*r/3) * e, 5.0 / 3 * (1 + r) * e
}

func (p *process) shared(theta []float64) float64 {
	return 1 / (1 + math.Exp(-theta[len(p.space)+2]))
}

// loss is minus the logarithm of the probability of theta after y is known, but
// for a constant, with its gradient.
func (p *process) loss(theta, grad []float64) float64 {
	n, d := len(p.x), len(p.space)
	w := p.weights(theta)
	variance, noise := math.Exp(theta[d]), math.Exp(theta[d+1])
	rho := p.shared(theta)
	k := make([]float64, n*n)
	slopes := make([]float64, n*n) // lower half: slope of the kernel
	for i := range n {
		for j := range i {
			v, slope := matern(p.distances(p.x[i], p.x[j], w, nil))
			if p.source[i] != p.source[j] {
				v, slope = v*rho, slope*rho
			}
			k[i*n+j], slopes[i*n+j] = variance*v, variance*slope
		}
		k[i*n+i] = variance + noise + jitter*variance
	}
	plain := append([]float64(nil), k...)
	clear(grad)
	if !cholesky(k, n) {
		return math.Inf(1)
	}
	alpha, mean := centred(k, n, p.y)
	loss := 0.0
	for i := range n {
		loss += math.Log(k[i*n+i]) + 0.5*alpha[i]*(p.y[i]-mean)
	}
	inv := inverse(k, n)
	q := make([]float64, d)
	for i := range n {
		for j := range i {
			// Each pair counts twice, and the trace's half takes it back.
			g := inv[i*n+j] - alpha[i]*alpha[j]
			p.distances(p.x[i], p.x[j], w, q)
			gs := g * slopes[i*n+j]
			for a, v := range q {
				grad[a] += gs * v
			}
			gk := g * plain[i*n+j]
			grad[d] += gk
			if p.source[i] != p.source[j] {
				grad[d+2] += gk * (1 - rho)
			}
		}
		g := 0.5 * (inv[i*n+i] - alpha[i]*alpha[i])
		grad[d] += g * variance * (1 + jitter)
		grad[d+1] += g * noise
	}
	believe := func(i int, middle, spread float64) {
		z := (theta[i] - middle) / spread
		loss += 0.5 * z * z
		grad[i] += z / spread
	}
	for a := range d {
		believe(a, p.priorLength(a), priorLengthSpread)
	}
	believe(d, priorVariance, priorVarianceSpread)
	believe(d+1, priorNoise, priorNoiseSpread)
	believe(d+2, priorShared, priorSharedSpread)
	return loss
}

// jitter keeps the kernel matrix positive definite in floating point.
const jitter = 1e-8

// centred gives the best constant mean and K⁻¹(y - mean), from K's Cholesky factor.
func centred(chol []float64, n int, y []float64) (alpha []float64, mean float64) {
	ones, ys := make([]float64, n), append([]float64(nil), y...)
	for i := range ones {
		ones[i] = 1
	}
	forwardSolve(chol, n, ones)
	forwardSolve(chol, n, ys)
	mean = dot(ones, ys) / dot(ones, ones)
	for i := range ys {
		ys[i] -= mean * ones[i]
	}
	backwardSolve(chol, n, ys)
	return ys, mean
}

// learn finds theta, from several starts; those given come first.
func (p *process) learn(steps int, starts ...[]float64) []float64 {
	middle, low, high := p.prior()
	if len(starts) == 0 {
		short := append([]float64(nil), middle...)
		for j := range p.space {
			short[j] -= 1.2
		}
		short[len(p.space)+1] = -5
		starts = [][]float64{middle, short}
	}
	var best []float64
	least := math.Inf(1)
	for _, from := range starts {
		if theta, v := minimize(p.loss, from, low, high, steps); best == nil || v < least {
			best, least = theta, v
		}
	}
	return best
}

// condition makes the process ready to predict with theta. Noise is raised until
// the matrix can be taken apart.
func (p *process) condition(theta []float64) {
	n, d := len(p.x), len(p.space)
	p.theta = append([]float64(nil), theta...)
	w, variance, rho := p.weights(theta), math.Exp(theta[d]), p.shared(theta)
	for {
		noise := math.Exp(p.theta[d+1])
		k := make([]float64, n*n)
		for i := range n {
			for j := range i {
				v, _ := matern(p.distances(p.x[i], p.x[j], w, nil))
				if p.source[i] != p.source[j] {
					v *= rho
				}
				k[i*n+j] = variance * v
			}
			k[i*n+i] = variance + noise + jitter*variance
		}
		if cholesky(k, n) {
			p.chol = k
			break
		}
		p.theta[d+1] += 2
	}
	p.alpha, p.mean = centred(p.chol, n, p.y)
}

// with is the process after one more observation of this search, whose kernel
// matrix need not be taken apart anew.
func (p *process) with(x []float64, y float64) *process {
	n, d := len(p.x), len(p.space)
	out := *p
	out.x = append(p.x[:n:n], x)
	out.y = append(p.y[:n:n], y)
	out.source = append(p.source[:n:n], 0)
	m := n + 1
	out.chol = make([]float64, m*m)
	for i := range n {
		copy(out.chol[i*m:i*m+i+1], p.chol[i*n:i*n+i+1])
	}
	row := out.chol[n*m : n*m+n]
	p.kernelRow(x, row, nil)
	forwardSolve(p.chol, n, row)
	variance := math.Exp(p.theta[d])
	rest := variance + math.Exp(p.theta[d+1]) + jitter*variance - dot(row, row)
	out.chol[n*m+n] = math.Sqrt(max(rest, jitter*variance))
	out.alpha, out.mean = centred(out.chol, m, out.y)
	return &out
}

// kernelRow writes the kernel between x and all observations, and the slopes
// (see matern) when they are wanted.
func (p *process) kernelRow(x, k, slopes []float64) {
	variance, rho := math.Exp(p.theta[len(p.space)]), p.shared(p.theta)
	w := p.weights(p.theta)
	for i, xi := range p.x {
		v, slope := matern(p.distances(x, xi, w, nil))
		c := variance
		if p.source[i] != 0 {
			c *= rho
		}
		k[i] = c * v
		if slopes != nil {
			slopes[i] = c * slope
		}
	}
}

// predict gives mean and standard deviation of the objective at x, without noise.
// With a gradient of both, for the numbers among the hyperparameters, when
// gradMean is not nil.
func (p *process) predict(x, gradMean, gradSpread []float64) (mean, spread float64) {
	n, d := len(p.x), len(p.space)
	k := make([]float64, n)
	var slopes []float64
	if gradMean != nil {
		slopes = make([]float64, n)
	}
	p.kernelRow(x, k, slopes)
	mean = p.mean + dot(k, p.alpha)
	v := append([]float64(nil), k...)
	forwardSolve(p.chol, n, v)
	variance := math.Exp(p.theta[d])
	spread = math.Sqrt(max(variance-dot(v, v), 1e-12*variance))
	if gradMean == nil {
		return mean, spread
	}
	backwardSolve(p.chol, n, v) // K⁻¹k
	w := p.weights(p.theta)
	clear(gradMean)
	clear(gradSpread)
	for i, xi := range p.x {
		for j := range p.space {
			if p.space[j].Kind == Categorical {
				continue
			}
			dk := -slopes[i] * (x[j] - xi[j]) * w[j]
			gradMean[j] += dk * p.alpha[i]
			gradSpread[j] -= dk * v[i] / spread
		}
	}
	return mean, spread
}

// logImprovement is the logarithm of the expected improvement on the value best
// at a place with this mean and spread, and its slopes in both. Lower values are
// better. It is exact where the improvement itself is too small for a number.
//
// Source: Ament et al., "Unexpected Improvements to Expected Improvement for
// Bayesian Optimization", NeurIPS 2023.
func logImprovement(best, mean, spread float64) (value, byMean, bySpread float64) {
	z := (best - mean) / spread
	const log2pi = 1.8378770664093453
	logDensity := -0.5*z*z - 0.5*log2pi
	var h, mass float64 // improvement and Φ(z), both over the density and the spread
	switch {
	case z > -1:
		density := math.Exp(logDensity)
		below := 0.5 * math.Erfc(-z/math.Sqrt2)
		h, mass = 1+z*below/density, below/density
		if z > 30 {
			return math.Log(best - mean), -1 / (best - mean), 0
		}
	case z > -20:
		mass = math.Sqrt(math.Pi/2) * math.Exp(0.5*z*z) * math.Erfc(-z/math.Sqrt2)
		h = 1 + z*mass
	default:
		mass = -1 / z * (1 - 1/(z*z))
		h = 1 / (z * z) * (1 - 3/(z*z))
	}
	return logDensity + math.Log(h) + math.Log(spread), -mass / (h * spread), 1 / (h * spread)
}
