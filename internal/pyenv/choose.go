// SPDX-License-Identifier: Apache-2.0

package pyenv

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"strings"
)

// packages installs what choices ask for and tells what of it is not the best.
// In most cases the best can be had, all at once; only when it cannot is one
// package chosen after the other.
func (t *site) packages(ctx context.Context, choices []Choice) (notes []string, err error) {
	var wheels, sources []Choice
	for _, c := range choices {
		if c.Source {
			sources = append(sources, c)
		} else {
			wheels = append(wheels, c)
		}
	}
	// In steps, as "only wheels" holds for a whole command.
	for _, step := range []struct {
		choices []Choice
		mode    mode
	}{{wheels, mode{}}, {sources, mode{source: true}}} {
		if len(step.choices) == 0 {
			continue
		}
		n, err := t.step(ctx, step.mode, step.choices)
		if err != nil {
			return nil, err
		}
		notes = append(notes, n...)
	}
	return notes, nil
}

func (t *site) step(ctx context.Context, m mode, choices []Choice) (notes []string, err error) {
	var best, names []string
	for _, c := range choices {
		best = append(best, c.requirements(c.best())...)
		names = append(names, c.Package+c.best())
	}
	say(t.progress, "Installing %s", strings.Join(names, ", "))
	if err := t.install(ctx, m, best...); err == nil || ctx.Err() != nil {
		return nil, err
	} else if !errors.Is(err, ErrUnavailable) || len(best) == 1 && substitutes(choices) == 0 {
		return nil, fmt.Errorf("%s for Python %s: %w%s", strings.Join(names, ", "), t.py.Version, err, t.asked())
	}
	var chosen []string
	for _, c := range choices {
		requirements, note, err := t.choose(ctx, m, chosen, c)
		if err != nil {
			return nil, err
		}
		if note != "" {
			say(t.progress, "%s", note)
			notes = append(notes, note)
		}
		chosen = append(chosen, requirements...)
	}
	return notes, nil
}

// substitutes counts what could be installed instead of the best.
func substitutes(choices []Choice) int {
	n := 0
	for _, c := range choices {
		n += max(0, len(c.Wanted)-1)
		if c.Nearest != "" {
			n++
		}
	}
	return n
}

// choose installs the first version of c that goes with what was chosen before,
// and gives it as requirements.
func (t *site) choose(ctx context.Context, m mode, chosen []string, c Choice) (requirements []string, note string, err error) {
	wanted := c.Wanted
	if len(wanted) == 0 {
		wanted = []string{""}
	}
	var first error
	try := func(specifier string) (bool, error) {
		requirements = c.requirements(specifier)
		err := t.install(ctx, m, append(chosen[:len(chosen):len(chosen)], requirements...)...)
		if err == nil || !errors.Is(err, ErrUnavailable) {
			return err == nil, err
		}
		if first == nil {
			first = err
		}
		return false, nil
	}
	for i, specifier := range wanted {
		if ok, err := try(specifier); ok && i > 0 {
			return requirements, t.substitution(ctx, c, specifier, first), nil
		} else if ok || err != nil {
			return requirements, "", err
		}
	}
	if c.Nearest != "" {
		low, high, err := t.lowest(ctx, c.Package, c.Nearest)
		if err != nil {
			return nil, "", err
		}
		for _, version := range []string{low, high} {
			if version == "" {
				continue
			}
			if ok, err := try("==" + version); err != nil {
				return nil, "", err
			} else if ok {
				return requirements, t.substitution(ctx, c, "=="+version, first), nil
			}
		}
	}
	return nil, "", fmt.Errorf("%s for Python %s: %w%s", c.Package+c.best(), t.py.Version, first, t.asked())
}

// noWheel matches uv's words for it; pip lists the versions that there are.
var noWheel = regexp.MustCompile(`no (?:usable )?wheels|no version of|not found in the (?:package registry|provided package locations)`)

// substitution is the sentence that tells what is used instead of the best.
func (t *site) substitution(ctx context.Context, c Choice, specifier string, why error) string {
	used := specified(specifier)
	if installed, err := t.installed(ctx); err == nil && installed[normalize(c.Package)] != "" {
		used = installed[normalize(c.Package)]
	}
	reason := fmt.Sprintf("cannot be had for Python %s", minorVersion(t.py.Version))
	var f *failure
	switch {
	case !errors.As(why, &f):
	case f.versions != nil, noWheel.MatchString(f.reason):
		reason = fmt.Sprintf("has no wheel for Python %s", minorVersion(t.py.Version))
	case strings.Contains(f.reason, "conflict"):
		reason = "does not go with the other packages"
	}
	best := c.Package + c.best() // "numpy<2"
	if strings.HasPrefix(c.best(), "==") || strings.HasPrefix(c.best(), "~=") {
		best = c.Package + " " + specified(c.best())
	}
	return fmt.Sprintf("%s %s; %s %s is used instead", best, reason, c.Package, used)
}

// asked tells where packages were looked for.
func (t *site) asked() string {
	var places []string
	if t.s.o.Offline {
		places = append(places, "no index (offline)")
	} else {
		index := ""
		for _, name := range []string{"UV_DEFAULT_INDEX", "UV_INDEX_URL", "PIP_INDEX_URL"} {
			if v := value(t.s.environ, name); v != "" && index == "" && (t.s.uv != "" || strings.HasPrefix(name, "PIP_")) {
				index = v
			}
		}
		if index == "" {
			index = "the index of the installer's configuration, PyPI if it has none"
		}
		places = append(places, redact(index))
		if v := value(t.s.environ, "PIP_EXTRA_INDEX_URL"); v != "" {
			places = append(places, redact(v))
		}
	}
	if t.s.o.Wheels != "" {
		places = append(places, "the wheels folder "+t.s.o.Wheels)
	}
	return "\nLooked in " + strings.Join(places, ", ")
}

// best is the specifier that is wanted most.
func (c Choice) best() string {
	if len(c.Wanted) == 0 {
		return ""
	}
	return c.Wanted[0]
}

// requirements are c's by a specifier, with its companions.
func (c Choice) requirements(specifier string) []string {
	out := []string{c.Package + specifier}
	for _, w := range c.With {
		if w.Below == "" || specifier != "" && compare(specified(specifier), w.Below) < 0 {
			out = append(out, w.Requirement)
		}
	}
	return out
}

// minorVersion is the "3.11" of "3.11.7".
func minorVersion(version string) string { return fmt.Sprintf("3.%d", minorOf(version)) }
