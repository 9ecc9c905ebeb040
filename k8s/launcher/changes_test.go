package main

import (
	"os"
	"path/filepath"
	"testing"
)

func write(t *testing.T, path, content string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
}

func watched(t *testing.T) (*changes, string) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "secret")
	write(t, path, "old")
	return newChanges(options{onChange: []onChange{{File: path, Signal: "HUP"}}}), path
}

func TestAChangeCountsOnceAndWhenItWasSeenTwice(t *testing.T) {
	looked, path := watched(t)
	if len(looked.look()) != 0 {
		t.Error("nothing had changed")
	}
	write(t, path, "new")
	for at, want := range []int{0, 1, 0, 0} {
		if got := len(looked.look()); got != want {
			t.Errorf("look %d gave %d", at, got)
		}
	}
}

func TestWhatIsAwayOrComesBackAsItWasIsNoChange(t *testing.T) {
	looked, path := watched(t)
	for _, step := range []func(){func() { os.Remove(path) }, func() {}, func() { write(t, path, "old") }, func() {}} {
		step()
		if len(looked.look()) != 0 {
			t.Error("nothing had changed")
		}
	}
}

func TestWhatChangesAndIsTakenAwayHoldsUpNothingElse(t *testing.T) {
	looked, path := watched(t)
	other := path + "2"
	looked.all = append(looked.all, &change{wanted: onChange{File: other, Signal: "HUP"}})
	write(t, path, "new")
	looked.look()
	os.Remove(path)
	write(t, other, "came")
	looked.look()
	if got := looked.look(); len(got) != 1 || got[0].File != other {
		t.Errorf("%v", got)
	}
}

func TestAnotherVariableOfTheSameFileIsNoChange(t *testing.T) {
	path := filepath.Join(t.TempDir(), "variables")
	write(t, path, "A=1\x00B=1\x00")
	looked := newChanges(options{environments: []string{path}, onChange: []onChange{{Variable: "A", Signal: "HUP"}}})
	write(t, path, "A=1\x00B=2\x00")
	looked.look()
	if len(looked.look()) != 0 {
		t.Error("A had not changed")
	}
	write(t, path, "A=2\x00B=2\x00")
	looked.look()
	if len(looked.look()) != 1 {
		t.Error("A had changed")
	}
}
