// Command policy is keyturn's side of the comparison of its policy engine with an independent simulator of IAM; conformance/policy/run
// has the other one. As "policy generate" it writes cases with keyturn's decisions as lines of JSON, the same ones for the same seed; as
// "policy decide" it reads cases and writes its decisions, a line for a line.
package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
)

func main() {
	if err := run(os.Args[1:], os.Stdin, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "policy:", err)
		os.Exit(1)
	}
}

func run(args []string, in io.Reader, out io.Writer) error {
	if len(args) == 0 {
		return errors.New("say generate or decide")
	}
	flags := flag.NewFlagSet("policy "+args[0], flag.ContinueOnError)
	seed := flags.Uint64("seed", 1, "what the cases follow from")
	cases := flags.Int("cases", 20000, "how many")
	if err := flags.Parse(args[1:]); err != nil {
		return err
	}
	switch args[0] {
	case "generate":
		return generate(*seed, *cases, out)
	case "decide":
		return decide(in, out)
	default:
		return fmt.Errorf("no command %q: say generate or decide", args[0])
	}
}

// generate writes a line with the names of all features, then the cases.
func generate(seed uint64, cases int, out io.Writer) error {
	w := bufio.NewWriter(out)
	enc := json.NewEncoder(w)
	if err := enc.Encode(map[string]any{"seed": seed, "cases": cases, "features": featureNames()}); err != nil {
		return err
	}
	g := generator{rand.New(rand.NewPCG(seed, 0))}
	for range cases {
		c := g.testCase()
		if err := c.judge(); err != nil {
			return err
		}
		if err := enc.Encode(c); err != nil {
			return err
		}
	}
	return w.Flush()
}

// decide answers each line before it reads the next, so that it can be talked to.
func decide(in io.Reader, out io.Writer) error {
	dec, enc := json.NewDecoder(in), json.NewEncoder(out)
	for {
		var c testCase
		if err := dec.Decode(&c); errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			return err
		}
		p, err := c.parse()
		if err != nil {
			return err
		}
		compiled := p.compile()
		allowed, err := compiled.decide(&c.request)
		if err != nil {
			return err
		}
		if err := enc.Encode(allowed); err != nil {
			return err
		}
	}
}
