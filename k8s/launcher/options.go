package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"path/filepath"
	"strings"
	"syscall"
)

const usage = "keystead-launch [--environment FILE]... [--on-change JSON]... -- COMMAND [ARG...]"

// options are what the command line asks for.
type options struct {
	environments []string
	onChange     []onChange
	command      []string
}

// onChange is one of file and variable, and one of signal and command.
type onChange struct {
	File     string   `json:"file,omitempty"`
	Variable string   `json:"variable,omitempty"`
	Signal   string   `json:"signal,omitempty"`
	Command  []string `json:"command,omitempty"`
}

// What an application may catch, and the two that end it: KILL and TERM restart a container.
var signals = map[string]syscall.Signal{
	"ABRT": syscall.SIGABRT, "ALRM": syscall.SIGALRM, "CONT": syscall.SIGCONT, "HUP": syscall.SIGHUP,
	"INT": syscall.SIGINT, "IO": syscall.SIGIO, "KILL": syscall.SIGKILL, "QUIT": syscall.SIGQUIT,
	"TERM": syscall.SIGTERM, "URG": syscall.SIGURG, "USR1": syscall.SIGUSR1, "USR2": syscall.SIGUSR2,
	"WINCH": syscall.SIGWINCH,
}

func signalOf(name string) syscall.Signal { return signals[strings.TrimPrefix(name, "SIG")] }

func parse(arguments []string) (options, error) {
	wanted, rest, err := parseOptions(arguments)
	if err != nil {
		return wanted, err
	}
	if len(rest) == 0 || rest[0] == "" {
		return wanted, fail(exitMisuse, "no command after --; %s", usage)
	}
	wanted.command = rest
	return wanted, nil
}

// parseOptions gives what stands after "--" as well.
func parseOptions(arguments []string) (wanted options, rest []string, err error) {
	for at := 0; at < len(arguments); at++ {
		name, value, joined := strings.Cut(arguments[at], "=")
		if arguments[at] == "--" {
			return wanted, arguments[at+1:], nil
		}
		if name != "--environment" && name != "--on-change" {
			return wanted, nil, fail(exitMisuse, "%q is no option; %s", name, usage)
		}
		if !joined {
			if at++; at == len(arguments) || arguments[at] == "--" {
				return wanted, nil, fail(exitMisuse, "%s needs a value; %s", name, usage)
			}
			value = arguments[at]
		}
		if err := wanted.take(name, value); err != nil {
			return wanted, nil, err
		}
	}
	return wanted, nil, fail(exitMisuse, "no -- before the command; %s", usage)
}

func (wanted *options) take(name, value string) error {
	if name == "--environment" {
		if value == "" {
			return fail(exitMisuse, "--environment needs a file's path")
		}
		wanted.environments = append(wanted.environments, value)
		return nil
	}
	each, err := parseOnChange(value)
	if err == nil {
		wanted.onChange = append(wanted.onChange, each)
	}
	return err
}

func parseOnChange(text string) (onChange, error) {
	var wanted onChange
	reader := json.NewDecoder(bytes.NewReader([]byte(text)))
	reader.DisallowUnknownFields()
	if err := reader.Decode(&wanted); err != nil {
		return wanted, fail(exitMisuse, "--on-change %s: %s", text, err)
	}
	if _, err := reader.Token(); !errors.Is(err, io.EOF) {
		return wanted, fail(exitMisuse, "--on-change %s: more than one JSON object", text)
	}
	if wrong := wanted.wrong(); wrong != "" {
		return wanted, fail(exitMisuse, "--on-change %s: %s", text, wrong)
	}
	return wanted, nil
}

func (wanted onChange) wrong() string {
	switch {
	case (wanted.File == "") == (wanted.Variable == ""):
		return `needs either "file" or "variable"`
	case (wanted.Signal == "") == (len(wanted.Command) == 0):
		return `needs either "signal" or "command"`
	case wanted.File != "" && !filepath.IsAbs(wanted.File):
		return `"file" has to be an absolute path`
	case strings.ContainsAny(wanted.Variable, "=\x00"):
		return `"variable" has to be a variable's name`
	case wanted.Signal != "" && signalOf(wanted.Signal) == 0:
		return `"signal" has to be one of ABRT, ALRM, CONT, HUP, INT, IO, KILL, QUIT, TERM, URG, USR1, USR2, WINCH`
	case len(wanted.Command) > 0 && wanted.Command[0] == "":
		return `"command" begins with a program's name`
	}
	return ""
}

// arguments say the same again, for the watcher.
func (wanted options) arguments() []string {
	var said []string
	for _, file := range wanted.environments {
		said = append(said, "--environment", file)
	}
	for _, each := range wanted.onChange {
		text, err := json.Marshal(each)
		if err != nil {
			panic(err) // strings only
		}
		said = append(said, "--on-change", string(text))
	}
	return append(said, "--")
}
