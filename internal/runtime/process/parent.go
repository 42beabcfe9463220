// SPDX-License-Identifier: Apache-2.0

//go:build unix

package process

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	goruntime "runtime"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/sagebrush-ml/sagebrush/internal/runtime"
)

// defaultProcesses is how many processes and threads a task may have that asks
// for no number: more than any job needs, less than the machine has.
const defaultProcesses = 4096

// ofInit is how many processes and threads init may take itself.
const ofInit = 16

// RunTask is the body of the hidden subcommand "sagebrush task". It is called
// by this package only, with a task's folder, or with "init" or "probe", and
// returns the exit status. It must run before the process has opened anything
// of its own, and on the main goroutine.
func RunTask(args []string) int {
	goruntime.LockOSThread() // what init inherits and when it dies hangs on the thread
	switch {
	case len(args) == 1 && args[0] == "init":
		return runInit()
	case len(args) == 1 && args[0] == "probe":
		return 0 // to have come here is the answer
	case len(args) == 1 && filepath.IsAbs(args[0]):
		if err := runParent(taskDir(args[0])); err != nil {
			fmt.Fprintf(os.Stderr, "%s task parent: %v\n", time.Now().Format(time.RFC3339Nano), err)
			return 1
		}
		return 0
	}
	fmt.Fprintln(os.Stderr, "sagebrush task: for the server's own use; it takes a task's folder")
	return 2
}

// parent watches one task.
type parent struct {
	dir     taskDir
	spec    spec
	lock    *os.File
	log     *os.File
	limits  *limits
	disk    *disk
	gate    *gate // to the task's network, where it has one of its own
	signals chan os.Signal

	init    *exec.Cmd
	ctl     ctl
	reports chan report
	ended   chan error // init's Wait
	pumped  chan error // the log is complete
	out     *os.File   // our end of the output's pipe
	kill    <-chan time.Time
	termed  bool
	failed  report // set when the command could not run
	reason  string // why we have ended it
	started time.Time
}

func runParent(dir taskDir) error {
	closeOnExecFrom(3)
	lock, err := adoptLock(dir)
	if errors.Is(err, errLocked) {
		return nil // another parent has it
	}
	if err != nil {
		return err
	}
	defer lock.Close()
	p := &parent{dir: dir, lock: lock, signals: make(chan os.Signal, 8)}
	if _, err := dir.read("task.json", &p.spec); err != nil {
		return err
	}
	if dir.has("begun.json") || dir.has("exit.json") {
		return dir.buryLocked(p.spec.Live)
	}
	// Caught and left unread, not ignored: what is ignored stays so in the command.
	signal.Notify(make(chan os.Signal, 1), unix.SIGHUP, unix.SIGINT)
	signal.Notify(p.signals, unix.SIGUSR1, unix.SIGTERM)

	e := p.run()
	p.limits.remove()
	if p.log != nil {
		if err := p.log.Sync(); err != nil {
			fmt.Fprintln(os.Stderr, "sync log:", err)
		}
	}
	err = dir.write("exit.json", e, true)
	if errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) { // what filled the disk is not needed any more
		dir.sweep(p.spec.SockDir, nil)
		err = dir.write("exit.json", e, true)
	}
	if err != nil {
		return err // whoever looks next settles it
	}
	os.Remove(p.spec.Live)
	dir.sweep(p.spec.SockDir, lock)
	return nil
}

// adoptLock takes over the locked file that Start left at descriptor 3, or
// takes the lock when there is none.
func adoptLock(dir taskDir) (*os.File, error) {
	there, err := os.Stat(dir.path("lock"))
	if err != nil {
		return nil, err
	}
	if f := os.NewFile(3, "lock"); f != nil {
		if mine, err := f.Stat(); err == nil && os.SameFile(mine, there) {
			return f, nil
		}
	}
	return acquire(dir.path("lock"))
}

// run takes the task from here to its end.
func (p *parent) run() exit {
	fail := func(what string, err error) exit {
		return exit{Code: codeSetup, Reason: fmt.Sprintf("%s: %v", what, err), Started: p.started, Ended: time.Now()}
	}
	var err error
	p.log, err = os.OpenFile(p.dir.path("log"), os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return fail("open log", err)
	}
	t := p.spec.Task
	pl, err := p.plan()
	if errors.Is(err, errStopped) {
		return exit{Code: codeTermed, Reason: ReasonUnstarted, Ended: time.Now()}
	}
	if err != nil {
		return fail("prepare", err)
	}
	processes := t.MaxProcesses
	if processes <= 0 {
		processes = defaultProcesses
	}
	p.limits = newLimits(p.dir, t.MilliCPU, t.MemoryBytes, processes)
	if !p.limits.cpu && t.MilliCPU > 0 {
		pl.Nice = 5
	}
	if !p.limits.processes && pl.UserNS {
		pl.Processes = processes + ofInit
	}
	// Init comes up while begun.json goes to the disk: it runs nothing before
	// it has the plan.
	if err := p.startInit(pl); err != nil {
		return fail("start init", err)
	}
	measured := make(chan *disk, 1)
	go func() { measured <- p.newDisk() }()
	// To move a process between control groups may take the kernel 10 ms.
	moved := make(chan error, 1)
	go func() { moved <- p.limits.apply(p.init.Process.Pid) }()
	b := begun{PID: os.Getpid(), Init: p.init.Process.Pid, Boot: bootID(), Cgroups: p.limits.dirs, SockDir: p.spec.SockDir, GPUs: p.spec.GPUs}
	err = p.dir.write("begun.json", b, true)
	if err := <-moved; err != nil {
		fmt.Fprintln(os.Stderr, "resource limits:", err)
	}
	if err != nil {
		p.end(true)
		return fail("record", err)
	}
	if p.dir.has("stop.json") {
		p.end(true)
		return exit{Code: codeTermed, Reason: ReasonUnstarted, Ended: time.Now()}
	}
	p.disk = <-measured
	if err := p.ctl.enc.Encode(pl); err != nil {
		p.end(true)
		return fail("reach init", err)
	}
	if err := p.openNetwork(pl); err != nil {
		fmt.Fprintln(os.Stderr, "network:", err) // init says what it could not do, or has died
	}
	return p.watch()
}

// startInit starts init with its output piped into the log.
func (p *parent) startInit(pl plan) error {
	mine, theirs, err := ctlPair()
	if err != nil {
		return err
	}
	defer theirs.Close()
	files := []*os.File{theirs, p.lock} // while init lives the task is not over
	if pl.OwnNet {
		ours, sockets, err := pair(unix.SOCK_SEQPACKET)
		if err != nil {
			return err
		}
		defer sockets.Close()
		if p.gate, err = newGate(ours); err != nil {
			return err
		}
		files = append(files, sockets)
	}
	r, w, err := os.Pipe()
	if err != nil {
		return err
	}
	defer w.Close()
	growPipe(w)
	self := p.spec.Self
	cmd := &exec.Cmd{
		Path: selfExe(self[0]),
		Args: append(self[:len(self):len(self)], "init"),
		Dir:  "/", Env: os.Environ(),
		Stdout: w, Stderr: w,
		ExtraFiles:  files,
		SysProcAttr: namespaceAttr(p.spec.Isolation),
	}
	switch {
	case pl.OwnNet && len(p.spec.Task.Hosts) > 1 && p.spec.Task.Group != "":
		err = p.startShared(cmd)
	case pl.OwnNet:
		ownNetwork(cmd.SysProcAttr)
		fallthrough
	default:
		err = cmd.Start()
	}
	if err != nil {
		return err
	}
	p.init, p.ctl, p.out = cmd, newCtl(mine), r
	p.reports, p.ended, p.pumped = make(chan report, 2), make(chan error, 1), make(chan error, 1)
	go func() {
		defer close(p.reports)
		for {
			var rep report
			if p.ctl.dec.Decode(&rep) != nil {
				return // init ended
			}
			p.reports <- rep
		}
	}()
	go func() { p.pumped <- pump(p.log, r) }()
	go func() { p.ended <- cmd.Wait() }()
	return nil
}

// watch waits for the end and does what is asked meanwhile.
func (p *parent) watch() exit {
	var oom <-chan time.Time
	if p.limits.memory {
		tick := time.NewTicker(200 * time.Millisecond)
		defer tick.Stop()
		oom = tick.C
	}
	full, stop := p.disk.watch()
	defer stop()
	p.obey() // a Stop that came after we last looked
	reports := p.reports
	for {
		select {
		case rep, ok := <-reports:
			if !ok {
				reports = nil
				continue
			}
			p.note(rep)
		case s := <-p.signals:
			if s == unix.SIGTERM && !p.dir.has("stop.json") { // the machine goes down, or an operator asks
				_ = p.dir.write("stop.json", stopWish{Deadline: time.Now().Add(10 * time.Second)}, false)
			}
			p.obey()
		case <-p.kill:
			p.kill = nil
			p.end(false)
		case <-oom:
			if p.limits.oomKilled() {
				p.end(false) // what is left of the task cannot be whole
				oom = nil
			}
		case <-full:
			p.reason = runtime.ReasonDisk
			p.end(false)
			full = nil
		case <-p.ended: //nolint:errcheck // only its end is waited for
			for rep := range p.reports {
				p.note(rep)
			}
			stop()
			return p.result()
		}
	}
}

// note takes what init says.
func (p *parent) note(rep report) {
	if !rep.Running {
		p.failed = rep
		return
	}
	p.started = time.Now()
	addr, t := "", p.spec.Task
	switch {
	case p.spec.SockDir == "":
	case t.Port != 0 && p.gate == nil: // there is no network but the machine's
		addr = fmt.Sprintf("tcp://127.0.0.1:%d", t.Port)
	default:
		addr = "unix://" + filepath.Join(p.spec.SockDir, socketName)
	}
	if err := p.dir.write("running.json", ran{Started: p.started, Addr: addr}, false); err != nil {
		fmt.Fprintln(os.Stderr, "record running:", err)
	}
	if err := os.WriteFile(p.spec.Live, nil, 0o600); err != nil {
		fmt.Fprintln(os.Stderr, "tell running:", err)
	}
}

// obey does what stop.json asks: SIGTERM once, SIGKILL at the deadline.
func (p *parent) obey() {
	var wish stopWish
	if ok, err := p.dir.read("stop.json", &wish); err != nil || !ok {
		return
	}
	if !p.termed {
		p.termed = true
		_ = p.ctl.enc.Encode(order{Signal: int(unix.SIGTERM)})
	}
	p.kill = time.After(time.Until(wish.Deadline))
}

// end kills the task: its init, and with it the PID namespace. Without one,
// init is asked to kill all below it, for only it can find them. With wait it
// returns when all is over.
func (p *parent) end(wait bool) {
	if p.spec.Isolation == direct && p.started != (time.Time{}) {
		_ = p.ctl.enc.Encode(order{Kill: true})
		time.AfterFunc(2*time.Second, func() { p.init.Process.Kill() })
	} else {
		_ = p.init.Process.Kill() // it ended by itself if this fails
	}
	if wait {
		<-p.ended //nolint:errcheck // only its end is waited for
		p.drain()
	}
}

// drain waits until the log is complete. Without a PID namespace a process
// that got away may hold the pipe for ever, and is not waited for.
func (p *parent) drain() {
	if p.spec.Isolation == direct {
		t := time.AfterFunc(time.Second, func() { p.out.Close() })
		defer t.Stop()
	}
	if err := <-p.pumped; err != nil && !errors.Is(err, fs.ErrClosed) {
		fmt.Fprintln(os.Stderr, "write log:", err)
	}
	p.out.Close()
}

// result is how the task ended.
func (p *parent) result() exit {
	e := exit{Started: p.started, Ended: time.Now()}
	p.drain()
	if p.failed.Reason != "" {
		e.Code, e.Reason = p.failed.Code, p.failed.Reason
		return e
	}
	status, _ := p.init.ProcessState.Sys().(syscall.WaitStatus)
	e.Code = statusCode(status)
	switch {
	case e.Code == 0: // whatever was the matter, it came through
	case p.reason != "":
		e.Code, e.Reason = codeKilled, p.reason
	case p.limits.oomKilled():
		e.Code, e.Reason = codeKilled, runtime.ReasonOOM
	case e.Started.IsZero():
		e.Reason = "it ended before its command began"
	case e.Code == codeFileSize && p.spec.Task.DiskBytes > 0 || p.disk.full():
		e.Reason = runtime.ReasonDisk
	}
	return e
}

// statusCode is a wait status as a shell tells it.
func statusCode(s syscall.WaitStatus) int {
	if s.Signaled() {
		return 128 + int(s.Signal())
	}
	return s.ExitStatus()
}
