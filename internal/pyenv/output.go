// SPDX-License-Identifier: Apache-2.0

package pyenv

import (
	"bytes"
	"fmt"
	"io"
	"regexp"
	"strings"
)

// Limits of what is kept of an installer's output.
const (
	maxLine    = 4000 // bytes of a line that are looked at
	maxTail    = 200  // lines, to find the reason in
	maxReason  = 8    // lines of the reason that the user is told
	maxMention = 300  // bytes of such a line
)

// say writes one line for the user.
func say(w io.Writer, format string, args ...any) {
	fmt.Fprintf(w, format+"\n", args...)
}

// output sorts what an installer says: all of it into the log, what tells how
// far it is to the user, and the last of it to find out why it failed.
type output struct {
	log, progress io.Writer
	rest          []byte   // of a line that has not ended
	tail          []string // the last lines
	unreachable   string   // the line that says that an index was not reached
	full          bool     // a line says that the disk is full
}

var (
	// telling are lines that a user wants to see while waiting: what is fetched,
	// with its size, and what is compiled.
	telling = regexp.MustCompile(`^\s*(?:(Downloading \S+ \([\d.]+ ?[kMGT]?i?B\))|(Building wheels? for .+)|(Downloading \S+)|(Building \S+)|(Installing collected packages.*)|(Prepared \d+ .*)|(Installed \d+ .*))$`)
	// Lines by which pip and uv say that an index was not reached. A 404 is an
	// answer.
	unreachable = regexp.MustCompile(`Retrying \(Retry\(|Could not fetch URL .*(?:connection error|Max retries exceeded|a problem confirming the ssl|: 5\d\d )|` +
		`ReadTimeoutError|ConnectTimeoutError|NewConnectionError|NameResolutionError|ConnectionResetError|IncompleteRead|ProtocolError\(|SSLError\(|` +
		`error sending request for url|client error \(Connect\)|dns error|operation timed out|tcp connect error|connection closed before|` +
		`HTTP status server error|5\d\d Server Error|Status code 5\d\d not in`)
	diskFull = regexp.MustCompile(`No space left on device|Disk quota exceeded`)
	versions = regexp.MustCompile(`\(from versions: ([^)]*)\)`)
	// beside the point: what pip and uv say next to the reason.
	beside = regexp.MustCompile(`^\s*$|^\[notice\]|^WARNING: |^Using Python |^To fix this you could|^\d\. (?:loosen|remove)|^\s*(?:note|hint): This (?:error|is an issue)|ResolutionImpossible: for help`)
	fault  = regexp.MustCompile(`^\s*(?:ERROR|error|Error|×)`)
)

// Write takes a part of the output. It never fails.
func (o *output) Write(p []byte) (int, error) {
	o.rest = append(o.rest, p...)
	for {
		i := bytes.IndexByte(o.rest, '\n')
		if i < 0 {
			if len(o.rest) > maxLine { // a line without end
				o.flush()
			}
			return len(p), nil
		}
		o.line(string(o.rest[:min(i, maxLine)]))
		o.rest = o.rest[i+1:]
	}
}

func (o *output) flush() {
	if len(o.rest) > 0 {
		o.line(string(o.rest[:min(len(o.rest), maxLine)]))
		o.rest = nil
	}
}

func (o *output) line(line string) {
	line = redact(strings.ToValidUTF8(strings.TrimRight(line, "\r"), "?"))
	fmt.Fprintln(o.log, line)
	if telling.MatchString(line) {
		say(o.progress, "%s", strings.TrimSpace(line))
	}
	if o.unreachable == "" && unreachable.MatchString(line) {
		o.unreachable = line
	}
	o.full = o.full || diskFull.MatchString(line)
	if o.tail = append(o.tail, line); len(o.tail) > maxTail {
		o.tail = o.tail[1:]
	}
}

// failure is what an installer says of why it failed.
type failure struct {
	kind     error // ErrUnavailable, ErrNetwork, or nil for the machine's own trouble
	reason   string
	versions []string // that there are, when pip lists them
	// unreachable is the line that says that an index was not reached.
	unreachable string
	unknown     bool // pip knows no version at all: it does not tell an index without it from one that was not reached
}

func (f *failure) Error() string {
	if f.kind == nil {
		return f.reason
	}
	return f.kind.Error() + ": " + f.reason
}

func (f *failure) Unwrap() error { return f.kind }

// judge makes of the output of a program that failed the reason why.
func (o *output) judge() error {
	f := &failure{kind: ErrUnavailable, reason: o.reason(), unreachable: o.unreachable}
	for _, line := range o.tail {
		if m := versions.FindStringSubmatch(line); m != nil {
			f.unknown = m[1] == "none"
			if !f.unknown {
				f.versions = strings.Split(m[1], ", ")
			}
		}
	}
	switch {
	case o.full:
		f.kind = nil
	case o.unreachable != "" && f.versions == nil:
		// pip's retries may have helped in the end: with versions it was reached.
		f.kind = ErrNetwork
		if !strings.Contains(f.reason, o.unreachable) {
			f.reason += "\n" + mention(o.unreachable)
		}
	}
	return f
}

// reason is the few lines that say why: from the first that begins as an error.
func (o *output) reason() string {
	var out []string
	seen := false
	for _, line := range o.tail {
		seen = seen || fault.MatchString(line)
		if seen && !beside.MatchString(line) {
			out = append(out, mention(line))
		}
	}
	if !seen { // it said nothing that looks like an error: the last words
		for _, line := range o.tail[max(0, len(o.tail)-3):] {
			out = append(out, mention(line))
		}
	}
	if len(out) > maxReason { // how it begins, and how it ends
		out = append(append(out[:maxReason/2:maxReason/2], "..."), out[len(out)-maxReason/2:]...)
	}
	if len(out) == 0 {
		return "it gave no reason"
	}
	return strings.Join(out, "\n")
}

// mention shortens a line for the user: of a list of versions the newest.
func mention(line string) string {
	if m := versions.FindStringSubmatchIndex(line); m != nil {
		list := strings.Split(line[m[2]:m[3]], ", ")
		if len(list) > 6 {
			line = line[:m[2]] + list[0] + ", ..., " + strings.Join(list[len(list)-4:], ", ") + line[m[3]:]
		}
	}
	line = strings.TrimRight(line, " ")
	if len(line) > maxMention {
		line = strings.ToValidUTF8(line[:maxMention], "") + "..."
	}
	return line
}
