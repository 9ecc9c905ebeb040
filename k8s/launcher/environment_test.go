package main

import (
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
)

func file(t *testing.T, content string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "variables")
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestLaterFilesWinOverEarlierAndFilesOverWhatIsInherited(t *testing.T) {
	first, second := file(t, "A=1\x00B=1\x00"), file(t, "B=2\x00C=\n=\x00")
	got, err := withVariables([]string{"A=0", "KEPT=0", "A=00", "odd"}, []string{first, second, file(t, "")})
	want := []string{"KEPT=0", "odd", "A=1", "B=2", "C=\n="}
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("%q (%v)", got, err)
	}
}

func TestADamagedFileIsRefusedWithoutAWordOfIt(t *testing.T) {
	for _, content := range []string{"A=hush", "A=1\x00B=hush", "hush\x00", "=hush\x00", "A=1\x00\x00", "\x00",
		"A=" + strings.Repeat("hush", longestVariable/4) + "\x00"} {
		_, err := readVariables(file(t, content))
		if err == nil || strings.Contains(err.Error(), "hush") {
			t.Errorf("%.20q: %v", content, err)
		}
	}
}

func TestTheLongestVariableThatTheSystemTakesIsTaken(t *testing.T) {
	if _, err := readVariables(file(t, "A="+strings.Repeat("x", longestVariable-3)+"\x00")); err != nil {
		t.Error(err)
	}
}
