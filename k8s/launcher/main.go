// keystead-launch executes an application in its own place, with variables that lie in files.
//
//	keystead-launch [--environment FILE]... [--on-change JSON]... -- COMMAND [ARG...]
//
// The application has this process's PID, signals, limits, open files and directory: nothing stands between it and whoever
// started it. It must not know where secrets come from, and never says a value.
package main

import (
	"errors"
	"fmt"
	"os"
	"runtime"
	"syscall"
)

// As the shells have them, and env(1) and nohup(1): what was meant to run did not, or we could not even try.
const (
	exitMisuse        = 125
	exitNotExecutable = 126
	exitNotFound      = 127
)

// failure ends the program: a sentence, and how it exits.
type failure struct {
	status int
	text   string
}

func (f failure) Error() string { return f.text }

func fail(status int, format string, arguments ...any) error {
	return failure{status, fmt.Sprintf(format, arguments...)}
}

// The watcher is told of its parent's death by the thread that started it, and an exec leaves one thread alive: both have
// to be done by the same one.
func init() { runtime.LockOSThread() }

func main() {
	run := launch
	if os.Args[0] == watcherName {
		run = watch
	}
	err := run(os.Args[1:])
	if err == nil {
		return
	}
	say("%s", err)
	var known failure
	if errors.As(err, &known) {
		os.Exit(known.status)
	}
	os.Exit(exitMisuse)
}

// launch returns only if it fails.
func launch(arguments []string) error {
	wanted, err := parse(arguments)
	if err != nil {
		return err
	}
	gate, err := startWatcher(wanted)
	if err != nil {
		return err
	}
	environment, err := withVariables(os.Environ(), wanted.environments)
	if err != nil {
		return err
	}
	program, err := lookUp(wanted.command[0], environment)
	if err != nil {
		return err
	}
	restoreDispositions()
	err = syscall.Exec(program, wanted.command, environment)
	runtime.KeepAlive(gate) // closed by the exec itself, and not before
	return refusal(wanted.command[0], err)
}

func refusal(command string, err error) error {
	switch {
	case errors.Is(err, syscall.ENOENT): // the file is there: lookUp saw it
		return fail(exitNotFound, "%s: the interpreter that it names is not there", command)
	case errors.Is(err, syscall.E2BIG):
		return fail(exitMisuse, "%s: arguments and environment together are larger than the system takes", command)
	}
	return fail(exitNotExecutable, "%s: %s", command, err)
}

// say writes to standard error in one piece, so that lines of several processes stay whole.
func say(format string, arguments ...any) {
	fmt.Fprint(os.Stderr, "keystead-launch: "+fmt.Sprintf(format, arguments...)+"\n")
}
