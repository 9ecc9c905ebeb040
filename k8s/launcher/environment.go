package main

import (
	"errors"
	"io/fs"
	"os"
	"strings"
)

// Linux takes no longer string than this in an environment, its NUL counted (MAX_ARG_STRLEN).
const longestVariable = 131072

// withVariables sets what the files name, each later one over those before it, and all of them over what is inherited.
func withVariables(inherited, files []string) ([]string, error) {
	var names []string
	entries := map[string]string{}
	for _, file := range files {
		found, err := readVariables(file)
		if err != nil {
			return nil, err
		}
		for _, entry := range found {
			name, _, _ := strings.Cut(entry, "=")
			if _, known := entries[name]; !known {
				names = append(names, name)
			}
			entries[name] = entry
		}
	}
	var result []string
	for _, entry := range inherited {
		name, _, _ := strings.Cut(entry, "=")
		if _, replaced := entries[name]; !replaced {
			result = append(result, entry)
		}
	}
	for _, name := range names {
		result = append(result, entries[name])
	}
	return result, nil
}

// readVariables gives a file's entries, each NAME=value. What it says of a damaged file has nothing of its content.
func readVariables(file string) ([]string, error) {
	content, err := os.ReadFile(file)
	if err != nil {
		return nil, fail(exitMisuse, "the variables in %s can't be read: %s", file, reason(err))
	}
	if len(content) == 0 {
		return nil, nil
	}
	text, whole := strings.CutSuffix(string(content), "\x00")
	if !whole {
		return nil, fail(exitMisuse, "the variables in %s don't end with a NUL: the file is not whole", file)
	}
	entries := strings.Split(text, "\x00")
	for at, entry := range entries {
		name, _, found := strings.Cut(entry, "=")
		if !found || name == "" {
			return nil, fail(exitMisuse, "entry %d in %s is not NAME=value", at+1, file)
		}
		if len(entry)+1 > longestVariable {
			return nil, fail(exitMisuse, "%s in %s has %d bytes; the system takes %d",
				name, file, len(entry)-len(name)-1, longestVariable-len(name)-2)
		}
	}
	return entries, nil
}

// valueOf gives a variable's entry, or nil where no file has it.
func valueOf(name string, files []string) ([]byte, error) {
	entries, err := withVariables(nil, files)
	if err != nil {
		return nil, err
	}
	for _, entry := range entries {
		if strings.HasPrefix(entry, name+"=") {
			return []byte(entry), nil
		}
	}
	return nil, fs.ErrNotExist
}

// reason leaves out the path, which the sentence around it has already.
func reason(err error) error {
	var of *fs.PathError
	if errors.As(err, &of) {
		return of.Err
	}
	return err
}
