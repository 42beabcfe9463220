// SPDX-License-Identifier: Apache-2.0

package pyenv

import (
	"bytes"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"unicode/utf8"
)

// MaxRequirements is how many bytes a requirements.txt may have.
const MaxRequirements = 1 << 20

// Requirements are a requirements.txt, sorted by who can install its lines.
type Requirements struct {
	Kept []string // requirements and options that can be installed from an index or a web address
	Left []Left   // what can be installed only where the file lies, or must not be read here
}

// Left is a line that is not installed here, and why.
type Left struct {
	Line string
	Why  string // "names the file other.txt beside it"
}

// Classify sorts the lines of a requirements.txt. It keeps only what it knows
// to read nothing of this machine: names with versions, addresses by http and
// https, and options that say which index to ask. All else is left to the job
// that has the file, its folder and no more rights than it should have. It
// never fails: what is no requirement is kept, for the installer to refuse in
// its own words, unless it looks like a path.
func Classify(text []byte) Requirements {
	var r Requirements
	if bytes.IndexByte(text, 0) >= 0 || !utf8.Valid(text) {
		r.Left = append(r.Left, Left{"requirements.txt", "is not UTF-8 text"})
		return r
	}
	for _, line := range logical(string(bytes.TrimPrefix(text, []byte("\ufeff")))) {
		if why := unsafe(line); why != "" {
			r.Left = append(r.Left, Left{line, why})
		} else {
			r.Kept = append(r.Kept, line)
		}
	}
	return r
}

// comment is where one begins. Source: pip's documentation of the format.
var comment = regexp.MustCompile(`(?:^|[ \t\f\v])#.*$`)

// logical is the lines without comments and blank ones, those that end in a
// backslash joined with the next. As in pip, a line that is a comment joins
// nothing but ends what was to be joined.
func logical(text string) []string {
	var out []string
	joined := ""
	emit := func(line string) {
		line = strings.TrimSpace(comment.ReplaceAllString(line, ""))
		if line != "" {
			out = append(out, line)
		}
	}
	for _, line := range strings.FieldsFunc(text, breaks) {
		switch isComment := strings.HasPrefix(strings.TrimSpace(line), "#"); {
		case isComment:
			emit(joined)
			joined = ""
		case strings.HasSuffix(line, `\`):
			joined += strings.TrimSuffix(line, `\`)
		default:
			emit(joined + line)
			joined = ""
		}
	}
	emit(joined)
	return out
}

// breaks are the characters that end a line. Source: Python's str.splitlines,
// by which pip reads the file.
func breaks(r rune) bool {
	return r >= '\n' && r <= '\r' || r >= 0x1c && r <= 0x1e || r == 0x85 || r == 0x2028 || r == 0x2029
}

var (
	// indexOptions say where packages come from; they take an address.
	indexOptions = []string{"--index-url", "-i", "--extra-index-url", "--find-links", "-f"}
	// plainOptions take a word, or nothing.
	plainOptions = []string{"--pre", "--no-binary", "--only-binary", "--prefer-binary", "--require-hashes", "--trusted-host", "--no-index"}
	// fileOptions name a file or folder.
	fileOptions = []string{"-r", "--requirement", "-c", "--constraint", "-e", "--editable"}

	variable = regexp.MustCompile(`\$\{[A-Z0-9_]+\}`)
	scheme   = regexp.MustCompile(`(?i)(?:^|[\s@=])([a-z][a-z0-9+.-]*):`)
	archive  = regexp.MustCompile(`(?i)\.(?:whl|zip|tar|tgz|tar\.gz|tar\.bz2|tar\.xz|tbz|txz|tlz)$`)
	url      = regexp.MustCompile(`(?i)^(?:git\+)?https?://[^/\s]+(?:/\S*)?$`)
	// perOption are the options that may follow a requirement; of them only
	// hashes change nothing but what is accepted.
	perOption = regexp.MustCompile(`\s-\S*`)
	hash      = regexp.MustCompile(`\s+--hash[= ][a-z0-9]+:[0-9a-fA-F]+`)
	// named is a requirement by PEP 508: name, extras, then a version, an address
	// or a condition.
	named = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]*\s*(?:\[[^\]]*\])?\s*(.*)$`)
)

// unsafe tells why a line cannot be installed from its text alone, "" if it can.
func unsafe(line string) string {
	if m := variable.FindString(line); m != "" { // pip would fill in the server's
		return "names the environment variable " + m
	}
	if strings.Contains(line, `\`) { // nor may it join the next line
		return "has a backslash in it"
	}
	if strings.HasPrefix(line, "-") {
		return unsafeOption(line)
	}
	bare := hash.ReplaceAllString(line, "")
	if m := perOption.FindString(bare); m != "" {
		return "has an option of its own, " + strings.TrimSpace(m)
	}
	if url.MatchString(strings.Fields(bare)[0]) {
		return unsafeURL(strings.Fields(bare)[0])
	}
	if m := named.FindStringSubmatch(bare); m != nil {
		if address, ok := strings.CutPrefix(m[1], "@"); ok {
			fields := strings.Fields(address)
			if len(fields) == 0 {
				return "" // no requirement at all: the installer says so
			}
			return unsafeURL(fields[0])
		}
	}
	requirement, _, _ := strings.Cut(bare, ";")
	requirement = strings.TrimSpace(requirement)
	switch m := scheme.FindStringSubmatch(requirement); {
	case m != nil:
		return "names an address of the kind " + m[1] + ":"
	case strings.Contains(requirement, "/"), strings.HasPrefix(requirement, "."), archive.MatchString(requirement):
		return "names a file or folder"
	}
	return ""
}

// unsafeURL tells why an address is not asked for from here.
func unsafeURL(address string) string {
	if !url.MatchString(address) {
		if m := scheme.FindStringSubmatch(address); m != nil {
			return "names an address of the kind " + m[1] + ":"
		}
		return "names a file or folder"
	}
	return ""
}

func unsafeOption(line string) string {
	name, value, _ := strings.Cut(strings.Replace(line, " ", "=", 1), "=")
	value = strings.TrimSpace(value)
	if len(name) > 2 && !strings.HasPrefix(name, "--") { // "-rother.txt"
		name, value = name[:2], name[2:]
	}
	switch {
	case slices.Contains(fileOptions, name):
		return fmt.Sprintf("names the file or folder %s", value)
	case slices.Contains(plainOptions, name) && !strings.ContainsAny(value, " \t") && !strings.HasPrefix(value, "-"):
		return ""
	case slices.Contains(indexOptions, name):
		if strings.ContainsAny(value, " \t") || strings.HasPrefix(strings.ToLower(value), "git+") || !url.MatchString(value) {
			return "names a place for packages that is no web address"
		}
		return ""
	}
	return "has an option that is not known here"
}
