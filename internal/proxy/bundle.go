// SPDX-License-Identifier: Apache-2.0

package proxy

import (
	"encoding/pem"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// bundleVars are the variables that name a file of trusted roots: to
// botocore, requests and pip, OpenSSL and Go, Node, curl.
var bundleVars = []string{"AWS_CA_BUNDLE", "REQUESTS_CA_BUNDLE", "SSL_CERT_FILE", "NODE_EXTRA_CA_CERTS", "CURL_CA_BUNDLE", "PIP_CERT"}

// systemBundles are where systems keep their roots: Debian, Fedora, openSUSE,
// RHEL, Alpine and macOS, FreeBSD. The first one that is there is taken.
var systemBundles = []string{
	"/etc/ssl/certs/ca-certificates.crt",
	"/etc/pki/tls/certs/ca-bundle.crt",
	"/etc/ssl/ca-bundle.pem",
	"/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem",
	"/etc/ssl/cert.pem",
	"/usr/local/share/certs/ca-root-nss.crt",
}

// certifi are where Python keeps its own, for a system that has none.
var certifi = []string{
	"lib/python3*/site-packages/certifi/cacert.pem",
	"lib/python3*/site-packages/pip/_vendor/certifi/cacert.pem",
	"lib/python3*/dist-packages/certifi/cacert.pem",
}

// CABundle writes to path the roots that a child should trust: this CA, those
// that the environment names already, and the system's. So the child's TLS to
// other hosts is verified as before. An error says what could not be written;
// a file of roots that is missing is passed over.
func (ca *CA) CABundle(path string) error {
	seen := map[string]bool{string(ca.cert.Raw): true}
	out := append([]byte(nil), ca.pem...)
	add := func(file string) bool {
		text, err := os.ReadFile(file)
		if err != nil {
			return false
		}
		found := false
		for block, rest := pem.Decode(text); block != nil; block, rest = pem.Decode(rest) {
			if block.Type != "CERTIFICATE" {
				continue
			}
			found = true
			if !seen[string(block.Bytes)] {
				seen[string(block.Bytes)] = true
				out = append(out, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: block.Bytes})...)
			}
		}
		return found
	}
	for _, name := range bundleVars {
		if file := os.Getenv(name); file != "" {
			add(file)
		}
	}
	found := false
	for _, file := range systemBundles {
		if found = add(file); found {
			break
		}
	}
	if !found {
		for _, prefix := range []string{os.Getenv("VIRTUAL_ENV"), os.Getenv("CONDA_PREFIX"), "/usr/local", "/usr"} {
			for _, pattern := range certifi {
				files, _ := filepath.Glob(filepath.Join(prefix, pattern))
				if prefix != "" && len(files) > 0 && !found {
					found = add(files[0])
				}
			}
		}
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return fmt.Errorf("make folder of the CA bundle: %w", err)
	}
	if err := writeFile(path, out, 0o644); err != nil {
		return fmt.Errorf("write CA bundle: %w", err)
	}
	return nil
}

// Env is the environment of a child whose calls to AWS the proxy at addr
// ("127.0.0.1:8081") shall answer: environ, with the variables of proxies and
// of trusted roots set anew. bundle is the file that CABundle wrote; it is
// made absolute, as the child may change its folder.
//
// Hosts that NO_PROXY names go past the proxy still, but for those under
// which a host of AWS could be.
func Env(environ []string, addr, bundle string) []string {
	if abs, err := filepath.Abs(bundle); err == nil {
		bundle = abs
	}
	proxy := (&url.URL{Scheme: "http", Host: addr}).String()
	direct := []string{"localhost", "127.0.0.1", "::1"}
	var out []string
	for _, entry := range environ {
		name, value, _ := strings.Cut(entry, "=")
		switch upper := strings.ToUpper(name); upper {
		case "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY":
			continue
		case "NO_PROXY":
			for host := range strings.SplitSeq(value, ",") {
				if host = strings.TrimSpace(host); host != "" && !coversAWS(host) && !slices.Contains(direct, host) {
					direct = append(direct, host)
				}
			}
			continue
		default:
			if slices.Contains(bundleVars, upper) {
				continue
			}
		}
		out = append(out, entry)
	}
	// Clients read one spelling or the other; curl reads http_proxy only.
	for _, name := range []string{"HTTPS_PROXY", "https_proxy", "HTTP_PROXY", "http_proxy"} {
		out = append(out, name+"="+proxy)
	}
	for _, name := range []string{"NO_PROXY", "no_proxy"} {
		out = append(out, name+"="+strings.Join(direct, ","))
	}
	for _, name := range bundleVars {
		out = append(out, name+"="+bundle)
	}
	return out
}

// coversAWS reports whether an entry of NO_PROXY matches a host of AWS: "*",
// a domain above or below one of AWS's.
func coversAWS(entry string) bool {
	entry = strings.TrimPrefix(strings.TrimPrefix(hostname(entry), "*"), ".")
	if entry == "" || IsAWS(entry) {
		return true
	}
	for _, d := range domains {
		if strings.HasSuffix(d, "."+entry) {
			return true
		}
	}
	return false
}
