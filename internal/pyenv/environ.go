// SPDX-License-Identifier: Apache-2.0

package pyenv

import (
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
)

var (
	// passed are the variables that installers get of the server's: where programs
	// and caches are, how the network is reached, how packages are compiled. Keys
	// of AWS and what is ours are not for the set-up code of packages, and PYTHON*
	// would lead the interpreter to modules that are not the environment's.
	passed = []string{"PATH", "HOME", "USER", "LOGNAME", "LANG", "TZ", "SHELL", "LD_LIBRARY_PATH", "NETRC",
		"SSL_CERT_FILE", "SSL_CERT_DIR", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE",
		"HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY", "http_proxy", "https_proxy", "all_proxy", "no_proxy",
		"CC", "CXX", "CFLAGS", "CXXFLAGS", "LDFLAGS", "MAKEFLAGS", "JAVA_HOME"}
	passedPrefixes = []string{"PIP_", "UV_", "LC_", "XDG_"}

	// kept back are those that would put packages elsewhere, or others in.
	keptBack = []string{"PIP_TARGET", "PIP_PREFIX", "PIP_ROOT", "PIP_USER", "PIP_PYTHON", "PIP_REQUIREMENT", "PIP_EDITABLE", "PIP_DRY_RUN",
		"PIP_REPORT", "PIP_QUIET", "PIP_VERBOSE", "PIP_LOG", "PIP_NO_DEPS", "PIP_PROGRESS_BAR", "PIP_REQUIRE_VIRTUALENV",
		"UV_PYTHON", "UV_SYSTEM_PYTHON", "UV_BREAK_SYSTEM_PACKAGES", "UV_PYTHON_INSTALL_DIR", "UV_NO_PROGRESS", "UV_PROJECT_ENVIRONMENT"}

	// forUV is what pip's variables are called by uv, which does not read them:
	// whoever told pip where the packages are has told it uv too.
	forUV = [][2]string{{"PIP_INDEX_URL", "UV_INDEX_URL"}, {"PIP_EXTRA_INDEX_URL", "UV_EXTRA_INDEX_URL"}, {"PIP_FIND_LINKS", "UV_FIND_LINKS"},
		{"PIP_CERT", "SSL_CERT_FILE"}, {"PIP_TRUSTED_HOST", "UV_INSECURE_HOST"}, {"PIP_CONSTRAINT", "UV_CONSTRAINT"},
		{"PIP_NO_INDEX", "UV_NO_INDEX"}, {"PIP_DEFAULT_TIMEOUT", "UV_HTTP_TIMEOUT"}, {"PIP_TIMEOUT", "UV_HTTP_TIMEOUT"}}
)

// environment is what installers get of environ.
func environment(environ []string) []string {
	var out []string
	for _, e := range environ {
		name, _, _ := strings.Cut(e, "=")
		prefixed := slices.ContainsFunc(passedPrefixes, func(p string) bool { return strings.HasPrefix(name, p) })
		if (prefixed || slices.Contains(passed, name)) && !slices.Contains(keptBack, name) {
			out = append(out, e)
		}
	}
	ours := value(environ, "UV_DEFAULT_INDEX") != ""
	for _, pair := range forUV {
		if v := value(out, pair[0]); v != "" && value(out, pair[1]) == "" && (pair[1] != "UV_INDEX_URL" || !ours) {
			if strings.HasPrefix(pair[1], "UV_FIND_LINKS") { // pip parts them by spaces, uv by commas
				v = strings.Join(strings.Fields(v), ",")
			}
			out = append(out, pair[1]+"="+v)
		}
	}
	if value(out, "UV_INDEX_STRATEGY") == "" { // as pip: the best version of all indexes
		out = append(out, "UV_INDEX_STRATEGY=unsafe-best-match")
	}
	return out
}

// value is that of a variable, "" when it is not set. The last one counts.
func value(environ []string, name string) string {
	out := ""
	for _, e := range environ {
		if v, ok := strings.CutPrefix(e, name+"="); ok {
			out = v
		}
	}
	return out
}

// lookPath finds a program in the PATH of environ; "" when it is not there.
func lookPath(name string, environ []string) string {
	if strings.Contains(name, "/") {
		return name
	}
	for _, dir := range filepath.SplitList(value(environ, "PATH")) {
		if !filepath.IsAbs(dir) {
			continue
		}
		if p, err := exec.LookPath(filepath.Join(dir, name)); err == nil {
			return p
		}
	}
	return ""
}

var secret = regexp.MustCompile(`([a-zA-Z][a-zA-Z0-9+.-]*://)[^/\s@]+@`)

// redact hides the names and passwords in addresses.
func redact(text string) string { return secret.ReplaceAllString(text, "${1}****@") }
