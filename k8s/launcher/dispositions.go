package main

import (
	"syscall"
	"unsafe"
)

// What the runtime found when it started, before it set handlers and opened its mask. An exec takes handlers back to the
// default and keeps what is ignored: without these, an application would get signals that whoever started it had ignored.

//go:linkname inheritedHandlers runtime.fwdSig
var inheritedHandlers [65]uintptr

//go:linkname inheritedMask runtime.initSigmask
var inheritedMask [2]uint32

const (
	ignored     = 1 // SIG_IGN
	setMask     = 2 // SIG_SETMASK
	bytesOfMask = 8
)

// sigaction as the kernel has it, on amd64 and arm64 alike.
type sigaction struct {
	handler  uintptr
	flags    uint64
	restorer uintptr
	mask     uint64
}

// restoreDispositions leaves signals as they were inherited. The thread is the one that executes the application.
func restoreDispositions() {
	for number, handler := range inheritedHandlers {
		if number > 0 && handler == ignored {
			wanted := sigaction{handler: ignored}
			syscall.RawSyscall6(syscall.SYS_RT_SIGACTION, uintptr(number), uintptr(unsafe.Pointer(&wanted)), 0, bytesOfMask, 0, 0)
		}
	}
	mask := inheritedMask
	syscall.RawSyscall6(syscall.SYS_RT_SIGPROCMASK, setMask, uintptr(unsafe.Pointer(&mask)), 0, bytesOfMask, 0, 0)
}
