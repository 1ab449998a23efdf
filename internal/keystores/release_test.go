package keystores

import "testing"

// TestReleaseSticks has a call that began before a release go on after it: it must not log in again.
func TestReleaseSticks(t *testing.T) {
	d := &fakeDevice{pin: "right password"}
	s, _ := withToken(t, d)
	k := token(t, s, "right password") // of a call under way
	if _, err := k.Random(t.Context(), 9); err != nil {
		t.Fatal(err)
	}
	s.Release(t.Context(), tokenStore("right password"))
	if _, err := k.Random(t.Context(), 9); err == nil || d.current != "" {
		t.Errorf("logged in again after the release: %v", err)
	}
}
