// SPDX-License-Identifier: Apache-2.0

//go:build linux

package process

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/sagebrush-ml/sagebrush/internal/runtime"
)

// forUsers are the tests that an ordinary user's tasks pass too.
const forUsers = "^(TestConformance|TestOptMLIsTheTasksAlone|TestHostIsReadOnly|TestServing|TestGrandchildrenEndWithTheTask|TestNothingIsLeftBehind|" +
	"TestImageIsTheRootAndStaysAsItIs|TestNothingOfTheHostIsInAnImage|TestLinksOfAnImageDoNotLeadOut|TestScratchMount|TestCommandOfAnImage|" +
	"TestImageThatIgnoresSIGTERM|TestShmSize|TestKilledParentLeavesNoMount|TestNoNetwork|TestHostsOfAGroupTalkByName|TestServingOnAPortOfItsOwn|" +
	"TestReachAndProxy|TestDiskLimit|TestForkBomb|TestUsage|TestOnlyRootInAUserNamespace|TestFoldersThatNobodyCanEnterAreRemoved|TestCallsAreFiltered|TestNoFileIsLargerThanTheLimit|TestImageOfAnotherUserServes)$"

func TestOrdinaryUser(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("the other tests run as an ordinary user already")
	}
	guest, err := guestDir()
	if err != nil {
		t.Fatal(err)
	}
	base, err := os.MkdirTemp("/tmp", "sagebrush-user-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(base) })
	const nobody = 65534
	exe, tmp := filepath.Join(base, "exe"), filepath.Join(base, "tmp")
	for from, to := range map[string]string{self()[0]: exe, filepath.Join(guest, "guest"): filepath.Join(base, "guest")} {
		if err := copyFile(from, to); err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(to, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Chmod(base, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(tmp, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.Chown(tmp, nobody, nobody); err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), exe, "-test.v", "-test.run", forUsers)
	cmd.Env, cmd.Dir = []string{"PATH=/usr/bin:/bin", "TMPDIR=" + tmp, "HOME=" + tmp, "SAGEBRUSH_TEST_GUEST=" + base}, "/"
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: nobody, Gid: nobody}}
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Errorf("%v: %s", err, out)
	}
	for line := range strings.Lines(string(out)) {
		if strings.Contains(line, "SKIP") || strings.Contains(line, ".go:") {
			t.Log(strings.TrimSpace(line))
		}
	}
	if strings.Contains(string(out), "no namespaces: ") {
		t.Skip("an ordinary user gets no namespaces here")
	}
	if n := strings.Count(string(out), "\n--- PASS"); n < 15 && err == nil {
		t.Errorf("only %d tests ran: %s", n, out)
	}
}

func TestOnlyRootInAUserNamespace(t *testing.T) {
	r := isolated(t)
	if r.isolation != userNamespaces {
		t.Skip("tasks are root of the machine")
	}
	k := guest("user", image(t, nil), "whoami")
	k.User = "model"
	start(t, r, k)
	if s := await(t, r, k.ID, runtime.Exited); s.ExitCode != codeSetup || !strings.Contains(s.Reason, `user "model": an ordinary user's tasks can only run as root`) {
		t.Errorf("it ended as %+v", s)
	}
	finish(t, r, k.ID)
	k.User = "root"
	if got := output(t, r, k); !strings.HasPrefix(got, "0 0 ") {
		t.Errorf("it prints %s", got)
	}
	finish(t, r, k.ID)
	group := guest("group", k.Root, "whoami")
	group.Group, group.Hosts, group.Host, group.Network = "g", []string{"a", "b"}, "a", runtime.None
	start(t, r, group)
	if s := await(t, r, group.ID, runtime.Exited); s.ExitCode != codeSetup || !strings.Contains(s.Reason, "run the server as root for a group of hosts without network") {
		t.Errorf("it ended as %+v", s)
	}
}

func TestFoldersThatNobodyCanEnterAreRemoved(t *testing.T) {
	r := isolated(t)
	k := shell("locked", "mkdir -p /tmp/a/b/c; echo x >/tmp/a/b/c/x; chmod 0 /tmp/a/b/c /tmp/a/b /tmp/a")
	output(t, r, k)
	finish(t, r, k.ID)
	if left, _ := os.ReadDir(r.dir); len(left) != 1 {
		t.Errorf("%v is left", left)
	}
}
