package kms

import (
	"encoding/base64"
	"strings"

	"github.com/keyturn/keyturn/internal/api"
	"github.com/keyturn/keyturn/internal/service"
)

// A marker is base64url of "1/LIST/POSITION": the list it belongs to and the last item of the page before. It is only a
// position within what the caller may list anyway, and so needs no protection.

func encodeMarker(list, position string) api.Opt[string] {
	return api.Some(base64.RawURLEncoding.EncodeToString([]byte("1/" + list + "/" + position)))
}

// decodeMarker returns the position; "" for no marker.
func decodeMarker(list string, marker api.Opt[string]) (string, error) {
	if !marker.Set {
		return "", nil
	}
	raw, err := base64.RawURLEncoding.Strict().DecodeString(marker.V)
	position, ok := strings.CutPrefix(string(raw), "1/"+list+"/")
	if err != nil || !ok || position == "" {
		return "", api.Errorf(api.InvalidMarkerException, "Could not deserialize marker '%s'", cut(marker.V))
	}
	return position, nil
}

func limitOr(limit api.Opt[int64], fallback int) int {
	if limit.Set {
		return int(limit.V)
	}
	return fallback
}

// page returns up to limit entries of an index, as what follows the prefix, and the marker of the next page if there is one.
func page(tx *service.Tx, list, prefix string, marker api.Opt[string], limit int) ([]string, api.Opt[string], error) {
	var none api.Opt[string]
	position, err := decodeMarker(list, marker)
	if err != nil {
		return nil, none, err
	}
	after := ""
	if position != "" {
		after = prefix + position
	}
	entries, err := tx.Scan(prefix, after, limit+1)
	if err != nil {
		return nil, none, err
	}
	items := make([]string, 0, len(entries))
	for _, e := range entries {
		items = append(items, strings.TrimPrefix(e.Key, prefix))
	}
	if len(items) <= limit {
		return items, none, nil
	}
	return items[:limit], encodeMarker(list, items[limit-1]), nil
}
