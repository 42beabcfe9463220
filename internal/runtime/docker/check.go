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

// validID says whether id can be a part of a container's name.
func validID(id runtime.ID) error {
	bad := func(c rune) bool {
		return !(c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '-' || c == '.')
	}
	if id == "" || len(id) > 100 || id[0] == '.' || strings.ContainsFunc(string(id), bad) {
		return fmt.Errorf("task ID %q is not 1 to 100 letters, digits, '-' and '.'", id)
	}
	return nil
}

// checkTask finds what can never work.
func checkTask(t runtime.Task) error {
	if len(t.Command) == 0 || t.Command[0] == "" {
		return errors.New("it has no command")
	}
	if t.Image == "" {
		return errors.New("it has no image, and a container engine runs nothing else")
	}
	for _, s := range t.Command {
		if strings.ContainsRune(s, 0) {
			return errors.New("an argument holds a zero byte")
		}
	}
	for k, v := range t.Env {
		if k == "" || strings.ContainsAny(k, "=\x00") || strings.ContainsRune(v, 0) {
			return fmt.Errorf("environment variable %q cannot be set", k)
		}
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
	return checkNetwork(t)
}

func checkNetwork(t runtime.Task) error {
	if t.Network != runtime.Open && t.Network != runtime.None {
		return fmt.Errorf("network %q is not known", t.Network)
	}
	for _, h := range append(t.Hosts[:len(t.Hosts):len(t.Hosts)], t.Host) {
		if h == "" && len(t.Hosts) == 0 {
			continue
		}
		if err := validHost(h); err != nil {
			return err
		}
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
	case t.Port < 0 || t.Port > 65535:
		return fmt.Errorf("%d is no port", t.Port)
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
