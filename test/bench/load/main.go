// SPDX-License-Identifier: Apache-2.0

// Command load is the part of the benchmarks that must not be slow: it sends
// signed requests and times the answers, is the bare server to compare with,
// fills a store with records and measures processes. test/bench/bench.py runs
// it; each mode prints one JSON document on standard output.
//
//	load drive   -url URL -home HOME ...        many requests of one kind
//	load settle  -url URL -home HOME ...        one Create, then Describe until it has settled
//	load bare    -answer FILE ...               a net/http server that answers FILE
//	load fill    -home HOME -like ARN -count N  copies of a training job, into the store
//	load measure -- COMMAND...                  wall, processor time and peak memory of a command
//	load read    PATH...                        reads files or FIFOs, in a job
//	load lines   -count N -rate R               writes lines of a log, in a job
package main

import (
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"strings"
)

// A mode takes its arguments and gives what is to be printed.
type mode func(args []string) (any, error)

var modes = map[string]mode{"drive": drive, "settle": settle, "bare": bare, "fill": fill, "measure": measure, "read": read, "lines": lines}

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "load:", err)
		os.Exit(1)
	}
}

func run(args []string) error {
	if len(args) == 0 || modes[args[0]] == nil {
		return errors.New("the first argument must be drive, settle, bare, fill, measure, read or lines")
	}
	result, err := modes[args[0]](args[1:])
	if err != nil {
		return fmt.Errorf("%s: %w", args[0], err)
	}
	return json.NewEncoder(os.Stdout).Encode(result)
}

// flags are the flags of a mode; a wrong one ends the process.
func flags(name string) *flag.FlagSet { return flag.NewFlagSet("load "+name, flag.ExitOnError) }

// many is a flag that may be given several times.
type many []string

func (m *many) String() string { return strings.Join(*m, " ") }

// Set adds one.
func (m *many) Set(s string) error {
	*m = append(*m, s)
	return nil
}
