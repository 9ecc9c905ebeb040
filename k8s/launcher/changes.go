package main

import (
	"crypto/sha256"
	"io"
	"os"
	"syscall"
)

// digest of what lies somewhere; the zero value while nothing does.
type digest [sha256.Size]byte

// change is one thing that is looked at. What it is now has to be seen twice before it counts, so that several files that
// are written one after the other are one change.
type change struct {
	wanted onChange
	acted  digest // what the application was last told of
	seen   digest // what was there at the last look
}

type changes struct {
	environments []string
	all          []*change
}

func newChanges(wanted options) *changes {
	watched := &changes{environments: wanted.environments}
	for _, each := range wanted.onChange {
		now, _ := watched.digestOf(each) // not there yet, as optional secrets may be: coming is a change
		watched.all = append(watched.all, &change{wanted: each, acted: now, seen: now})
	}
	return watched
}

// look gives what has changed since the application was told, and takes it as told. What is away is no change.
func (watched *changes) look() []onChange {
	var changed []onChange
	settled := true
	for _, each := range watched.all {
		now, err := watched.digestOf(each.wanted)
		if err != nil {
			each.seen = each.acted
			continue
		}
		if now != each.seen {
			settled = false
		}
		each.seen = now
		if now != each.acted {
			changed = append(changed, each.wanted)
		}
	}
	if !settled {
		return nil
	}
	for _, each := range watched.all {
		each.acted = each.seen
	}
	return changed
}

func (watched *changes) digestOf(wanted onChange) (digest, error) {
	if wanted.Variable != "" {
		entry, err := valueOf(wanted.Variable, watched.environments)
		if err != nil {
			return digest{}, err
		}
		return sha256.Sum256(entry), nil
	}
	return digestOfFile(wanted.File)
}

func digestOfFile(path string) (sum digest, err error) {
	file, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK, 0) // a pipe must not stop it
	if err != nil {
		return sum, err
	}
	defer file.Close()
	hash := sha256.New()
	if _, err := io.Copy(hash, file); err != nil {
		return sum, err
	}
	hash.Sum(sum[:0])
	return sum, nil
}
