// probe: the program of tests' containers. It says what it finds around it, one JSON object a line, and what happens to it.
//
//	probe pause              wait for SIGTERM
//	probe report [CODE]      say what is around, and end with CODE (0)
//	probe serve [CODE]       the same, then say each signal; end with CODE on SIGTERM
//	probe fail-once CODE DIR end with CODE the first time, and serve once DIR remembers that there was one
//	probe cat FILE...        write files out
//	probe put FILE TEXT      write into a file
//	probe list DIRECTORY     names, permissions, owners and links of what is in it
package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
)

type report struct {
	Arguments   []string          `json:"arguments"`
	Environment map[string]string `json:"environment"`
	Directory   string            `json:"directory"`
	User        int               `json:"uid"`
	Group       int               `json:"gid"`
	Groups      []int             `json:"groups"`
	Process     int               `json:"pid"`
	Status      map[string]string `json:"status"` // of /proc/self/status: capabilities, NoNewPrivs, Seccomp
	Control     []string          `json:"cgroup"`
	Mounts      []mount           `json:"mounts"`
}

type mount struct {
	Path    string   `json:"path"`
	Type    string   `json:"type"`
	Options []string `json:"options"`
}

type entry struct {
	Name  string `json:"name"`
	Mode  string `json:"mode"`
	Owner uint32 `json:"uid"`
	Group uint32 `json:"gid"`
	Link  string `json:"link,omitempty"`
}

func main() {
	if len(os.Args) < 2 {
		end(2, errors.New("say what to do: pause, report, serve, fail-once, cat, put or list"))
	}
	given := os.Args[2:]
	switch os.Args[1] {
	case "pause":
		wait(syscall.SIGTERM, syscall.SIGINT)
	case "report":
		say(around())
		os.Exit(code(given))
	case "serve":
		serve(code(given))
	case "fail-once":
		failOnce(code(given), filepath.Join(argument(given, 1), "failed"))
	case "cat":
		for _, path := range given {
			content, err := os.ReadFile(path)
			end(1, err)
			os.Stdout.Write(content)
		}
	case "put":
		end(1, os.WriteFile(argument(given, 0), []byte(argument(given, 1)), 0o644))
	case "list":
		list(argument(given, 0))
	default:
		end(2, fmt.Errorf("%q is nothing that it does", os.Args[1]))
	}
}

// Signals are caught before anything is said: whoever has read the report may send them.
func serve(code int) {
	signals := make(chan os.Signal, 16)
	signal.Notify(signals, syscall.SIGHUP, syscall.SIGINT, syscall.SIGUSR1, syscall.SIGUSR2, syscall.SIGTERM, syscall.SIGCHLD)
	say(around())
	for received := range signals {
		if received == syscall.SIGURG {
			continue // Go's own
		}
		say(map[string]string{"signal": received.String()})
		if received == syscall.SIGTERM {
			os.Exit(code)
		}
	}
}

func failOnce(code int, mark string) {
	if _, err := os.Stat(mark); err == nil {
		serve(0)
	}
	end(1, os.WriteFile(mark, nil, 0o644))
	os.Exit(code)
}

func wait(signals ...os.Signal) {
	received := make(chan os.Signal, 1)
	signal.Notify(received, signals...)
	<-received
}

func around() report {
	directory, _ := os.Getwd()
	groups, _ := os.Getgroups()
	return report{
		Arguments: os.Args, Environment: environment(), Directory: directory,
		User: os.Getuid(), Group: os.Getgid(), Groups: groups, Process: os.Getpid(),
		Status: status(), Control: lines("/proc/self/cgroup"), Mounts: mounts(),
	}
}

func environment() map[string]string {
	found := map[string]string{}
	for _, each := range os.Environ() {
		name, value, _ := strings.Cut(each, "=")
		found[name] = value
	}
	return found
}

func status() map[string]string {
	found := map[string]string{}
	for _, line := range lines("/proc/self/status") {
		name, value, _ := strings.Cut(line, ":")
		found[name] = strings.TrimSpace(value)
	}
	return found
}

// A line of mountinfo: ID PARENT DEVICE ROOT PATH OPTIONS [FIELDS...] - TYPE SOURCE OPTIONS (proc(5)).
func mounts() []mount {
	found := []mount{}
	for _, line := range lines("/proc/self/mountinfo") {
		before, after, _ := strings.Cut(line, " - ")
		first, last := strings.Fields(before), strings.Fields(after)
		if len(first) < 6 || len(last) < 3 {
			continue
		}
		options := append(strings.Split(first[5], ","), strings.Split(last[2], ",")...)
		found = append(found, mount{Path: first[4], Type: last[0], Options: options})
	}
	return found
}

func list(directory string) {
	found, err := os.ReadDir(directory)
	end(1, err)
	for _, each := range found {
		info, err := each.Info()
		end(1, err)
		owner := info.Sys().(*syscall.Stat_t)
		link, _ := os.Readlink(filepath.Join(directory, each.Name()))
		say(entry{each.Name(), info.Mode().String(), owner.Uid, owner.Gid, link})
	}
}

func lines(path string) []string {
	content, _ := os.ReadFile(path)
	return strings.Split(strings.TrimSpace(string(content)), "\n")
}

func code(given []string) int {
	if len(given) == 0 {
		return 0
	}
	number, err := strconv.Atoi(given[0])
	end(2, err)
	return number
}

func argument(given []string, number int) string {
	if number >= len(given) {
		end(2, errors.New("an argument is missing"))
	}
	return given[number]
}

func say(what any) {
	written, err := json.Marshal(what)
	end(1, err)
	fmt.Println(string(written))
}

// end: with this code and sentence, if there is an error at all.
func end(code int, err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, "probe:", err)
		os.Exit(code)
	}
}
