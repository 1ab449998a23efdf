// Package crashtest kills a real keyturn, again and again, in the middle of whatever it is doing, and checks after each restart
// that everything it answered is there, that nothing else is, and that what was under way happened wholly or not at all.
//
// A storm of calls makes, uses, rotates and deletes keys of several specs; imports material, imports it again, lets it expire; and
// replicates multi-Region keys, moves their primary, and deletes them. After each crash the answers of the service are compared with a
// model of it, everything that keys ever made must open or verify in every region, and the audit log must tell the same story. Every few
// rounds the store that a crash left is read past the service, and compared with itself.
//
//	go test ./crashtest -run TestCrash -rounds=200 -v
//
// A failure names the seed; -seed repeats the same choices of operations and moments.
package crashtest
