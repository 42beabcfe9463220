// SPDX-License-Identifier: Apache-2.0

package fm

import (
	"math"
	"math/rand/v2"
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/sagebrush-ml/sagebrush/internal/algo"
	"github.com/sagebrush-ml/sagebrush/internal/algo/algotest"
	"github.com/sagebrush-ml/sagebrush/internal/algo/mxnet"
	"github.com/sagebrush-ml/sagebrush/internal/algo/ndarray"
	"github.com/sagebrush-ml/sagebrush/internal/algo/vec"
)

// drawn is rows of users, items and an amount, whose labels follow a
// factorization machine with two factors, by do.
func drawn(rows, users, items int, do func(score, noise float64) float32) *algo.Matrix {
	rng := rand.New(rand.NewPCG(3, 4))
	draw := func(n int) [][3]float64 {
		var all [][3]float64
		for range n {
			all = append(all, [3]float64{rng.NormFloat64(), rng.NormFloat64(), rng.NormFloat64()})
		}
		return all
	}
	u, it := draw(users), draw(items)
	m := &algo.Matrix{Rows: rows, Cols: users + items + 1}
	for range rows {
		a, b, amount := rng.IntN(users), rng.IntN(items), math.Round(100*rng.Float64())/100
		row := make([]float32, m.Cols)
		row[a], row[users+b], row[users+items] = 1, 1, float32(amount)
		score := 0.5*(u[a][2]+it[b][2]) + u[a][0]*it[b][0] + u[a][1]*it[b][1] + amount
		m.Values = append(m.Values, row...)
		m.Label = append(m.Label, do(score, rng.NormFloat64()))
	}
	return m
}

func zeroOrOne(score, noise float64) float32 {
	if score+0.5*noise > 0 {
		return 1
	}
	return 0
}

func rating(score, noise float64) float32 { return float32(3 + score + 0.1*noise) }

var quick = map[string]string{"bias_lr": "0.1", "linear_lr": "0.05", "factors_lr": "0.05", "factors_init_sigma": "0.1", "mini_batch_size": "100", "num_factors": "3"}

func with(base map[string]string, more ...string) map[string]string {
	out := map[string]string{}
	for name, v := range base {
		out[name] = v
	}
	for i := 0; i < len(more); i += 2 {
		out[more[i]] = more[i+1]
	}
	return out
}

func TestAlgorithm(t *testing.T) {
	two, ratings := drawn(250, 5, 4, zeroOrOne), drawn(220, 4, 5, rating)
	algotest.Run(t, New(), []algotest.Case{
		{
			Name:     "binary, sparse, with test",
			Params:   with(quick, "predictor_type", "binary_classifier", "feature_dim", "10", "epochs", "4", "batch_metrics_publish_interval", "1"),
			Channels: map[string]algotest.Channel{"train": algotest.RecordIO(two, true), "test": algotest.RecordIO(two, true)},
			Rows:     two,
			Long:     map[string]string{"epochs": "1000000000"},
		},
		{
			Name: "numbers, dense",
			Params: with(quick, "predictor_type", "regressor", "feature_dim", "10", "epochs", "3", "mini_batch_size", "64", "clip_gradient", "0.5", "rescale_grad", "0.02",
				"eps", "0.0001", "bias_init_method", "constant", "bias_init_value", "2.5", "factors_init_method", "uniform", "factors_init_scale", "0.2"),
			Channels: map[string]algotest.Channel{"train": algotest.RecordIO(ratings, false)},
			Rows:     ratings,
		},
	})
}

// job trains on RecordIO text and gives the model and the lines of the log.
func job(t *testing.T, params, channels map[string]string) (*Model, []string, error) {
	t.Helper()
	all := map[string]algotest.Channel{}
	for name, text := range channels {
		all[name] = algotest.Channel{Files: map[string]string{"data": text}}
	}
	m, log, err := algotest.Train[*Model](t, New(), params, all)
	return m, strings.Split(log, "\n"), err
}

func text(m *algo.Matrix, sparse bool) string { return algotest.RecordIO(m, sparse).Files["data.rec"] }

func TestItFindsTheMachineBehindTheData(t *testing.T) {
	m, _, err := job(t, with(quick, "predictor_type", "regressor", "feature_dim", "51", "epochs", "80", "factors_lr", "0.01", "linear_lr", "0.01"),
		map[string]string{"train": text(drawn(6000, 30, 20, rating), true)})
	if err != nil {
		t.Fatal(err)
	}
	rows := drawn(6000, 30, 20, rating)
	p, err := m.Predict(t.Context(), rows)
	if err != nil {
		t.Fatal(err)
	}
	sum := 0.0
	for i, y := range rows.Label {
		e := float64(p.Values[i] - y)
		sum += e * e
	}
	if rmse := math.Sqrt(sum / float64(rows.Rows)); rmse > 0.115 { // the noise is 0.1
		t.Errorf("the root of the mean squared error is %v; the noise is 0.1", rmse)
	}
}

func TestScoresAreThoseOfTheDefinition(t *testing.T) {
	m := &Model{factors: 2, bias: 0.5, linear: []float32{1, -2, 3}, pairs: []float32{1, 2, 3, -1, 0.5, 4}}
	m.prepare()
	x := []float64{2, 0.5, -1}
	want := 0.5
	for i, v := range x {
		want += float64(m.linear[i]) * v
		for j := i + 1; j < len(x); j++ {
			want += float64(vec.Dot(m.pairs[2*i:2*i+2], m.pairs[2*j:2*j+2])) * v * x[j]
		}
	}
	for name, rows := range map[string]*algo.Matrix{
		"dense":  {Rows: 1, Cols: 3, Values: []float32{2, 0.5, -1}},
		"sparse": {Rows: 1, Cols: 3, Values: []float32{2, 0.5, -1}, Index: []int32{0, 1, 2}, Start: []int64{0, 3}},
	} {
		p, err := m.Predict(t.Context(), rows)
		if err != nil || math.Abs(float64(p.Values[0])-want) > 1e-6 {
			t.Errorf("%s: %v %v, want %v", name, p, err, want)
		}
	}
}

func TestGradientsAreThoseOfTheLoss(t *testing.T) {
	rows := drawn(7, 3, 2, rating)
	const k = 2
	w := &work{config: &config{factors: k, features: rows.Cols}, model: &Model{factors: k, bias: 0.1}}
	rng := rand.New(rand.NewPCG(1, 1))
	for range rows.Cols {
		w.model.linear = append(w.model.linear, float32(rng.NormFloat64()))
		w.model.pairs = append(w.model.pairs, float32(rng.NormFloat64()), float32(rng.NormFloat64()))
	}
	tab := &table{Matrix: sparse(rows)}
	loss := func() float64 {
		sum, room := 0.0, w.model.room()
		for i := range rows.Rows {
			e := w.model.score(rows, i, room) - float64(rows.Label[i])
			sum += e * e / 2
		}
		return sum
	}
	b := &w.batch
	b.slot, b.sums, b.slopes = make([]int32, rows.Cols), make([]float32, 7*k), make([]float32, 7)
	w.squares = make([]float32, rows.Cols)
	for f := range w.squares {
		w.squares[f] = vec.Dot(w.model.pairs[f*k:(f+1)*k], w.model.pairs[f*k:(f+1)*k])
	}
	for i := range 7 {
		b.rows = append(b.rows, int32(i))
		var y tally
		b.slopes[i] = y.add(false, w.score(tab, i, b.sums[i*k:(i+1)*k]), rows.Label[i])
	}
	b.turn(tab, len(tab.Values))
	g := make([]float32, k)
	for i, f := range b.features {
		slope, square := b.addUp(i, k, g)
		difference := func(x *float32) float64 {
			const h = 1.0 / 256
			was := *x
			*x = was + h
			up := loss()
			*x = was - h
			down := loss()
			*x = was
			return (up - down) / (2 * h)
		}
		if want := difference(&w.model.linear[f]); math.Abs(want-float64(slope)) > 1e-3 {
			t.Errorf("feature %d: derivative %v of the weight, differences say %v", f, slope, want)
		}
		for j := range k {
			v := &w.model.pairs[int(f)*k+j]
			if got, want := float64(g[j]-square**v), difference(v); math.Abs(want-got) > 1e-3 {
				t.Errorf("feature %d: derivative %v of factor %d, differences say %v", f, got, j, want)
			}
		}
	}
	if len(b.features) < 4 {
		t.Errorf("only %d features in the batch", len(b.features))
	}
}

func TestMetricsAreFoundInTheLog(t *testing.T) {
	for kind, not := range map[string]string{"binary_classifier": "mse|absolute", "regressor": "binary"} {
		rows := drawn(50, 3, 3, zeroOrOne)
		_, lines, err := job(t, map[string]string{"predictor_type": kind, "feature_dim": "7", "num_factors": "2"},
			map[string]string{"train": text(rows, true), "test": text(rows, false)})
		if err != nil {
			t.Fatal(err)
		}
		log := strings.Join(lines, "\n")
		for _, m := range metrics() {
			if !regexp.MustCompile(not).MatchString(strings.ReplaceAll(m.Name, "rmse", "mse")) && !regexp.MustCompile(m.Regex).MatchString(log) {
				t.Errorf("%s: nothing in the log matches %s", m.Name, m.Regex)
			}
		}
		if !regexp.MustCompile(`#quality_metric: host=algo-1, epoch=0, batch=0 train \S+ <(loss|score)>=\S+`).MatchString(log) {
			t.Errorf("no line of a batch in\n%s", log)
		}
	}
}

func TestBadInputNamesChannelFileAndPlace(t *testing.T) {
	two := map[string]string{"predictor_type": "binary_classifier", "feature_dim": "7", "num_factors": "2"}
	rows := drawn(20, 3, 3, zeroOrOne)
	infinite := drawn(20, 3, 3, zeroOrOne)
	infinite.Values[7*4+6] = float32(math.Inf(1))
	for name, c := range map[string]struct {
		params, channels map[string]string
		want             string
	}{
		"a label that is no class": {two, map[string]string{"train": text(drawn(20, 3, 3, rating), true)}, "train channel: file data, record 1: the label is"},
		"other feature_dim":        {with(two, "feature_dim", "6"), map[string]string{"train": text(rows, false)}, "record 1: has 7 features, but feature_dim is 6"},
		"a feature too many":       {with(two, "feature_dim", "6"), map[string]string{"train": text(rows, true)}, "has 7 features, but feature_dim is 6"},
		"infinity":                 {two, map[string]string{"train": text(infinite, true)}, "record 5: feature 7 is infinite"},
		"truncated":                {two, map[string]string{"train": text(rows, true), "test": text(rows, true)[:150]}, "test channel: file data, record 3"},
		"CSV":                      {two, map[string]string{"train": "1,2,3\n"}, "train channel: file data: is no RecordIO, which was expected"},
		"too many weights":         {with(two, "feature_dim", "1000000000", "num_factors", "1000"), map[string]string{"train": text(rows, true)}, "feature_dim"},
		"rates that diverge":       {with(two, "factors_lr", "1e38", "epochs", "3"), map[string]string{"train": text(rows, true)}, "training diverged"},
	} {
		t.Run(name, func(t *testing.T) {
			_, _, err := job(t, c.params, c.channels)
			if err == nil || !algo.IsClientError(err) || !strings.Contains(err.Error(), c.want) {
				t.Errorf("error %v, want a client error with %q", err, c.want)
			}
		})
	}
}

func TestOddDataThatIsLegal(t *testing.T) {
	one := drawn(1, 1, 1, rating)
	for name, c := range map[string]struct {
		params map[string]string
		rows   *algo.Matrix
	}{
		"one row":           {map[string]string{"predictor_type": "regressor", "feature_dim": "3", "num_factors": "1"}, one},
		"one column":        {map[string]string{"predictor_type": "regressor", "feature_dim": "1", "num_factors": "1"}, &algo.Matrix{Rows: 2, Cols: 1, Values: []float32{1, 0}, Label: []float32{1, 2}}},
		"neither bias":      {map[string]string{"predictor_type": "regressor", "feature_dim": "3", "num_factors": "1", "use_bias": "false", "use_linear": "false"}, one},
		"a million columns": {map[string]string{"predictor_type": "regressor", "feature_dim": "1000000", "num_factors": "2"}, one},
	} {
		t.Run(name, func(t *testing.T) {
			m, _, err := job(t, c.params, map[string]string{"train": text(c.rows, true)})
			if err != nil {
				t.Fatal(err)
			}
			if name == "neither bias" && (m.bias != 0 || m.linear[0] != 0) {
				t.Error("a bias or weights are learned")
			}
		})
	}
}

func TestAnArtifactWithoutOurFileIsKnownByItsNetwork(t *testing.T) {
	m := &Model{binary: true, factors: 2, bias: 0.5, linear: []float32{1, -2}, pairs: []float32{1, 2, 3, -1}}
	m.prepare()
	rows := &algo.Matrix{Rows: 1, Cols: 2, Values: []float32{1, 1}}
	want, err := m.Predict(t.Context(), rows)
	if err != nil {
		t.Fatal(err)
	}
	v := ndarray.Array{Name: "arg:v", Shape: []int{2, 2}, Values: m.pairs}
	linear := ndarray.Array{Name: "arg:w1_weight", Shape: []int{2, 1}, Values: m.linear}
	load := func(symbol []byte, arrays ...ndarray.Array) (algo.Model, error) {
		dir := t.TempDir()
		if err := mxnet.Save(dir, mxnet.File{Name: symbolFile, Content: symbol}, mxnet.File{Name: paramsFile, Content: ndarray.Append(nil, arrays...)}); err != nil {
			t.Fatal(err)
		}
		return New().Load(os.DirFS(dir))
	}
	got, err := load(m.symbol(), ndarray.Array{Name: "arg:w0_weight", Shape: []int{1, 1}, Values: []float32{m.bias}}, linear, v)
	if err != nil {
		t.Fatal(err)
	}
	if p, err := got.Predict(t.Context(), rows); err != nil || len(p.Values) != 2 || p.Values[0] != want.Values[0] {
		t.Errorf("%v %v, want %v", p, err, want)
	}
	linear.Values, linear.Shape = linear.Values[:1], []int{1, 1}
	for text, arrays := range map[string][]ndarray.Array{"the array v is missing": {linear}, "w1_weight has 1 values for 2": {linear, v}} {
		if _, err := load(nil, arrays...); err == nil || !algo.IsClientError(err) || !strings.Contains(err.Error(), text) {
			t.Errorf("error %v, want a client error with %q", err, text)
		}
	}
}
