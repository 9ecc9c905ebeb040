package main

import (
	"io"
	"os"
	"os/exec"
	"os/signal"
	"strconv"
	"syscall"
	"time"
)

// The watcher is this program under another name, and a child of what the launcher becomes.
const (
	watcherName = "keystead-watch"
	interval    = time.Second

	// Its open files beside standard error.
	gateDescriptor  = 3
	readyDescriptor = 4
)

// startWatcher returns when the watcher knows what lies there now: what changes from here on is a change. The gate is open
// until the application is executed; the watcher does nothing before.
func startWatcher(wanted options) (gate *os.File, err error) {
	if len(wanted.onChange) == 0 {
		return nil, nil
	}
	waits, gate, err := os.Pipe()
	if err != nil {
		return nil, fail(exitMisuse, "the watcher can't be started: %s", err)
	}
	ready, says, err := os.Pipe()
	if err != nil {
		return nil, fail(exitMisuse, "the watcher can't be started: %s", err)
	}
	watcher := exec.Cmd{
		Path:       "/proc/self/exe",
		Args:       append([]string{watcherName}, wanted.arguments()...),
		Stderr:     os.Stderr,
		ExtraFiles: []*os.File{waits, says},
		// A session of its own: no terminal's signal reaches it, nor one for the application's process group.
		SysProcAttr: &syscall.SysProcAttr{Setsid: true, Pdeathsig: syscall.SIGKILL},
	}
	if err := watcher.Start(); err != nil {
		return nil, fail(exitMisuse, "the watcher can't be started: %s", reason(err))
	}
	waits.Close()
	says.Close()
	if _, err := io.ReadFull(ready, make([]byte, 1)); err != nil {
		return nil, fail(exitMisuse, "the watcher ended before the application began")
	}
	return gate, ready.Close()
}

// watch looks until the application is gone; then the kernel ends it, and where it doesn't, it sees that itself.
func watch(arguments []string) error {
	application := os.Getppid()
	closeInherited()
	// Caught and left alone, so that what it sends to the application, and the application to everybody, ends nothing here,
	// and commands begin with nothing ignored.
	signal.Notify(make(chan os.Signal, 1), syscall.SIGHUP, syscall.SIGINT, syscall.SIGQUIT, syscall.SIGPIPE,
		syscall.SIGUSR1, syscall.SIGUSR2, syscall.SIGALRM, syscall.SIGABRT)
	wanted, _, err := parseOptions(arguments)
	if err != nil {
		return err
	}
	watched := newChanges(wanted)
	if err := passGate(); err != nil {
		return nil // the launcher is gone: it has said why
	}
	performer := performer{application: application, environments: wanted.environments}
	for os.Getppid() == application {
		time.Sleep(interval)
		performer.perform(watched.look())
	}
	return nil
}

// passGate says that the watcher is ready, and waits for the application to be there.
func passGate() error {
	ready, gate := os.NewFile(readyDescriptor, "ready"), os.NewFile(gateDescriptor, "gate")
	defer gate.Close()
	if _, err := ready.Write([]byte{1}); err != nil {
		return err
	}
	ready.Close()
	_, err := io.Copy(io.Discard, gate)
	return err
}

// closeInherited closes the application's own files: who waits for one of them to be closed waits for the application,
// and not for us. What this program's runtime opened itself is closed on exec, and by that told apart.
func closeInherited() {
	open, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		return
	}
	for _, each := range open {
		number, err := strconv.Atoi(each.Name())
		if err != nil || number <= readyDescriptor {
			continue
		}
		flags, _, failed := syscall.RawSyscall(syscall.SYS_FCNTL, uintptr(number), syscall.F_GETFD, 0)
		if failed == 0 && flags&syscall.FD_CLOEXEC == 0 {
			syscall.Close(number)
		}
	}
}
