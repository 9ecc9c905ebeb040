package main

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
)

// Where container runtimes look if a container has no PATH.
const defaultPath = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

const executable = 1 // X_OK

// lookUp finds a command as execvp does: by the PATH that the application will have.
func lookUp(command string, environment []string) (string, error) {
	if strings.Contains(command, "/") {
		return command, check(command, command)
	}
	var refused error
	for _, folder := range filepath.SplitList(pathOf(environment)) {
		if folder == "" {
			folder = "."
		}
		candidate := folder + "/" + command
		err := check(candidate, command)
		if err == nil {
			return candidate, nil
		}
		var known failure
		if errors.As(err, &known) && known.status == exitNotExecutable {
			refused = err
		}
	}
	if refused != nil {
		return "", refused
	}
	return "", fail(exitNotFound, "%s: not found in PATH", command)
}

func pathOf(environment []string) string {
	path := defaultPath
	for _, entry := range environment {
		if value, found := strings.CutPrefix(entry, "PATH="); found {
			path = value
		}
	}
	return path
}

func check(file, command string) error {
	found, err := os.Stat(file)
	switch {
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, syscall.ENOTDIR):
		return fail(exitNotFound, "%s: not found", command)
	case err != nil:
		return fail(exitNotExecutable, "%s: %s", command, reason(err))
	case found.IsDir():
		return fail(exitNotExecutable, "%s: is a directory", command)
	case syscall.Access(file, executable) != nil:
		return fail(exitNotExecutable, "%s: permission denied", command)
	}
	return nil
}
