package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// A command that reloads an application is done sooner, or hangs.
const commandTime = time.Minute

// performer does what changes ask for: signals to the application, and commands in its container.
type performer struct {
	application  int
	environments []string
	pending      []onChange // signals that the application does not take yet
}

// PID 1 of its namespace gets no signal from inside that it does not catch, not even one that ends others.
const firstProcess = 1

// perform does each action once, however many changes ask for it, and commands one after the other.
func (p *performer) perform(changed []onChange) {
	waiting := len(p.pending)
	due := append(p.pending, changed...)
	p.pending = nil
	done := map[string]bool{}
	for at, each := range due {
		action := each.Signal + "\x00" + strings.Join(each.Command, "\x00")
		if done[action] {
			continue
		}
		done[action] = true
		switch {
		case each.Signal == "":
			p.run(each)
		case p.takes(signalOf(each.Signal)):
			p.send(each)
		default:
			p.wait(each, at >= waiting)
		}
	}
}

func (each onChange) subject() string {
	if each.File != "" {
		return each.File
	}
	return each.Variable
}

// wait keeps a signal until the application takes it: one that has just begun would die of it.
func (p *performer) wait(each onChange, first bool) {
	if first {
		say("%s has changed; SIG%s waits until the application takes it", each.subject(), each.signalName())
	}
	p.pending = append(p.pending, each)
}

func (p *performer) send(each onChange) {
	if os.Getppid() != p.application {
		return
	}
	if err := syscall.Kill(p.application, signalOf(each.Signal)); err != nil {
		say("%s has changed; SIG%s could not be sent: %s", each.subject(), each.signalName(), err)
		return
	}
	say("%s has changed: SIG%s sent", each.subject(), each.signalName())
}

func (each onChange) signalName() string { return strings.TrimPrefix(each.Signal, "SIG") }

// takes: there is a handler, or it is blocked, as with signalfd and sigwait; or what it does by default is what is meant.
func (p *performer) takes(number syscall.Signal) bool {
	switch number {
	case syscall.SIGCONT, syscall.SIGURG, syscall.SIGWINCH:
		return true
	case syscall.SIGTERM, syscall.SIGKILL, syscall.SIGINT, syscall.SIGQUIT, syscall.SIGABRT:
		if p.application != firstProcess {
			return true
		}
	}
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", p.application))
	return err == nil && handled(string(status), number)
}

func handled(status string, number syscall.Signal) bool {
	for _, line := range strings.Split(status, "\n") {
		name, value, _ := strings.Cut(line, ":\t")
		if name != "SigCgt" && name != "SigBlk" {
			continue
		}
		mask, err := strconv.ParseUint(value, 16, 64)
		if err == nil && mask&(1<<(uint(number)-1)) != 0 {
			return true
		}
	}
	return false
}

// run gives the command the environment that the application would get if it began now, and no shell.
func (p *performer) run(each onChange) {
	name := each.Command[0]
	environment, err := withVariables(os.Environ(), p.environments)
	if err == nil {
		var program string
		if program, err = lookUp(name, environment); err == nil {
			err = runFor(commandTime, program, each.Command, environment)
		}
	}
	if err != nil {
		say("%s has changed; %s failed: %s", each.subject(), name, err)
		return
	}
	say("%s has changed: %s done", each.subject(), name)
}

func runFor(most time.Duration, program string, arguments, environment []string) error {
	ended, cancel := context.WithTimeout(context.Background(), most)
	defer cancel()
	command := exec.CommandContext(ended, program)
	command.Args, command.Env = arguments, environment
	command.Stdout, command.Stderr = os.Stderr, os.Stderr
	command.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	command.Cancel = func() error { return syscall.Kill(-command.Process.Pid, syscall.SIGKILL) }
	err := command.Run()
	if errors.Is(ended.Err(), context.DeadlineExceeded) {
		return fmt.Errorf("it took longer than %s and was killed", most)
	}
	return err
}
