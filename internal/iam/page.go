package iam

import (
	"encoding/base64"
	"strconv"
	"strings"

	"github.com/keyturn/keyturn/internal/api"
	"github.com/keyturn/keyturn/internal/service"
)

// A marker is base64url of "1/LIST/POSITION": the list it belongs to and the last item of the page before. It is only a position within
// what the caller may list anyway, and so needs no protection. Positions have paths in them: the model allows markers of 1024 characters, where
// AWS has 320, so that the longest path with the longest name fits.

// paging is what lists answer beside their items.
type paging struct {
	IsTruncated api.Opt[bool]
	Marker      api.Opt[string]
}

func nextPage(list, position string) paging {
	if position == "" {
		return paging{IsTruncated: api.Some(false)}
	}
	return paging{api.Some(true), api.Some(base64.RawURLEncoding.EncodeToString([]byte("1/" + list + "/" + position)))}
}

// decodeMarker returns the position; "" for no marker.
func decodeMarker(list string, marker api.Opt[string]) (string, error) {
	if !marker.Set {
		return "", nil
	}
	raw, err := base64.RawURLEncoding.Strict().DecodeString(marker.V)
	position, ok := strings.CutPrefix(string(raw), "1/"+list+"/")
	if err != nil || !ok || position == "" {
		return "", invalid("Invalid Marker.")
	}
	return position, nil
}

func limitOf(maxItems api.Opt[int64]) int {
	if maxItems.Set {
		return int(maxItems.V)
	}
	return defaultMaxItems
}

// scan returns the entries of an index below a prefix, as what follows base, a page at a time. list names the list in its markers.
func scan(tx *service.Tx, list, base, prefix string, marker api.Opt[string], maxItems api.Opt[int64]) ([]string, paging, error) {
	position, err := decodeMarker(list, marker)
	if err != nil {
		return nil, paging{}, err
	}
	after := ""
	if position != "" {
		after = base + position
	}
	limit := limitOf(maxItems)
	entries, err := tx.Scan(base+prefix, after, limit+1)
	if err != nil {
		return nil, paging{}, err
	}
	items := make([]string, 0, len(entries))
	for _, e := range entries {
		items = append(items, strings.TrimPrefix(e.Key, base))
	}
	if len(items) <= limit {
		return items, nextPage(list, ""), nil
	}
	return items[:limit], nextPage(list, items[limit-1]), nil
}

// slice returns a page of a list that one record holds.
func slice[T any](list string, items []T, marker api.Opt[string], maxItems api.Opt[int64]) ([]T, paging, error) {
	position, err := decodeMarker(list, marker)
	if err != nil {
		return nil, paging{}, err
	}
	from := 0
	if position != "" {
		if from, err = strconv.Atoi(position); err != nil || from < 0 {
			return nil, paging{}, invalid("Invalid Marker.")
		}
	}
	from = min(from, len(items))
	to := min(from+limitOf(maxItems), len(items))
	page := append([]T{}, items[from:to]...)
	if to == len(items) {
		return page, nextPage(list, ""), nil
	}
	return page, nextPage(list, strconv.Itoa(to)), nil
}
