package audit

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"iter"
	"math"
	"slices"
)

// Read yields the lines of the log in dir numbered from and later, in order, while a server writes it or not. It stops
// quietly before a last line that is not whole yet; a server that is killed leaves one, and repairs it when it starts.
// An error, such as ErrDamaged, ends it.
func Read(dir string, from uint64) iter.Seq2[Line, error] {
	return read(dir, from, math.MaxUint64)
}

// Since yields the lines numbered seq and later that are in the log now. See Sink.
func (l *Log) Since(seq uint64) iter.Seq2[Line, error] {
	// Lines past those written may be half there, and be taken back.
	return func(yield func(Line, error) bool) {
		read(l.dir, seq, l.written.Load())(yield)
	}
}

func read(dir string, from, to uint64) iter.Seq2[Line, error] {
	return func(yield func(Line, error) bool) {
		if from > to {
			return
		}
		firsts, err := Segments(dir)
		if err != nil {
			yield(Line{}, err)
			return
		}
		// The last segment that starts no later than from; older ones hold only what is before it.
		i, found := slices.BinarySearch(firsts, from)
		if !found && i > 0 {
			i--
		}
		for n, first := range firsts[i:] {
			if first > to {
				return
			}
			stopped := false
			end, err := scan(dir, first, func(line Line) bool {
				if line.Seq >= from && line.Seq <= to {
					line.JSON = bytes.Clone(line.JSON)
					stopped = !yield(line, nil)
				}
				return !stopped && line.Seq < to
			})
			switch rest := firsts[i+n+1:]; {
			case stopped || err == nil && end.next > to:
				return
			case err != nil:
				yield(Line{}, err)
				return
			case len(rest) > 0 && (end.torn > 0 || end.next != rest[0]):
				yield(Line{}, fmt.Errorf("%w: %s ends before number %d, where the next segment starts", ErrDamaged, segmentName(first), rest[0]))
				return
			}
		}
	}
}

// Next returns the number that the next line of the log in dir will get: 1 if there is no log. A last line that is not whole does not count.
func Next(dir string) (uint64, error) {
	firsts, err := Segments(dir)
	if errors.Is(err, fs.ErrNotExist) || err == nil && len(firsts) == 0 {
		return 1, nil
	}
	if err != nil {
		return 0, err
	}
	end, err := scan(dir, firsts[len(firsts)-1], func(Line) bool { return true })
	return end.next, err
}

// LineSeq returns the number of a line of a log; false if it is none.
func LineSeq(line []byte) (uint64, bool) {
	_, seq, ok := parseFrame(line)
	return seq, ok
}
