// Package crashtest kills a real keyturn, again and again, in the middle of whatever it is doing, and checks after each restart
// that everything it answered is there, that nothing else is, and that what was under way happened wholly or not at all.
//
//	go test ./crashtest -run TestCrash -rounds=200 -v
//
// A failure names the seed; -seed repeats the same choices of operations and moments.
package crashtest
