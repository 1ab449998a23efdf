package telemetry

import "github.com/prometheus/client_golang/prometheus"

func desc(name, help string, labels ...string) *prometheus.Desc {
	return prometheus.NewDesc("keyturn_"+name, help, labels, nil)
}

// The metrics of a collector.
var (
	buildInfo = desc("build_info", "Always 1; what this program is.", "version", "revision", "goversion", "fips140")
	ready     = desc("ready", "1 if /readyz says so, else 0.")
	notReady  = desc("not_ready", "1 for each reason why the server is not ready.", "reason")

	cacheHits      = desc("cache_hits_total", "Look-ups of records that the cache had.")
	cacheMisses    = desc("cache_misses_total", "Look-ups of records that the cache did not have, absent records too.")
	cacheEvictions = desc("cache_evictions_total", "Records that made way for others.")
	cacheEntries   = desc("cache_entries", "Records in the cache, about.")
	cacheWeight    = desc("cache_weight_bytes", "Memory that the cache takes, about.")
	cacheLimit     = desc("cache_limit_bytes", "Memory that the cache may take.")

	keys        = desc("keys", "Keys of all accounts and regions by state and spec, AWS managed keys included. Absent until they are counted.", "state", "spec")
	keysCounted = desc("keys_counted", "1 once every key is counted, else 0.")

	storeCommits = desc("store_commits_total", "Commits to the store engine by how they ended; a conflict is tried again.", "result")
	storeSeconds = desc("store_commit_duration_seconds", "Time that written commits took, fsync included.")
	storeHead    = desc("store_revision", "Revision of the store: commits since it was made.")
	storeBytes   = desc("store_size_bytes", "Size of the store's file; 0 in memory.")
	diskFree     = desc("disk_free_bytes", "Space left for this process on the file system of the data directory.")
	diskSize     = desc("disk_size_bytes", "Size of the file system of the data directory.")

	auditWaiting  = desc("audit_outbox_entries", "Audit records of changes that are committed and not yet in the log, about.")
	auditLag      = desc("audit_lag_seconds", "Age of the oldest of these, in whole seconds; 0 if none waits.")
	auditLines    = desc("audit_log_lines_total", "Sequence number of the last line of the audit log.")
	auditUnsynced = desc("audit_log_unsynced_lines", "Lines that are not yet on the disk.")
	auditBytes    = desc("audit_log_size_bytes", "Size of the audit log, segments moved away since the start included.")
	auditSegments = desc("audit_log_segments", "Files of the audit log, those moved away since the start included.")

	schedulerLag = desc("scheduler_lag_seconds", "How late the earliest due event is; 0 if none is.")
	dueEvents    = desc("due_events_total", "Due events that ran, by kind and how they ended. One that fails is tried again and counts again.", "event", "result")
	dueWithin    = desc("due_within", "Events due within a time, overdue ones included. See keyturn_due_complete.", "event", "within")
	dueNext      = desc("due_next_timestamp_seconds", "When the next event of a kind is due, by the service's clock.", "event")
	dueComplete  = desc("due_complete", "1 if keyturn_due_within counts everything; 0 if more than 10,000 events are due within 7 days, so that there are more.")

	sealed         = desc("sealed", "1 while the server waits for keyturn unseal, else 0.")
	rootCreated    = desc("seal_root_created_timestamp_seconds", "When the root key was made.")
	keyringVersion = desc("seal_keyring_version", "Current version of the keyring.")
	keyringCreated = desc("seal_keyring_created_timestamp_seconds", "When that version was made.")
	keyringDue     = desc("seal_keyring_due_timestamp_seconds", "When the next version is due.")
	resealing      = desc("seal_resealing", "1 while values are being sealed under the current keyring version, else 0.")
	resealed       = desc("seal_resealed_values", "Values that the re-sealing under way, or the last one, has looked at.")
	resealTotal    = desc("seal_reseal_values", "Values that it is to look at, about.")

	clockTrusted = desc("clock_trusted", "1 if the machine's clock is believed, 0 after a jump: what destroys waits then.")
	clockJump    = desc("clock_jump_seconds", "How far a clock that is not believed is ahead, or behind if negative; 0 if it is believed.")

	backupLast  = desc("backup_last_timestamp_seconds", "When the last backup of the running server was made. Absent if there was none.")
	backupBytes = desc("backup_last_size_bytes", "How large it was.")

	certificateEnd = desc("certificate_not_after_timestamp_seconds", "When the TLS certificate that is served ends.")
)
