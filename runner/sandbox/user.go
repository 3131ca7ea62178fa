package sandbox

import (
	"bytes"
	"fmt"
	"os"
)

// ToolUser is the host user and group that tools run as: uid, or DefaultUID if that is 0, where this process is root and
// that user exists for it; −1 where tools run as the user that this process is. The latter holds for ordinary users, and
// for root of a user namespace that has no such user (a rootless container with a single id): nothing can be given to it
// there, and that root is an ordinary user outside.
func ToolUser(uid int) int {
	if uid == 0 {
		uid = DefaultUID
	}
	if os.Getuid() != 0 || !mapped("/proc/self/uid_map", uid) || !mapped("/proc/self/gid_map", uid) {
		return -1
	}
	return uid
}

// mapped says whether an id exists in this process's user namespace. A system without such maps has every id.
func mapped(file string, id int) bool {
	text, err := os.ReadFile(file)
	if err != nil {
		return true
	}
	return inMap(text, id)
}

// inMap reads lines of: first id inside, first id outside, how many (user_namespaces(7)).
func inMap(text []byte, id int) bool {
	for line := range bytes.Lines(text) {
		var inside, outside, count int64
		if n, _ := fmt.Sscan(string(line), &inside, &outside, &count); n == 3 && int64(id) >= inside && int64(id)-inside < count {
			return true
		}
	}
	return false
}
