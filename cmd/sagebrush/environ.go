// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"slices"
	"strings"

	"github.com/sagebrush-ml/sagebrush/internal/auth"
)

// variable is one variable of an environment.
type variable struct{ name, value string }

// endpointVariables point AWS's clients at an endpoint: boto3 since 1.28, the
// AWS CLI since 2.13, all current SDKs. The session token is there for
// sessions only.
func endpointVariables(endpoint, region string, key auth.Key) []variable {
	out := []variable{
		{"AWS_ENDPOINT_URL", endpoint},
		{"AWS_ACCESS_KEY_ID", key.ID},
		{"AWS_SECRET_ACCESS_KEY", key.Secret},
	}
	if key.SessionToken != "" {
		out = append(out, variable{"AWS_SESSION_TOKEN", key.SessionToken})
	}
	return append(out,
		variable{"AWS_DEFAULT_REGION", region},
		variable{"AWS_REGION", region},
		variable{"AWS_EC2_METADATA_DISABLED", "true"},
	)
}

// inTheWay reports whether a variable would turn clients away from the
// endpoint or the key: another session's token, a profile, an endpoint of one
// service, which beats AWS_ENDPOINT_URL.
func inTheWay(name string) bool {
	switch name {
	case "AWS_SESSION_TOKEN", "AWS_SECURITY_TOKEN", "AWS_PROFILE", "AWS_DEFAULT_PROFILE",
		"AWS_IGNORE_CONFIGURED_ENDPOINT_URLS", "AWS_WEB_IDENTITY_TOKEN_FILE", "AWS_ROLE_ARN",
		"AWS_CONTAINER_CREDENTIALS_FULL_URI", "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI":
		return true
	}
	return strings.HasPrefix(name, "AWS_ENDPOINT_URL_")
}

// obstacles are the names in environ that are in the way, sorted.
func obstacles(environ []string) []string {
	var out []string
	for _, entry := range environ {
		if name, _, _ := strings.Cut(entry, "="); inTheWay(name) {
			out = append(out, name)
		}
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// withVariables is environ for a child, set anew by vars and with nothing in
// the way. It shares no memory with environ.
func withVariables(environ []string, vars []variable) []string {
	out := slices.DeleteFunc(slices.Clone(environ), func(entry string) bool {
		name, _, _ := strings.Cut(entry, "=")
		return inTheWay(name) || slices.ContainsFunc(vars, func(v variable) bool { return v.name == name })
	})
	for _, v := range vars {
		out = append(out, v.name+"="+v.value)
	}
	return out
}

// exports are the lines by which a shell takes over vars and drops unset.
func exports(shell string, vars []variable, unset []string) string {
	var b strings.Builder
	for _, name := range unset {
		switch shell {
		case "fish":
			fmt.Fprintf(&b, "set -e %s;\n", name)
		case "powershell":
			fmt.Fprintf(&b, "Remove-Item Env:%s\n", name)
		default:
			fmt.Fprintf(&b, "unset %s\n", name)
		}
	}
	for _, v := range vars {
		switch shell {
		case "fish":
			fmt.Fprintf(&b, "set -gx %s %s;\n", v.name, fishQuote(v.value))
		case "powershell":
			fmt.Fprintf(&b, "$Env:%s = '%s'\n", v.name, strings.ReplaceAll(v.value, "'", "''"))
		default:
			fmt.Fprintf(&b, "export %s=%s\n", v.name, shellQuote(v.value))
		}
	}
	return b.String()
}

// shellQuote makes one word of a POSIX shell of s, plain where it can be.
func shellQuote(s string) string {
	if s != "" && strings.Trim(s, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_./:@%+=-") == "" {
		return s
	}
	return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'"
}

// fishQuote makes one word of fish, where a backslash counts in single quotes.
func fishQuote(s string) string {
	return "'" + strings.NewReplacer(`\`, `\\`, `'`, `\'`).Replace(s) + "'"
}
