// SPDX-License-Identifier: Apache-2.0

package docker

import (
	"errors"
	"fmt"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"github.com/sagebrush-ml/sagebrush/internal/runtime"
)

// checkTask finds what can never work.
func checkTask(t runtime.Task) error {
	if err := t.Check(); err != nil {
		return err
	}
	if t.Image == "" {
		return errors.New("it has no image, and a container engine runs nothing else")
	}
	for _, m := range t.Mounts {
		if !filepath.IsAbs(m.Source) || !path.IsAbs(m.Target) || path.Clean(m.Target) == "/" {
			return fmt.Errorf("mount %q at %q: both must be absolute, and the target not /", m.Source, m.Target)
		}
		if m.Scratch && !m.ReadOnly && strings.ContainsAny(m.Source, `,:\`) {
			return fmt.Errorf("mount %q at %q: a scratch mount's source cannot hold ',', ':' or '\\'", m.Source, m.Target)
		}
	}
	if t.WorkDir != "" && !path.IsAbs(t.WorkDir) {
		return fmt.Errorf("work folder %q is not absolute", t.WorkDir)
	}
	return checkHosts(t)
}

func checkHosts(t runtime.Task) error {
	if err := t.CheckHosts(validHost); err != nil {
		return err
	}
	switch several := len(t.Hosts) > 1; {
	case several && !slices.Contains(t.Hosts, t.Host):
		return fmt.Errorf("host %q is none of its group's: %q", t.Host, t.Hosts)
	case several && t.Group == "":
		return errors.New("it has several hosts and no group")
	case len(t.Hosts) > maxHosts:
		return fmt.Errorf("a group of %d hosts is too large: at most %d have an address", len(t.Hosts), maxHosts)
	case t.Serves && t.Port == 0:
		return errors.New("a container must say on which port it serves: it has no socket that this machine could see")
	}
	return nil
}

func validHost(name string) error {
	bad := func(c rune) bool {
		return !(c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '-' || c == '.' || c == '_')
	}
	if name == "" || len(name) > 63 || name[0] == '-' || name[0] == '.' || strings.ContainsFunc(name, bad) {
		return fmt.Errorf("host name %q is empty, longer than 63 or holds other than letters, digits, '-', '.' and '_'", name)
	}
	return nil
}
