// SPDX-License-Identifier: Apache-2.0

package ipinsights

import (
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/sagebrush-ml/sagebrush/internal/algo"
	"github.com/sagebrush-ml/sagebrush/internal/algo/algotest"
)

// logins is n pairs of users, each of whom has addresses in two networks.
func logins(users, n int, from uint64) string {
	rng := rand.New(rand.NewPCG(from, 9))
	var b strings.Builder
	for range n {
		u := rng.IntN(users)
		home := rand.New(rand.NewPCG(uint64(u), uint64(rng.IntN(2))))
		fmt.Fprintf(&b, "user_%d,%d.%d.%d.%d\n", u, 1+home.IntN(222), home.IntN(256), home.IntN(256), rng.IntN(256))
	}
	return b.String()
}

func channels(train, valid string) map[string]algotest.Channel {
	all := map[string]algotest.Channel{"train": algotest.CSV(train)}
	if valid != "" {
		all["validation"] = algotest.CSV(valid)
	}
	return all
}

func TestAlgorithm(t *testing.T) {
	body := algotest.Body{ContentType: "text/csv", Text: "user_1,10.0.0.1\n\"user, 2\",1.2.3.4\n"}
	base := map[string]string{"num_entity_vectors": "40", "vector_dim": "8", "mini_batch_size": "64", "epochs": "2"}
	with := func(more map[string]string) map[string]string {
		all := map[string]string{}
		for _, m := range []map[string]string{base, more} {
			for k, v := range m {
				all[k] = v
			}
		}
		return all
	}
	algotest.Run(t, New(), []algotest.Case{
		{Name: "users", Params: with(map[string]string{"random_negative_sampling_rate": "1"}), Channels: channels(logins(20, 300, 1), logins(20, 60, 2)), Body: body,
			Long: map[string]string{"epochs": "100000"}},
		{Name: "three layers, random addresses", Params: with(map[string]string{"num_ip_encoder_layers": "3", "shuffled_negative_sampling_rate": "0", "random_negative_sampling_rate": "3"}),
			Channels: channels(logins(20, 150, 1), ""), Body: body},
		{Name: "no layer, other pairs' addresses, one pair", Params: with(map[string]string{"num_ip_encoder_layers": "0", "random_negative_sampling_rate": "0"}),
			Channels: channels("a,1.2.3.4\n", ""), Body: body},
	})
}

func TestLearnsWhoUsesWhat(t *testing.T) {
	m, log, err := algotest.Train[*Model](t, New(), map[string]string{"num_entity_vectors": "100", "vector_dim": "16", "mini_batch_size": "100", "epochs": "10", "learning_rate": "0.02", "batch_metrics_publish_interval": "10"},
		channels(logins(30, 1500, 1), logins(30, 400, 2)))
	if err != nil {
		t.Fatal(err)
	}
	const head = "epoch=9, validation discriminator_auc <score>="
	at := strings.Index(log, head)
	if at < 0 {
		t.Fatalf("%q is not in the log", head)
	}
	var auc float64
	if _, err := fmt.Sscan(strings.SplitN(log[at+len(head):], "\n", 2)[0], &auc); err != nil || auc < 0.93 {
		t.Errorf("AUC %v, error %v", auc, err)
	}
	for _, metric := range New().Spec().Metrics { // the lines of batches too, though a job has few
		if !regexp.MustCompile(metric.Regex).MatchString(log) {
			t.Errorf("%s: nothing in the log matches %s", metric.Name, metric.Regex)
		}
	}
	if !strings.Contains(log, "epoch=9, batch=10 train") || strings.Contains(log, "batch=5 ") {
		t.Errorf("batches are told of in other intervals:\n%s", log)
	}
	// An address of the same network that was never seen is usual, another is not.
	home := rand.New(rand.NewPCG(3, 0))
	net := fmt.Sprintf("%d.%d.%d", 1+home.IntN(222), home.IntN(256), home.IntN(256))
	out, err := m.Respond(t.Context(), nil, algo.Answer{Accept: "text/csv"}, "text/csv", []byte("user_3,"+net+".77\nuser_3,8.8.8.8\n"))
	var usual, odd float64
	if _, scanErr := fmt.Sscan(string(out), &usual, &odd); err != nil || scanErr != nil || usual < odd+2 {
		t.Errorf("%s %v %v", out, err, scanErr)
	}
}

func TestFailures(t *testing.T) {
	params := map[string]string{"num_entity_vectors": "10", "vector_dim": "4"}
	for name, c := range map[string]struct {
		more        map[string]string
		train, want string
	}{
		"one column":         {nil, "a,1.2.3.4\n\nb\n", "train channel: file data.csv, line 3: has one column; an entity and an IPv4 address were expected"},
		"three columns":      {nil, "a,b,1.2.3.4\n", "train channel: file data.csv, line 1: has 3 columns; an entity and an IPv4 address were expected"},
		"no address":         {nil, "a,1.2.3\n", `train channel: file data.csv, line 1: "1.2.3" is not an IPv4 address`},
		"an IPv6 address":    {nil, "a,::1\n", `train channel: file data.csv, line 1: "::1" is not an IPv4 address`},
		"no entity":          {nil, ",1.2.3.4\n", "train channel: file data.csv, line 1: has no entity; an entity and an IPv4 address were expected"},
		"no false pairs":     {map[string]string{"random_negative_sampling_rate": "0", "shuffled_negative_sampling_rate": "0"}, "a,1.2.3.4\n", "random_negative_sampling_rate and shuffled_negative_sampling_rate add up to 0: from 1 to 500 are possible"},
		"too large a model":  {map[string]string{"num_entity_vectors": "250000000", "vector_dim": "128"}, "a,1.2.3.4\n", "num_entity_vectors 250000000 of vector_dim 128 make a model of 128.0 GB: at most 8 GB are possible"},
		"nothing but spaces": {nil, " \n", "train channel: 1 file, but no rows: file data.csv is empty, where at least one row was expected"},
	} {
		t.Run(name, func(t *testing.T) {
			all := map[string]string{}
			for _, m := range []map[string]string{params, c.more} {
				for k, v := range m {
					all[k] = v
				}
			}
			_, _, err := algotest.Train[*Model](t, New(), all, channels(c.train, ""))
			if err == nil || err.Error() != c.want || !algo.IsClientError(err) {
				t.Errorf("error %v\nwant  %s", err, c.want)
			}
		})
	}
}

func TestRespond(t *testing.T) {
	m := newModel(10, 4, 1, rand.New(rand.NewPCG(1, 1)))
	ask := func(accept, params, contentType, body string) (string, error) {
		b, err := m.Respond(t.Context(), nil, algo.Answer{Accept: accept, Params: params}, contentType, []byte(body))
		return string(b), err
	}
	want, err := ask("application/json", "", "text/csv", "a,1.2.3.4\nb,5.6.7.8")
	if err != nil || !strings.HasPrefix(want, `{"predictions": [{"dot_product": `) {
		t.Fatalf("%s %v", want, err)
	}
	for contentType, body := range map[string]string{
		"application/json":       `{"instances": [{"features": ["a", "1.2.3.4"]}, {"data": {"features": {"values": ["b", "5.6.7.8"]}}}]}`,
		"application/jsonlines":  "{\"features\": [\"a\", \"1.2.3.4\"]}\n{\"data\": {\"features\": {\"values\": [\"b\", \"5.6.7.8\"]}}}\n",
		"text/csv; label_size=0": "\"a\",1.2.3.4\r\nb, 5.6.7.8\r\n",
	} {
		if got, err := ask("application/json", "", contentType, body); got != want || err != nil {
			t.Errorf("%s: %s %v", contentType, got, err)
		}
	}
	if got, err := ask("application/jsonlines", "verbose=True", "text/csv", "a,1.2.3.4"); err != nil || strings.Count(got, ",") != 2+2*3 || !strings.Contains(got, `"ip_embedding": [`) {
		t.Errorf("verbose: %s %v", got, err)
	}
	for contentType, body := range map[string]string{"text/csv": "a", "application/json": `{"instances": [{"features": ["a"]}]}`, "application/jsonlines": "x", "image/png": "x"} {
		if got, err := ask("application/json", "", contentType, body); err == nil {
			t.Errorf("%s is answered %s", contentType, got)
		}
	}
}

// The slopes of the whole network are those of its loss.
func TestSlopes(t *testing.T) {
	m := newModel(5, 4, 2, rand.New(rand.NewPCG(1, 2)))
	for _, l := range m.layers { // an address whose first state is nowhere above 0 would stand at the bend of max(v, 0)
		copy(l.bias, []float32{0.1, -0.2, 0.3, 0.2})
	}
	tr := newTrainer(m, options{batch: 4, random: 1, shuffled: 1, threads: 2, interval: 1})
	pairs := []pair{{1, 0x01020304}, {2, 0x01020504}, {4, 0xFF000001}}
	tr.learn(pairs, pairs) // with rate 0 nothing moves, but the moments see the slopes
	loss := func() float64 { return tr.forward().loss / float64(len(tr.examples)) }
	for name, tab := range map[string]*table{"entity": tr.entity, "prefix24": tr.prefix[2], "first weight": tr.weight[0], "last weight": tr.weight[1], "first bias": tr.bias[0]} {
		checked := 0
		for i, first := range tab.m {
			if first == 0 || checked > 8 {
				continue
			}
			checked++
			const h = 1e-3
			was := tab.value[i]
			tab.value[i] = was + h
			up := loss()
			tab.value[i] = was - h
			down := loss()
			tab.value[i] = was
			if want := (up - down) / (2 * h); math.Abs(float64(first)/(1-beta1)-want) > 2e-5+0.02*math.Abs(want) {
				t.Errorf("%s %d: slope %v, want %v", name, i, first/(1-beta1), want)
			}
		}
		if checked == 0 {
			t.Errorf("%s has no slopes", name)
		}
	}
}

func FuzzReadModel(f *testing.F) {
	dir := f.TempDir()
	if err := newModel(1, 1, 1, rand.New(rand.NewPCG(1, 1))).Save(dir); err != nil {
		f.Fatal(err)
	}
	b, err := os.ReadFile(dir + "/" + artifact)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(b)
	f.Fuzz(func(t *testing.T, b []byte) {
		if m, err := readModel(b); err == nil {
			m.predict([]pair{{0, 1}})
		}
	})
}

func FuzzParsePair(f *testing.F) {
	f.Add([]byte("a,1.2.3.4"))
	f.Add([]byte(`"a,b",1.2.3.4`))
	f.Fuzz(func(t *testing.T, line []byte) {
		if p, err := parsePair(line, 7); err == nil && p.entity >= 7 {
			t.Errorf("row %d of 7", p.entity)
		}
	})
}
