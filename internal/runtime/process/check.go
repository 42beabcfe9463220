// SPDX-License-Identifier: Apache-2.0

//go:build unix

package process

import (
	"fmt"
	"net/netip"
	"path/filepath"

	"github.com/sagebrush-ml/sagebrush/internal/runtime"
)

// checkTask finds what can never work.
func checkTask(t runtime.Task) error {
	if err := t.Check(); err != nil {
		return err
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
	if err := t.CheckHosts(validHost); err != nil {
		return err
	}
	for _, addr := range t.Reach {
		if at, err := netip.ParseAddrPort(addr); err != nil || at.Port() == 0 || !at.Addr().Is4() && !at.Addr().IsLoopback() {
			return fmt.Errorf("address %q is not \"ip:port\" of IPv4 or the loopback", addr)
		}
	}
	return nil
}
