// SPDX-License-Identifier: Apache-2.0

// Command tuner lets internal/tune choose points for whoever asks: test_tuning.py
// compares it so with Optuna, on functions that both are given by Python.
//
// It reads one JSON document a line: first {"search": {...}}, then for each trial
// {"value": x} or {"failed": true} of the point that it gave before; it writes
// the next point's hyperparameters, one JSON document a line.
package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"os"

	"github.com/sagebrush-ml/sagebrush/internal/tune"
)

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "tuner:", err)
		os.Exit(1)
	}
}

func run() error {
	in, out := json.NewDecoder(bufio.NewReader(os.Stdin)), json.NewEncoder(os.Stdout)
	var asked struct{ Search tune.Search }
	if err := in.Decode(&asked); err != nil {
		return err
	}
	s := asked.Search.Remembering()
	var history []tune.Trial
	for n := 0; ; n++ {
		p, ok := s.Next(history, n)
		if !ok {
			return fmt.Errorf("there is nothing left to try after %d points", n)
		}
		if err := out.Encode(p.Values); err != nil {
			return err
		}
		var told struct {
			Value  float64
			Failed bool
		}
		if in.Decode(&told) != nil { // nobody asks any more
			return nil
		}
		t := tune.Trial{Point: p, State: tune.Ended, Value: told.Value, Order: n + 1}
		if told.Failed {
			t.State = tune.Failed
		}
		history = append(history, t)
	}
}
