// SPDX-License-Identifier: Apache-2.0

package runtime

import (
	"errors"
	"fmt"
	"strings"
)

// Check says whether an ID can name a folder or a container. "_" is left out:
// it begins names that are never a task's.
func (id ID) Check() error {
	bad := func(c rune) bool {
		return !(c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '-' || c == '.')
	}
	if id == "" || len(id) > 100 || id[0] == '.' || strings.ContainsFunc(string(id), bad) {
		return fmt.Errorf("task ID %q is not 1 to 100 letters, digits, '-' and '.', or starts with a dot", id)
	}
	return nil
}

// Check finds what no runtime can ever run. What is wrong with folders and host
// names depends on the runtime.
func (t Task) Check() error {
	if len(t.Command) == 0 || t.Command[0] == "" {
		return errors.New("it has no command")
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
	if t.Network != Open && t.Network != None {
		return fmt.Errorf("network %q is not known", t.Network)
	}
	if t.Port < 0 || t.Port > 65535 {
		return fmt.Errorf("%d is no port", t.Port)
	}
	return nil
}

// CheckHosts checks the task's host names with a runtime's own rule.
func (t Task) CheckHosts(valid func(name string) error) error {
	for _, h := range append(t.Hosts[:len(t.Hosts):len(t.Hosts)], t.Host) {
		if h == "" && len(t.Hosts) == 0 {
			continue
		}
		if err := valid(h); err != nil {
			return err
		}
	}
	return nil
}
