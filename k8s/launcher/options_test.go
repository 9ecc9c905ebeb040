package main

import (
	"errors"
	"reflect"
	"strings"
	"testing"
)

func TestWhatWasAskedForIsSaidAgainAlike(t *testing.T) {
	given := []string{
		"--environment", "/a", "--environment=/b", "--on-change", `{"file":"/x","signal":"SIGHUP"}`,
		`--on-change={"variable":"NAME","command":["nginx","-s","re = load"]}`, "--", "run", "--", "-x",
	}
	wanted, err := parse(given)
	if err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(wanted.command, []string{"run", "--", "-x"}) {
		t.Errorf("command is %q", wanted.command)
	}
	again, rest, err := parseOptions(wanted.arguments())
	wanted.command = nil
	if err != nil || len(rest) != 0 || !reflect.DeepEqual(wanted, again) {
		t.Errorf("%v became %v (%v)", wanted, again, err)
	}
}

func TestWhatMakesNoSenseIsRefusedAndNamed(t *testing.T) {
	for text, named := range map[string]string{
		"":                           "no --",
		"--":                         "no command",
		"--|":                        "no command",
		"--environment|--|x":         "--environment needs a value",
		"--environment=|--|x":        "--environment needs",
		"--environment|/a":           "no --",
		"--enviroment|/a|--|x":       `"--enviroment" is no option`,
		"sleep|1":                    `"sleep" is no option`,
		"--on-change|{|--|x":         "--on-change {",
		"--on-change|[]|--|x":        "--on-change []",
		"--on-change|{}|--|x":        `"file" or "variable"`,
		`--on-change|{} {}|--|x`:     "more than one",
		`--on-change|{"fil":1}|--|x`: `unknown field "fil"`,
		`--on-change|{"file":"/x","variable":"X","signal":"HUP"}|--|x`:  `"file" or "variable"`,
		`--on-change|{"file":"/x"}|--|x`:                                `"signal" or "command"`,
		`--on-change|{"file":"/x","signal":"HUP","command":["a"]}|--|x`: `"signal" or "command"`,
		`--on-change|{"file":"x","signal":"HUP"}|--|x`:                  "absolute",
		`--on-change|{"file":"/x","signal":"SEGV"}|--|x`:                "ABRT",
		`--on-change|{"file":"/x","command":[""]}|--|x`:                 "program's name",
		`--on-change|{"variable":"A=B","signal":"HUP"}|--|x`:            "variable's name",
	} {
		var arguments []string
		if text != "" {
			arguments = strings.Split(text, "|")
		}
		_, err := parse(arguments)
		var refused failure
		if !errors.As(err, &refused) || refused.status != exitMisuse || !strings.Contains(refused.text, named) {
			t.Errorf("%q: %v does not name %q", text, err, named)
		}
	}
}
