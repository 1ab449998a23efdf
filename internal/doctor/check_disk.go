package doctor

import (
	"fmt"
	"time"
)

const (
	minFree    = 256 << 20 // bytes: below, the server soon stops
	lowFree    = 2 << 30
	minInodes  = 1000
	slowWrite  = 20 * time.Millisecond // a commit waits for two of these
	awfulWrite = 200 * time.Millisecond
)

// diskKinds are file systems that do not keep what was written, or lock differently than the store needs.
var diskKinds = map[string]struct {
	severity Severity
	why      string
}{
	"tmpfs":     {Fail, "it is in memory: everything is lost with the machine"},
	"ramfs":     {Fail, "it is in memory: everything is lost with the machine"},
	"overlayfs": {Fail, "it is a container's own layer: everything is lost with the container"},
	"nfs":       {Fail, "locks and fsync over NFS are not to be relied on by a store in one mapped file"},
	"smb":       {Fail, "locks and fsync over SMB are not to be relied on by a store in one mapped file"},
	"cifs":      {Fail, "locks and fsync over SMB are not to be relied on by a store in one mapped file"},
	"9p":        {Fail, "memory maps and fsync over 9p are not to be relied on"},
	"fuse":      {Warn, "what fsync and locks are worth depends on the program behind it"},
	"ceph":      {Warn, "what fsync and locks are worth depends on how it is mounted"},
	"vfat":      {Fail, "it knows no owners and no modes, and no journal"},
	"msdos":     {Fail, "it knows no owners and no modes, and no journal"},
}

var diskChecks = []Check{
	{ID: "disk-kind", Title: "The file systems keep what was written", Needs: Loaded, Eval: disks(func(d *Disk) []Finding {
		switch kind, bad := diskKinds[d.Kind]; {
		case d.ReadOnly:
			return one(Fail, d.Path+" is on a file system that is mounted read-only", "mount it for writing")
		case bad:
			return one(kind.severity, fmt.Sprintf("%s is on %s: %s", d.Path, d.Kind, kind.why), "use a local disk with ext4 or XFS; in a container a volume")
		case d.Kind == "":
			return skip("the kind of file system of %s is not known here", d.Path)
		}
		return ok("%s is on %s", d.Path, d.Kind)
	})},
	{ID: "disk-space", Title: "There is space for data and audit log", Needs: Loaded, Eval: disks(func(d *Disk) []Finding {
		text := fmt.Sprintf("%s has %s free of %s", d.Path, bytes(d.Free), bytes(d.Total))
		switch {
		case d.Total == 0:
			return skip("the size of %s is not known here", d.Path)
		case d.Free < minFree:
			return one(Fail, text, "make space: without it no call can be recorded, and none is answered")
		case d.Free < lowFree || d.Free < d.Total/20:
			return one(Warn, text, "make space, or move old segments of the audit log elsewhere")
		}
		return ok("%s", text)
	})},
	{ID: "disk-inodes", Title: "There are inodes for new files", Needs: Loaded, Eval: disks(func(d *Disk) []Finding {
		switch {
		case d.Inodes == 0:
			return skip("%s does not count them", d.Path)
		case d.FreeInodes < minInodes:
			return one(Fail, fmt.Sprintf("%s has %d left", d.Path, d.FreeInodes), "delete files: the audit log cannot begin its next segment")
		}
		return ok("%s has %d left", d.Path, d.FreeInodes)
	})},
	{ID: "disk-latency", Title: "Writes reach the disk fast", Needs: Loaded, Eval: func(f *Facts) []Finding {
		l := f.Config.Latency
		text := fmt.Sprintf("a write with its fsync takes %s", l.V.Round(10*time.Microsecond))
		switch {
		case !l.Known:
			return skip("%s", l.Why)
		case l.V > awfulWrite:
			return one(Fail, text, "use another disk: each change of a key waits for several of these")
		case l.V > slowWrite:
			return one(Warn, text, "use a faster disk: each change of a key waits for several of these")
		}
		return ok("%s", text)
	}},
}

// disks makes a check of each disk.
func disks(eval func(*Disk) []Finding) func(*Facts) []Finding {
	return func(f *Facts) []Finding {
		var out []Finding
		for i := range f.Config.Disks {
			d := &f.Config.Disks[i]
			if d.Err != "" {
				out = append(out, skip("%s cannot be looked at: %s", d.What, d.Err)...)
				continue
			}
			out = append(out, eval(d)...)
		}
		return or(out, "there is none")
	}
}

func bytes(n uint64) string {
	for _, u := range []struct {
		size uint64
		name string
	}{{1 << 40, "TiB"}, {1 << 30, "GiB"}, {1 << 20, "MiB"}, {1 << 10, "KiB"}} {
		if n >= u.size {
			return fmt.Sprintf("%.1f %s", float64(n)/float64(u.size), u.name)
		}
	}
	return fmt.Sprintf("%d bytes", n)
}
