package check

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/keyturn/keyturn/internal/policy"
)

// ruleNow is when the keys of the rule tests are judged.
var ruleNow = time.Date(2026, 6, 1, 12, 0, 0, 0, time.UTC)

func daysAgo(n int) time.Time { return ruleNow.Add(-time.Duration(n) * day) }

// ruleFacts returns the facts of an enabled, symmetric customer key of 100 days that rotates every year, changed as a test wants it.
func ruleFacts(change func(*Facts)) *Facts {
	text := policy.Default("aws", "111122223333")
	pol, err := policy.Parse([]byte(text))
	if err != nil {
		panic(err)
	}
	f := &Facts{
		Now: ruleNow, Account: "111122223333", Region: "us-east-1",
		Key: &Key{
			ID: "mrk-1", ARN: "arn:aws:kms:us-east-1:111122223333:key/mrk-1", Manager: ManagerCustomer, Spec: SpecSymmetric,
			Usage: "ENCRYPT_DECRYPT", State: StateEnabled, Origin: OriginKMS, Created: daysAgo(100),
		},
		Rotation:   &Rotation{Enabled: true, Days: 365, Next: daysAgo(-265)},
		Materials:  []Material{{ID: "m1", State: materialCurrent}},
		PolicyText: text, Policy: pol,
		Usage: &Usage{Tracked: daysAgo(1000), Last: daysAgo(1), Operation: "Decrypt"},
	}
	if change != nil {
		change(f)
	}
	return f
}

// judgeRule does what a scan does with a check and a key all of which was read.
func judgeRule(c *Check, f *Facts, s *Settings) Verdict {
	if c.Applies != nil {
		if ok, reason := c.Applies(f.Key, s); !ok {
			return notApplicable("%s", reason)
		}
	}
	return c.Eval(f, s)
}

type ruleCase struct {
	name string
	set  func(*Facts)
	want Status
	says string // in the detail or a note
}

func runRule(t *testing.T, id string, cases []ruleCase) {
	t.Helper()
	c := ByID(id)
	if c == nil {
		t.Fatalf("there is no check %s", id)
	}
	for _, tc := range cases {
		t.Run(tc.name, func(t *testing.T) {
			s := DefaultSettings()
			v := judgeRule(c, ruleFacts(tc.set), &s)
			sentences := append([]string{v.Detail}, v.Notes...)
			if v.Status != tc.want {
				t.Errorf("%s, want %s; it says %q", v.Status, tc.want, sentences)
			}
			if all := strings.Join(sentences, "\n"); !strings.Contains(all, tc.says) {
				t.Errorf("it says %q, which does not have %q", all, tc.says)
			}
			for _, s := range sentences {
				if !strings.HasSuffix(s, ".") || strings.Contains(s, "%!") || strings.Contains(s, "0001-01-01") {
					t.Errorf("%q is not a good sentence", s)
				}
			}
		})
	}
}

func TestRotationEnabled(t *testing.T) {
	runRule(t, "rotation-enabled", []ruleCase{
		{"on", nil, Pass, "on, every 365 days. The next one is due on 2027-02-21."},
		{"on, period unsaid", func(f *Facts) { f.Rotation = &Rotation{Enabled: true} }, Pass, "does not say how often"},
		{"off", func(f *Facts) { f.Rotation = &Rotation{} }, Fail, "made on 2026-02-21"},
		{"replica, off", func(f *Facts) {
			f.Key.Role, f.Key.Primary, f.Rotation = RoleReplica, "arn:aws:kms:eu-west-1:111122223333:key/mrk-1", &Rotation{}
		}, Fail, "at the primary key, arn:aws:kms:eu-west-1:"},
		{"replica, on", func(f *Facts) { f.Key.Role = RoleReplica }, Pass, "is on"},
		{"AWS managed", func(f *Facts) { f.Key.Manager = ManagerAWS }, NotApplicable, "AWS rotates it every year"},
		{"disabled", func(f *Facts) { f.Key.State, f.Rotation = StateDisabled, &Rotation{} }, NotApplicable, "asked of enabled keys"},
		{"pending deletion", func(f *Facts) { f.Key.State = StatePendingDeletion }, NotApplicable, StatePendingDeletion},
		{"asymmetric", func(f *Facts) { f.Key.Spec, f.Rotation = "RSA_2048", nil }, NotApplicable, "asymmetric key (RSA_2048)"},
		{"HMAC", func(f *Facts) { f.Key.Spec, f.Rotation = "HMAC_256", nil }, NotApplicable, "HMAC"},
		{"imported", func(f *Facts) { f.Key.Origin, f.Rotation = OriginExternal, nil }, NotApplicable, "imported material"},
		{"CloudHSM", func(f *Facts) { f.Key.Origin, f.Rotation = OriginCloudHSM, nil }, NotApplicable, "custom key store"},
		{"external key store", func(f *Facts) { f.Key.Origin, f.Rotation = OriginXKS, nil }, NotApplicable, "custom key store"},
	})
}

func TestRotationPeriod(t *testing.T) {
	period := func(days int) func(*Facts) { return func(f *Facts) { f.Rotation.Days = days } }
	runRule(t, "rotation-period", []ruleCase{
		{"as long as allowed", period(365), Pass, "every 365 days"},
		{"a day longer", period(366), Fail, "every 366 days; at most 365 are allowed"},
		{"unsaid", period(0), Pass, "the only one"},
		{"off", func(f *Facts) { f.Rotation = &Rotation{Days: 400} }, NotApplicable, "Rotation is off"},
		{"disabled", func(f *Facts) { f.Key.State = StateDisabled }, NotApplicable, "asked of enabled keys"},
		{"asymmetric", func(f *Facts) { f.Key.Spec, f.Rotation = "ECC_NIST_P256", nil }, NotApplicable, "asymmetric"},
	})
	s := DefaultSettings()
	s.MaxPeriod = 180
	if v := judgeRule(ByID("rotation-period"), ruleFacts(period(0)), &s); v.Status != Fail {
		t.Errorf("an unsaid period against 180 days: %s, want FAIL, since it is 365", v.Status)
	}
}

func TestRotationOverdue(t *testing.T) {
	next := func(at time.Time) func(*Facts) { return func(f *Facts) { f.Rotation.Next = at } }
	// No promised date, and the newest automatic rotation at a time; one on demand is later and does not count.
	last := func(at time.Time) func(*Facts) {
		return func(f *Facts) {
			f.Rotation.Next, f.Key.Created = time.Time{}, daysAgo(1000)
			f.Materials = []Material{
				{ID: "m4", State: materialCurrent, Rotated: daysAgo(1), OnDemand: true},
				{ID: "m3", State: materialNonCurrent, Rotated: at}, {ID: "m2", State: materialNonCurrent, Rotated: daysAgo(900)}, {ID: "m1"},
			}
		}
	}
	made := func(at time.Time) func(*Facts) {
		return func(f *Facts) { f.Rotation.Next, f.Key.Created = time.Time{}, at }
	}
	runRule(t, "rotation-overdue", []ruleCase{
		{"due later", nil, Pass, "due on 2027-02-21"},
		{"due 24 hours ago", next(daysAgo(1)), Pass, "2026-05-31 is less than 24 hours late"},
		{"due more than 24 hours ago", next(daysAgo(1).Add(-time.Second)), Fail, "due on 2026-05-31 has not happened, 1 day later"},
		{"last rotation a period and a day ago", last(daysAgo(366)), Pass, "365 days after the newest automatic rotation, 2025-05-31"},
		{"last rotation longer ago", last(daysAgo(366).Add(-time.Second)), Fail, "365 days after the newest automatic rotation, 2025-05-31"},
		{"never rotated, made a period and a day ago", made(daysAgo(366)), Pass, "365 days after the key was made, 2025-05-31"},
		{"never rotated, made longer ago", made(daysAgo(367)), Manual, "if rotation was enabled when the key was made"},
		{"period unsaid", func(f *Facts) { made(daysAgo(367))(f); f.Rotation.Days = 0 }, Manual, "365 days after the key was made"},
		{"a longer period", func(f *Facts) { made(daysAgo(367))(f); f.Rotation.Days = 400 }, Pass, "400 days after the key was made"},
		{"off", func(f *Facts) { f.Rotation = &Rotation{Next: daysAgo(9)} }, NotApplicable, "Rotation is off"},
		{"disabled", func(f *Facts) { f.Key.State = StateDisabled; next(daysAgo(9))(f) }, NotApplicable, "enabled keys"},
		{"HMAC", func(f *Facts) { f.Key.Spec, f.Rotation = "HMAC_512", nil }, NotApplicable, "HMAC"},
	})
}

func TestOnDemandLimit(t *testing.T) {
	used := func(n int) func(*Facts) {
		return func(f *Facts) {
			for range n {
				f.Materials = append(f.Materials, Material{Rotated: daysAgo(9), OnDemand: true}, Material{Rotated: daysAgo(8)})
			}
		}
	}
	runRule(t, "on-demand-limit", []ruleCase{
		{"none", nil, Pass, "0 of 25 on-demand rotations are used, 25 are left"},
		{"19", used(19), Pass, "19 of 25"},
		{"20", used(20), Fail, "20 of 25 on-demand rotations are used, 5 are left"},
		{"all", used(25), Fail, "0 are left"},
		{"more than all", used(26), Fail, "0 are left"},
		{"imported", func(f *Facts) { f.Key.Origin = OriginExternal; used(20)(f) }, Fail, "20 of 25"},
		{"imported, nothing yet", func(f *Facts) {
			f.Key.Origin, f.Key.State, f.Materials = OriginExternal, StatePendingImport, nil
		}, Pass, "0 of 25"},
		{"replica", func(f *Facts) { f.Key.Role, f.Key.Primary = RoleReplica, "arn:p"; used(20)(f) }, Fail, "primary key, arn:p"},
		{"not listed", func(f *Facts) { f.Materials = nil }, Manual, "lists no rotations"},
		{"asymmetric", func(f *Facts) { f.Key.Spec = "RSA_2048"; used(20)(f) }, NotApplicable, "Only symmetric"},
		{"CloudHSM", func(f *Facts) { f.Key.Origin = OriginCloudHSM }, NotApplicable, "outside custom key stores"},
		{"pending deletion", func(f *Facts) { f.Key.State = StatePendingDeletion; used(20)(f) }, NotApplicable, "pending-deletion"},
	})
}

func TestImportExpiry(t *testing.T) {
	imported := func(change func(*Facts), materials ...Material) func(*Facts) {
		return func(f *Facts) {
			f.Key.Origin, f.Materials = OriginExternal, materials
			if change != nil {
				change(f)
			}
		}
	}
	expires := func(at time.Time) func(*Facts) {
		return imported(nil, Material{ID: "m1", State: materialCurrent, Imported: true},
			Material{ID: "m0", State: materialNonCurrent, Imported: true, ValidTo: at})
	}
	runRule(t, "import-expiry", []ruleCase{
		{"never", imported(nil, Material{ID: "m1", State: materialCurrent, Imported: true}), Pass, "does not expire"},
		{"later than the warning", expires(daysAgo(-30).Add(time.Second)), Pass, "expires on 2026-07-01, not within 30 days"},
		{"at the warning", expires(daysAgo(-30)), Fail, "expires on 2026-07-01, within 30 days"},
		{"within an hour", expires(ruleNow.Add(time.Hour)), Fail, "expires on 2026-06-01, within"},
		{"just now", expires(ruleNow), Fail, "expired on 2026-06-01"},
		{"long ago", expires(daysAgo(3)), Fail, "expired on 2026-05-29"},
		{"only the key says when", imported(func(f *Facts) { f.Key.ValidTo, f.Key.Expires = daysAgo(-5), true }), Fail, "expires on 2026-06-06"},
		{"the earliest counts", imported(func(f *Facts) { f.Key.ValidTo = daysAgo(-300) },
			Material{ID: "m1", State: materialCurrent, ValidTo: daysAgo(-6)}, Material{ID: "m0", ValidTo: daysAgo(-5)}), Fail, "2026-06-06"},
		{"the earliest counts, in any order", imported(nil,
			Material{ID: "m1", State: materialCurrent, ValidTo: daysAgo(-5)}, Material{ID: "m0", ValidTo: daysAgo(-300)}), Fail, "2026-06-06"},
		{"nobody says when", imported(func(f *Facts) { f.Key.Expires = true }), Manual, "does not say when"},
		{"nothing imported", imported(func(f *Facts) { f.Key.State = StatePendingImport }), Fail, "waits for its material"},
		{"a material is missing", imported(func(f *Facts) { f.Key.State = StatePendingImport },
			Material{ID: "m1", State: materialCurrent}, Material{ID: "m0", State: materialNonCurrent, Missing: true}), Fail, "state PendingImport): m0."},
		{"a pending material is missing", imported(nil, Material{ID: "m1", State: materialCurrent},
			Material{ID: "m2", State: materialPendingImport, Missing: true, ValidTo: daysAgo(2)}), Pass, "does not expire"},
		{"not imported", nil, NotApplicable, "not imported"},
		{"pending deletion", imported(func(f *Facts) { f.Key.State = StatePendingDeletion }), NotApplicable, "pending-deletion"},
	})
}

func TestManualRotation(t *testing.T) {
	spec := func(spec, origin string, age int, more time.Duration, aliases ...Alias) func(*Facts) {
		return func(f *Facts) {
			f.Key.Spec, f.Key.Origin, f.Key.Created, f.Materials, f.Rotation = spec, origin, daysAgo(age).Add(-more), nil, nil
			f.Aliases = aliases
		}
	}
	alias := Alias{Name: "alias/a", Created: daysAgo(2000), Updated: daysAgo(40)}
	imported := func(change func(*Facts), materials ...Material) func(*Facts) {
		return func(f *Facts) {
			f.Key.Origin, f.Materials = OriginExternal, materials
			if change != nil {
				change(f)
			}
		}
	}
	old := func(f *Facts) { f.Key.Created = daysAgo(366) }
	runRule(t, "manual-rotation", []ruleCase{
		{"as old as allowed", spec("RSA_2048", OriginKMS, 365, 0), Pass, "made on 2025-06-01, 365 days ago, and its material is as old. That is within"},
		{"older, with an alias", spec("RSA_2048", OriginKMS, 365, time.Second, Alias{Name: "alias/a"}), Fail, "and alias/a still points to it"},
		{"older, without one", spec("RSA_2048", OriginKMS, 365, time.Second), Manual, "kept to decrypt or verify only"},
		{"HMAC, older", spec("HMAC_256", OriginKMS, 366, 0, Alias{Name: "alias/a"}), Fail, "366 days ago"},
		{"CloudHSM, older", spec(SpecSymmetric, OriginCloudHSM, 366, 0), Manual, "no alias points to it"},
		{"CloudHSM, young", spec(SpecSymmetric, OriginCloudHSM, 5, 0), Pass, "within the 365 days"},
		{"repointed to a young key", spec("RSA_2048", OriginKMS, 50, 0, alias), Pass, "alias/a was pointed here on 2026-04-22; the verdict rests on that date"},
		{"repointed to an old key", spec("RSA_2048", OriginKMS, 500, 0, alias), Fail, "alias/a was pointed here on 2026-04-22"},
		{"imported asymmetric", spec("ECC_NIST_P256", OriginExternal, 5, 0), Pass, "how old its material was when it was imported is not known"},
		{"imported HMAC, old", spec("HMAC_256", OriginExternal, 366, 0, Alias{Name: "alias/a"}), Fail, "is not known"},
		{"external key store, old", spec(SpecSymmetric, OriginXKS, 2000, 0, Alias{Name: "alias/a"}), Manual, "without KMS knowing"},
		{"external key store, young", spec(SpecSymmetric, OriginXKS, 1, 0), Manual, "made on 2026-05-31, 1 day ago"},

		{"imported, first material", imported(nil, Material{ID: "m1", State: materialCurrent}), Pass, "made on 2026-02-21; its age is counted from that date. That makes 100 days, and 365 are allowed"},
		{"imported, first material, old", imported(old, Material{ID: "m1", State: materialCurrent}), Fail, "made on 2025-05-31; its age is counted from that date. That makes 366 days, more than the 365"},
		{"imported, rotated in time", imported(old, Material{ID: "m2", State: materialCurrent, Rotated: daysAgo(365), OnDemand: true},
			Material{ID: "m1", State: materialNonCurrent}), Pass, "since the rotation on 2025-06-01"},
		{"imported, rotated too long ago", imported(func(f *Facts) { f.Key.Created = daysAgo(800) },
			Material{ID: "m2", State: materialCurrent, Rotated: daysAgo(365).Add(-time.Second), OnDemand: true},
			Material{ID: "m1", State: materialNonCurrent}), Fail, "can be imported and rotated to on demand"},
		{"imported, states not said", imported(old, Material{ID: "m1", Rotated: daysAgo(300)}, Material{ID: "m2", Rotated: daysAgo(20)}), Pass, "2026-05-12"},
		{"imported, states not said, in the other order", imported(old, Material{ID: "m2", Rotated: daysAgo(20)}, Material{ID: "m1", Rotated: daysAgo(300)}),
			Pass, "2026-05-12"},
		{"imported, another waits", imported(old, Material{ID: "m1", State: materialCurrent}, Material{ID: "m2", State: materialPending}), Fail,
			"Material m2 is imported and waits for RotateKeyOnDemand"},
		{"imported, another waits for replicas", imported(nil, Material{ID: "m1", State: materialCurrent},
			Material{ID: "m2", State: materialPendingImport}), Pass, "into every replica"},
		{"imported, materials not listed", imported(func(f *Facts) { old(f); f.Aliases = []Alias{alias} }), Fail, "alias/a still points to it"},

		{"rotates itself", nil, NotApplicable, "rotation-enabled"},
		{"disabled", func(f *Facts) { spec("RSA_2048", OriginKMS, 900, 0)(f); f.Key.State = StateDisabled }, NotApplicable, "enabled keys"},
	})
}

// An alias made along with its key says nothing; one updated later than that says that it was repointed.
func TestRepointedAfterAMinute(t *testing.T) {
	for _, tc := range []struct {
		after time.Duration
		want  bool
	}{{0, false}, {time.Minute, false}, {time.Minute + time.Second, true}} {
		f := ruleFacts(func(f *Facts) {
			f.Key.Spec, f.Materials = "RSA_2048", nil
			f.Aliases = []Alias{{Name: "alias/a"}, {Name: "alias/b", Updated: f.Key.Created.Add(tc.after)}}
		})
		s := DefaultSettings()
		v := judgeRule(ByID("manual-rotation"), f, &s)
		if got := slices.ContainsFunc(v.Notes, func(n string) bool { return strings.HasPrefix(n, "alias/b was pointed here") }); got != tc.want {
			t.Errorf("an alias updated %s after its key: repointed %t, want %t (%q)", tc.after, got, tc.want, v.Notes)
		}
	}
}
