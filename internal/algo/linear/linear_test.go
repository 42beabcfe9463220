// SPDX-License-Identifier: Apache-2.0

package linear

import (
	"fmt"
	"maps"
	"math"
	"math/rand/v2"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/sagebrush-ml/sagebrush/internal/algo"
	"github.com/sagebrush-ml/sagebrush/internal/algo/algotest"
	"github.com/sagebrush-ml/sagebrush/internal/algo/vec"
)

// drawn is rows whose labels follow a linear model of the features, by do.
func drawn(rows, cols int, do func(score, noise float64) float32) *algo.Matrix {
	rng := rand.New(rand.NewPCG(1, 2))
	m := &algo.Matrix{Rows: rows, Cols: cols}
	for range rows {
		score := 0.5
		for f := range cols {
			v := math.Round(100*(rng.NormFloat64()*float64(f+1)+float64(f))) / 100
			m.Values = append(m.Values, float32(v))
			score += (v - float64(f)) / float64(f+1) * float64(1-2*(f%2))
		}
		m.Label = append(m.Label, do(score, rng.NormFloat64()))
	}
	return m
}

func zeroOrOne(score, noise float64) float32 {
	if score+noise > 0 {
		return 1
	}
	return 0
}

func ofFour(score, noise float64) float32 {
	return float32(min(3, max(0, math.Floor(score+noise/2+2))))
}

func price(score, noise float64) float32 { return float32(math.Round(100*(300+20*score+noise)) / 100) }

func csvText(m *algo.Matrix) string {
	var b strings.Builder
	for r := range m.Rows {
		fmt.Fprint(&b, m.Label[r])
		for _, v := range m.Values[r*m.Cols : (r+1)*m.Cols] {
			fmt.Fprintf(&b, ",%v", v)
		}
		b.WriteByte('\n')
	}
	return b.String()
}

// records is m as RecordIO, sparse or dense.
func records(m *algo.Matrix, sparse bool) string {
	return algotest.RecordIO(m, sparse).Files["data.rec"]
}

func TestAlgorithm(t *testing.T) {
	two, four, prices := drawn(300, 4, zeroOrOne), drawn(200, 3, ofFour), drawn(250, 4, price)
	algotest.Run(t, New(), []algotest.Case{
		{
			Name: "binary with validation and test",
			Params: map[string]string{
				"predictor_type": "binary_classifier", "mini_batch_size": "50", "epochs": "4", "num_models": "6",
				"binary_classifier_model_selection_criteria": "f1", "positive_example_weight_mult": "auto",
			},
			Channels: map[string]algotest.Channel{
				"train": algotest.CSV(csvText(two)), "validation": algotest.CSV(csvText(two)), "test": algotest.CSV(csvText(two)),
			},
			Rows: two,
			Long: map[string]string{"epochs": "1000000000", "early_stopping_patience": "1000000000", "num_models": "1"},
		},
		{
			Name: "classes",
			Params: map[string]string{
				"predictor_type": "multiclass_classifier", "num_classes": "4", "mini_batch_size": "40", "epochs": "3", "num_models": "2",
				"balance_multiclass_weights": "true", "optimizer": "sgd", "momentum": "0.5",
			},
			Channels: map[string]algotest.Channel{"train": algotest.CSV(csvText(four))},
			Rows:     four,
		},
		{
			Name:     "numbers",
			Params:   map[string]string{"predictor_type": "regressor", "epochs": "3", "mini_batch_size": "100", "feature_dim": "4", "num_models": "3"},
			Channels: map[string]algotest.Channel{"train": algotest.CSV(csvText(prices))},
			Rows:     prices,
		},
	})
}

// job trains on channels of CSV or RecordIO text and gives the model and the
// lines of the log.
func job(t *testing.T, params map[string]string, channels map[string]string) (*Model, []string, error) {
	t.Helper()
	all := map[string]algotest.Channel{}
	for name, text := range channels {
		ch := algotest.Channel{ContentType: "text/csv", Files: map[string]string{"data": text}}
		if strings.HasPrefix(text, "\x0a\x23\xd7\xce") {
			ch.ContentType = "" // RecordIO is the default
		}
		all[name] = ch
	}
	m, log, err := algotest.Train[*Model](t, New(), params, all)
	return m, strings.Split(log, "\n"), err
}

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

func TestSparseDataGivesTheDenseModel(t *testing.T) {
	for name, c := range map[string]struct {
		params map[string]string
		rows   *algo.Matrix
	}{
		"binary":  {map[string]string{"predictor_type": "binary_classifier", "mini_batch_size": "64", "epochs": "5", "num_models": "4"}, drawn(400, 5, zeroOrOne)},
		"classes": {map[string]string{"predictor_type": "multiclass_classifier", "num_classes": "4", "mini_batch_size": "64", "epochs": "3", "num_models": "2"}, drawn(300, 5, ofFour)},
		"numbers": {map[string]string{"predictor_type": "regressor", "mini_batch_size": "64", "epochs": "3", "num_models": "2"}, drawn(300, 5, price)},
	} {
		t.Run(name, func(t *testing.T) {
			dense, _, err := job(t, c.params, map[string]string{"train": records(c.rows, false)})
			if err != nil {
				t.Fatal(err)
			}
			sparse, _, err := job(t, c.params, map[string]string{"train": records(c.rows, true)})
			if err != nil {
				t.Fatal(err)
			}
			for i, v := range dense.weights {
				if d := math.Abs(float64(v - sparse.weights[i])); d > 2e-4*max(1, math.Abs(float64(v))) {
					t.Errorf("weight %d is %v of dense and %v of sparse data", i, v, sparse.weights[i])
				}
			}
		})
	}
}

func slopeOf(l loss, g, s, y []float32, weight float32) float64 {
	sum := []float64{0}
	if l.name == "logistic" {
		vec.Logistic(g, s, y, []float32{weight}, sum)
		return sum[0]
	}
	return l.slope(g, s, 1, y, weight)
}

func TestLossesAreThoseOfTheirGradients(t *testing.T) {
	scores, labels := []float32{-3, -0.7, -0.2, 0.4, 1.3, 2.5, 8}, []float32{1, 0, 1, 0, 1, 0, 1}
	for _, l := range []loss{
		{"logistic", 0}, {"hinge_loss", 1}, {"squared_loss", 0}, {"absolute_loss", 0}, {"quantile_loss", 0.3},
		{"huber_loss", 0.75}, {"eps_insensitive_squared_loss", 0.25}, {"eps_insensitive_absolute_loss", 0.25},
	} {
		weight := float32(1)
		if l.name == "logistic" || l.name == "hinge_loss" {
			weight = 2.5
		}
		g, room := make([]float32, len(scores)), make([]float32, len(scores))
		at := func(g, s []float32) float64 { return slopeOf(l, g, s, labels, weight) }
		at(g, scores)
		for i := range scores {
			const h = 1.0 / 128
			up, down := append([]float32(nil), scores...), append([]float32(nil), scores...)
			up[i] += h
			down[i] -= h
			want := (at(room, up) - at(room, down)) / (2 * h)
			if math.Abs(want-float64(g[i])) > 2e-3 {
				t.Errorf("%s of score %v, label %v: derivative %v, differences say %v", l.name, scores[i], labels[i], g[i], want)
			}
		}
	}
	// Values by their formulas.
	for _, c := range []struct {
		l    loss
		s, y float32
		want float64
	}{
		{loss{"logistic", 0}, 2, 1, math.Log1p(math.Exp(-2))}, {loss{"logistic", 0}, -700, 1, 700}, {loss{"hinge_loss", 2}, 0.5, 0, 2.5},
		{loss{"squared_loss", 0}, 3, 1, 4}, {loss{"absolute_loss", 0}, 3, 1, 2}, {loss{"quantile_loss", 0.9}, 1, 3, 1.8}, {loss{"quantile_loss", 0.9}, 3, 1, 0.2},
		{loss{"huber_loss", 1}, 0.5, 0, 0.125}, {loss{"huber_loss", 1}, 3, 0, 2.5}, {loss{"eps_insensitive_squared_loss", 1}, 3, 0, 4},
		{loss{"eps_insensitive_absolute_loss", 1}, -3, 0, 2},
	} {
		if got := slopeOf(c.l, make([]float32, 1), []float32{c.s}, []float32{c.y}, 1); math.Abs(got-c.want) > 1e-6*max(1, c.want) {
			t.Errorf("%s of %v and %v is %v, want %v", c.l.name, c.s, c.y, got, c.want)
		}
	}
	g := make([]float32, 3)
	sum := softmax(g, []float32{1, 2, 3}, make([]float32, 3), 3, 3, []float32{1}, []float32{1, 2, 1})
	total := math.Exp(1) + math.Exp(2) + math.Exp(3)
	if math.Abs(sum+2*math.Log(math.Exp(2)/total)) > 1e-6 || math.Abs(float64(g[1])-2*(math.Exp(2)/total-1)) > 1e-6 || math.Abs(float64(g[2])-2*math.Exp(3)/total) > 1e-6 {
		t.Errorf("softmax loss %v, derivatives %v", sum, g)
	}
}

// TestMetricsAreTheServices compares with the names that a public DescribeHyperParameterTuningJob
// shows, and three that the developer guide has since.
func TestMetricsAreTheServices(t *testing.T) {
	want := strings.Fields(`test:absolute_loss test:binary_classification_accuracy test:binary_f_beta test:dcg test:macro_f_beta test:macro_precision
		test:macro_recall test:mse test:multiclass_accuracy test:multiclass_top_k_accuracy test:objective_loss test:precision test:recall
		test:roc_auc_score train:absolute_loss train:binary_classification_accuracy train:binary_f_beta train:mse train:objective_loss
		train:objective_loss:final train:precision train:progress train:recall train:throughput validation:absolute_loss
		validation:binary_classification_accuracy validation:binary_f_beta validation:dcg validation:macro_f_beta validation:macro_precision
		validation:macro_recall validation:mse validation:multiclass_accuracy validation:multiclass_top_k_accuracy validation:objective_loss
		validation:objective_loss:final validation:precision validation:recall validation:rmse validation:roc_auc_score`)
	got := map[string]string{}
	for _, m := range metrics() {
		got[m.Name] = m.Regex
	}
	if names := slices.Sorted(maps.Keys(got)); !slices.Equal(names, want) || len(metrics()) != len(want) {
		t.Errorf("%q\nwant %q", names, want)
	}
	for name, regex := range map[string]string{
		"test:binary_f_beta":                   `#quality_metric: host=\S+, test binary_f_\S+ <score>=(\S+)`,
		"train:objective_loss":                 `#quality_metric: host=\S+, epoch=\S+, train \S+_objective <loss>=(\S+)`,
		"validation:objective_loss:final":      `#quality_metric: host=\S+, validation \S+_objective <loss>=(\S+)`,
		"validation:multiclass_top_k_accuracy": `#quality_metric: host=\S+, validation multiclass_top_k_accuracy_\S+ <score>=(\S+)`,
		"train:absolute_loss":                  `#quality_metric: host=\S+, train absolute_loss <loss>=(\S+)`,
	} {
		if got[name] != regex {
			t.Errorf("%s: %s, want %s", name, got[name], regex)
		}
	}
}

func TestMetricsAreFoundInTheLog(t *testing.T) {
	for name, c := range map[string]struct {
		params map[string]string
		rows   *algo.Matrix
		not    string // metrics of other kinds
	}{
		"binary":  {map[string]string{"predictor_type": "binary_classifier"}, drawn(200, 3, zeroOrOne), `mse|absolute|multi|dcg|macro`},
		"classes": {map[string]string{"predictor_type": "multiclass_classifier", "num_classes": "4"}, drawn(200, 3, ofFour), `mse|absolute|binary|:precision|:recall|roc`},
		"numbers": {map[string]string{"predictor_type": "regressor"}, drawn(200, 3, price), `binary|multi|:precision|:recall|roc|dcg|macro`},
	} {
		t.Run(name, func(t *testing.T) {
			text := csvText(c.rows)
			_, lines, err := job(t, with(c.params, "epochs", "3", "num_models", "2"), map[string]string{"train": text, "validation": text, "test": text})
			if err != nil {
				t.Fatal(err)
			}
			log := strings.Join(lines, "\n")
			for _, m := range metrics() {
				if regexp.MustCompile(c.not).MatchString(strings.ReplaceAll(m.Name, "rmse", "mse")) {
					continue
				}
				if !regexp.MustCompile(m.Regex).MatchString(log) {
					t.Errorf("%s: nothing in the log matches %s", m.Name, m.Regex)
				}
			}
		})
	}
}

func TestBadInputNamesChannelFileAndPlace(t *testing.T) {
	two := map[string]string{"predictor_type": "binary_classifier", "epochs": "1", "num_models": "1"}
	good := "1,2,3\n0,4,5\n"
	for name, c := range map[string]struct {
		params   map[string]string
		channels map[string]string
		want     string
	}{
		"a label that is no class": {two, map[string]string{"train": "1,2,3\n2,4,5\n"}, "train channel: file data, line 2: the label is 2; 0 or 1 was expected"},
		"a label beyond num_classes": {map[string]string{"predictor_type": "multiclass_classifier", "num_classes": "3"},
			map[string]string{"train": "1,2,3\n3,4,5\n"}, "line 2: the label is 3; a whole number from 0 to 2"},
		"an infinite label":     {map[string]string{"predictor_type": "regressor"}, map[string]string{"train": "1,2,3\ninf,4,5\n"}, "line 2"},
		"a missing value":       {two, map[string]string{"train": "1,2,3\n0,,5\n"}, "line 2: feature 1 is missing or NaN"},
		"infinity":              {two, map[string]string{"train": "1,2,3\n0,4,inf\n"}, `line 2: column 3: "inf" is not a finite number`},
		"text":                  {two, map[string]string{"train": "1,2,3\n0,red,5\n"}, "line 2"},
		"other feature_dim":     {with(two, "feature_dim", "3"), map[string]string{"train": good}, "has 2 features behind the label, but feature_dim is 3"},
		"a narrower validation": {two, map[string]string{"train": good, "validation": "1,2\n"}, "validation channel: file data, line 1: has 1 feature behind the label, but the train channel has 2"},
		"truncated RecordIO":    {two, map[string]string{"train": records(drawn(3, 2, zeroOrOne), false)[:100]}, "train channel: file data, record 2"},
		"one column":            {two, map[string]string{"train": "1\n0\n"}, "train channel: file data, line 1"},
		"a loss of another task": {with(two, "loss", "squared_loss"), map[string]string{"train": good},
			"Hyperparameter loss: squared_loss is not in [auto, logistic, hinge_loss]"},
		"two classes":          {map[string]string{"predictor_type": "multiclass_classifier", "num_classes": "2"}, map[string]string{"train": good}, "num_classes: 2 is not in [3, 1000000]"},
		"no num_classes":       {map[string]string{"predictor_type": "multiclass_classifier"}, map[string]string{"train": good}, "num_classes"},
		"a weight of nothing":  {with(two, "positive_example_weight_mult", "heavy"), map[string]string{"train": good}, "positive_example_weight_mult"},
		"a mean without bias":  {with(two, "use_bias", "false", "unbias_data", "true"), map[string]string{"train": good}, "unbias_data"},
		"too many weights":     {with(two, "num_models", "1000000000"), map[string]string{"train": good}, "num_models"},
		"a rate that diverges": {map[string]string{"predictor_type": "regressor", "optimizer": "sgd", "learning_rate": "1e38", "num_models": "1"}, map[string]string{"train": csvText(drawn(50, 3, price))}, "training diverged"},
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
	for name, c := range map[string]struct {
		params map[string]string
		text   string
	}{
		"one row":                        {map[string]string{"predictor_type": "binary_classifier"}, "1,2,3\n"},
		"one class":                      {map[string]string{"predictor_type": "binary_classifier", "positive_example_weight_mult": "balanced"}, "0,2,3\n0,4,1\n"},
		"classes of a binary classifier": {map[string]string{"predictor_type": "binary_classifier", "num_classes": "2"}, "0,2,3\n1,4,1\n"},
		"one price":                      {map[string]string{"predictor_type": "regressor"}, "7.5,2,3\n"},
		"constant columns":               {map[string]string{"predictor_type": "regressor"}, "1,5,5\n2,5,5\n3,5,5\n"},
		"classes that do not occur": {map[string]string{"predictor_type": "multiclass_classifier", "num_classes": "5", "balance_multiclass_weights": "true",
			"accuracy_top_k": "9"}, "0,2,3\n4,4,1\n"},
		"large numbers": {map[string]string{"predictor_type": "regressor"}, "1,1e30,5\n2,2e30,6\n3,3e30,5\n"},
	} {
		t.Run(name, func(t *testing.T) {
			m, _, err := job(t, c.params, map[string]string{"train": c.text})
			if err != nil {
				t.Fatal(err)
			}
			for i, v := range append(append([]float32(nil), m.weights...), m.bias...) {
				if math.IsNaN(float64(v)) || math.IsInf(float64(v), 0) {
					t.Errorf("weight %d is %v", i, v)
				}
			}
		})
	}
	m, _, err := job(t, map[string]string{"predictor_type": "regressor"}, map[string]string{"train": "7.5,2,3\n"})
	if err != nil {
		t.Fatal(err)
	}
	if p, err := m.Predict(t.Context(), &algo.Matrix{Rows: 1, Cols: 2, Values: []float32{2, 3}}); err != nil || math.Abs(float64(p.Values[0])-7.5) > 1e-3 {
		t.Errorf("of the one row it predicts %v %v", p, err)
	}
}

func TestAMillionColumns(t *testing.T) {
	columns := 1_000_000
	if raced {
		columns /= 10
	}
	text := "1" + strings.Repeat(",0.5", columns) + "\n0" + strings.Repeat(",0.25", columns) + "\n"
	m, _, err := job(t, map[string]string{"predictor_type": "binary_classifier", "epochs": "1", "num_models": "1"}, map[string]string{"train": text})
	if err != nil || m.features != columns {
		t.Fatalf("%v %v", m, err)
	}
}
