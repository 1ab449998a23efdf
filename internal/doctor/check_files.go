package doctor

import (
	"fmt"
	"io/fs"
	"strings"
)

var fileChecks = []Check{
	{ID: "data-dir", Title: "The data directory belongs to one user, and nobody else can write it", Needs: Loaded, Eval: checkDataDir},
	{ID: "data-files", Title: "Files of the server belong to it, and nobody else can read them", Needs: Loaded, Eval: checkInside},
	{ID: "data-strangers", Title: "Nothing else is in the data directory", Needs: Loaded, Eval: func(f *Facts) []Finding {
		if f.Config.DataDir.Err != "" {
			return skip("the data directory cannot be looked at")
		}
		if len(f.Config.Unknown) == 0 {
			return ok("only what the server keeps there")
		}
		return one(Warn, "not the server's: "+strings.Join(f.Config.Unknown, ", "),
			"keep backups, keys and copies elsewhere: whoever gets the folder, or loses it, would have, or lose, both")
	}},
	{ID: "seal-key", Title: "Only the server can read the seal key", Needs: Loaded, Eval: checkSealKey},
	{ID: "seal-apart", Title: "Seal key and data are kept apart", Needs: Loaded, Eval: checkApart},
	{ID: "tls-key", Title: "Only the server can read the TLS key", Needs: Loaded, Eval: func(f *Facts) []Finding {
		if f.Config.TLSKey == nil {
			return skip("the server speaks plain HTTP on this machine")
		}
		return or(secret(f, f.Config.TLSKey, 0o007), "%s", f.Config.TLSKey.Path)
	}},
	{ID: "secrets", Title: "Only the server can read secrets", Needs: Loaded, Eval: func(f *Facts) []Finding {
		var out []Finding
		for i := range f.Config.Secrets {
			out = append(out, secret(f, &f.Config.Secrets[i], 0o007)...)
		}
		return or(out, "%d files", len(f.Config.Secrets))
	}},
	{ID: "policies", Title: "Nobody else can change policies of the configuration", Needs: Loaded, Eval: func(f *Facts) []Finding {
		var out []Finding
		for i := range f.Config.Policies {
			p := &f.Config.Policies[i]
			if p.Err != "" {
				out = append(out, unread(f, p))
			} else if p.UID >= 0 && p.Mode&0o022 != 0 {
				out = append(out, Finding{Fail, fmt.Sprintf("%s can be written by others (mode %v)", p.Path, p.Mode.Perm()), "chmod go-w " + p.Path})
			}
		}
		return or(out, "%d files", len(f.Config.Policies))
	}},
}

// unread is the finding about a file that cannot be looked at.
func unread(f *Facts, file *File) Finding {
	if file.Missing && file.Credential {
		return Finding{Skip, file.What + " is a credential, which is there only while the service runs", "ask again while it does"}
	}
	if file.Missing {
		return Finding{Fail, file.What + " " + file.Path + " is not there", "put it there, or correct the path in the configuration"}
	}
	return Finding{Skip, file.What + " cannot be looked at: " + file.Err, asOwner(f)}
}

func checkDataDir(f *Facts) []Finding {
	d := &f.Config.DataDir
	switch {
	case d.Missing:
		return one(Warn, d.Path+" is not there yet", "run keyturn init with this configuration; it makes the folder")
	case d.Err != "":
		return []Finding{unread(f, d)}
	case !d.Mode.IsDir():
		return one(Fail, d.Path+" is no folder", "correct data_dir")
	case d.UID < 0:
		return skip("%s: look at its access control list; nobody but the server's user should be in it", d.Path)
	}
	var out []Finding
	if d.Mode&0o022 != 0 {
		out = append(out, Finding{Fail, fmt.Sprintf("%s can be written by others (mode %v)", d.Path, d.Mode.Perm()), "chmod 0700 " + d.Path})
	} else if d.Mode&0o077 != 0 {
		out = append(out, Finding{Warn, fmt.Sprintf("%s can be read by others (mode %v)", d.Path, d.Mode.Perm()), "chmod 0700 " + d.Path})
	}
	if d.UID == 0 {
		out = append(out, Finding{Warn, d.Path + " is root's: the server would have to run as root", "run it as a user of its own, see docs/deploying.md"})
	} else if f.UID > 0 && d.UID != f.UID {
		out = append(out, Finding{Warn, fmt.Sprintf("%s belongs to user %d, and you are user %d", d.Path, d.UID, f.UID), asOwner(f)})
	}
	return or(out, "%s, user %d, mode %v", d.Path, d.UID, d.Mode.Perm())
}

func checkInside(f *Facts) []Finding {
	dir := &f.Config.DataDir
	if dir.Err != "" {
		return skip("the data directory cannot be looked at")
	}
	var out []Finding
	for i := range f.Config.Inside {
		file := &f.Config.Inside[i]
		switch {
		case file.Err != "":
			out = append(out, unread(f, file))
		case file.UID < 0:
		case file.Mode&0o077 != 0:
			mode := "0600"
			if file.Mode.IsDir() {
				mode = "0700"
			}
			out = append(out, Finding{Warn, fmt.Sprintf("%s can be read or written by others (mode %v)", file.Path, file.Mode.Perm()), "chmod " + mode + " " + file.Path})
		case file.UID != dir.UID:
			out = append(out, Finding{Fail, fmt.Sprintf("%s belongs to user %d, the folder to user %d: was a command run as another user?", file.Path, file.UID, dir.UID),
				fmt.Sprintf("chown %d %s", dir.UID, file.Path)})
		}
	}
	return or(out, "%d files and folders", len(f.Config.Inside))
}

// secret judges a file that nobody may have with these bits of its mode.
func secret(f *Facts, file *File, bits fs.FileMode) []Finding {
	if file.Err != "" {
		return []Finding{unread(f, file)}
	}
	if file.UID < 0 {
		return skip("%s: look at its access control list; nobody but the server's user should be in it", file.Path)
	}
	if !file.Mode.IsRegular() {
		return one(Fail, file.Path+" is no file", "correct the path in the configuration")
	}
	if file.Credential && file.Mode&^0o440&fs.ModePerm == 0 {
		return nil // systemd's own: root's, and readable for the service by an access control list
	}
	if file.Mode&bits != 0 {
		return one(Fail, fmt.Sprintf("%s can be read or written by others (mode %v)", file.Path, file.Mode.Perm()), "chmod 0600 "+file.Path)
	}
	dir := &f.Config.DataDir
	if dir.Err == "" && dir.UID > 0 && file.UID != dir.UID && file.Mode&0o040 == 0 {
		return one(Fail, fmt.Sprintf("%s belongs to user %d; the server, user %d, cannot read it", file.Path, file.UID, dir.UID),
			fmt.Sprintf("chown %d %s, or hand it over as a credential, see docs/deploying.md", dir.UID, file.Path))
	}
	return nil
}

func checkSealKey(f *Facts) []Finding {
	key := f.Config.SealKey
	if key == nil {
		return skip("no key file is configured")
	}
	if key.Missing && !key.Credential && f.Config.Store.Missing {
		return one(Warn, key.Path+" is not there yet", "keyturn init makes it; keep a copy apart from the data")
	}
	out := secret(f, key, 0o077)
	for _, path := range f.Config.SealKeyTemps {
		out = append(out, Finding{Warn, path + " is a key that a command was making when it was killed, maybe the seal key itself",
			"remove it: rm " + path})
	}
	return or(out, "%s", key.Path)
}

func checkApart(f *Facts) []Finding {
	key, dir := f.Config.SealKey, &f.Config.DataDir
	switch {
	case key == nil:
		return skip("no key file is configured")
	case key.Err != "" || dir.Err != "" || key.Device == 0:
		return skip("the file systems of %s and %s are not known", key.Path, dir.Path)
	case key.Device == dir.Device:
		return one(Warn, fmt.Sprintf("%s is on the file system of %s: a copy of that has every key", key.Path, dir.Path),
			"keep the key on another disk, as a credential of systemd, or use a passphrase; and keep backups of the two apart")
	}
	return ok("they are on different file systems")
}
