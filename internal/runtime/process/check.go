// SPDX-License-Identifier: Apache-2.0

//go:build unix

package process

import (
	"errors"
	"fmt"
	"net/netip"
	"path/filepath"
	"strings"

	"github.com/sagebrush-ml/sagebrush/internal/runtime"
)

// validID says whether id can be a folder's name of ours. "_" is left out, so
// that _live is never a task.
func validID(id runtime.ID) error {
	if id == "" || len(id) > 100 || id[0] == '.' {
		return fmt.Errorf("task ID %q is empty, longer than 100 or starts with a dot", id)
	}
	for _, c := range []byte(id) {
		if !(c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '-' || c == '.') {
			return fmt.Errorf("task ID %q holds other than letters, digits, '-' and '.'", id)
		}
	}
	return nil
}

// checkTask finds what can never work.
func checkTask(t runtime.Task) error {
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
	for _, m := range t.Mounts {
		if !filepath.IsAbs(m.Source) || !filepath.IsAbs(m.Target) || filepath.Clean(m.Target) == "/" {
			return fmt.Errorf("mount %q at %q: both must be absolute, and the target not /", m.Source, m.Target)
		}
	}
	for _, dir := range []string{t.WorkDir, t.Root} {
		if dir != "" && !filepath.IsAbs(dir) {
			return fmt.Errorf("folder %q is not absolute", dir)
		}
	}
	for _, h := range append(t.Hosts[:len(t.Hosts):len(t.Hosts)], t.Host) {
		if h == "" && len(t.Hosts) == 0 {
			continue
		}
		if err := validHost(h); err != nil {
			return err
		}
	}
	if t.Network != runtime.Open && t.Network != runtime.None {
		return fmt.Errorf("network %q is not known", t.Network)
	}
	if t.Port < 0 || t.Port > 65535 {
		return fmt.Errorf("%d is no port", t.Port)
	}
	for _, addr := range t.Reach {
		if at, err := netip.ParseAddrPort(addr); err != nil || at.Port() == 0 || !at.Addr().Is4() && !at.Addr().IsLoopback() {
			return fmt.Errorf("address %q is not \"ip:port\" of IPv4 or the loopback", addr)
		}
	}
	return nil
}
