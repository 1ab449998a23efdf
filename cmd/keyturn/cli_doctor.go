package main

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/keyturn/keyturn/internal/api"
	"github.com/keyturn/keyturn/internal/doctor"
	"github.com/keyturn/keyturn/internal/doctor/probe"
	"github.com/keyturn/keyturn/internal/seal"
	"github.com/keyturn/keyturn/internal/store/boltstore"
)

type doctorFlags struct {
	config  string
	caFile  string
	verbose bool
	client  clientFlags
}

func newDoctorCommand() *cobra.Command {
	f := new(doctorFlags)
	cmd := &cobra.Command{
		Use:   "doctor [--config FILE] [--endpoint URL]",
		Short: "Check an installation, and say how to mend it",
		Long: `Check an installation of keyturn server, and say how to mend it: files and who can read them, disks, clock, limits, the configuration, the store,
and with --endpoint the server as a client sees it. It changes nothing, and needs no root: run it as the server's user. The server may run.

Exit status: 0 nothing failed (there may be warnings), 3 something failed, 1 it could not be looked at, 2 usage.`,
		Example: `  keyturn doctor --config /etc/keyturn/keyturn.yaml
  keyturn doctor --endpoint https://kms.example.com:8443 --ca-file /etc/keyturn/ca.crt`,
		Args:          noArgs,
		RunE:          func(cmd *cobra.Command, _ []string) error { return runDoctor(cmd, f) },
		SilenceErrors: true,
		SilenceUsage:  true,
	}
	cmd.SetFlagErrorFunc(flagError)
	fl := cmd.Flags()
	fl.StringVar(&f.config, "config", "", "configuration `FILE` of the server")
	fl.StringVar(&f.caFile, "ca-file", "", "PEM `FILE` of the authorities of the server's certificate (default: AWS_CA_BUNDLE, or those of the system)")
	fl.BoolVar(&f.verbose, "verbose", false, "list what is well, and what was left out, too")
	fl.StringVar(&f.client.endpoint, "endpoint", "", "`URL` of a running server")
	fl.StringVar(&f.client.profile, "profile", "", "profile of the AWS configuration files, to ask the server whether it believes its clock")
	fl.StringVar(&f.client.region, "region", "", "AWS region (default: from the AWS environment)")
	fl.BoolVar(&f.client.insecureHTTP, "insecure-http", false, "allow http to other machines")
	addOutputFlag(fl, &f.client.output)
	return cmd
}

func runDoctor(cmd *cobra.Command, f *doctorFlags) error {
	if f.config == "" && f.client.endpoint == "" {
		return usageError{errors.New("say what to check: --config FILE, --endpoint URL, or both")}
	}
	in := probe.Input{Now: time.Now()}
	if f.config != "" {
		if err := inspectConfig(f.config, &in); err != nil {
			return err
		}
	}
	if err := f.inspectEndpoint(&in); err != nil {
		return err
	}
	results := doctor.Run(probe.Gather(cmd.Context(), in))
	if f.client.output == jsonOutput {
		if err := writeJSON(cmd.OutOrStdout(), results); err != nil {
			return err
		}
	} else if err := printResults(cmd.OutOrStdout(), results, f.verbose); err != nil {
		return err
	}
	if doctor.Worst(results) == doctor.Fail {
		return findingsError{"the installation is not well"}
	}
	return nil
}

// inspectEndpoint says how the server is reached, and who asks for its clock.
func (f *doctorFlags) inspectEndpoint(in *probe.Input) error {
	if f.client.endpoint == "" {
		return nil
	}
	if err := checkEndpoint(f.client.endpoint, f.client.insecureHTTP); err != nil {
		return endpointError("--endpoint", err, true)
	}
	in.Endpoint = f.client.endpoint
	if f.caFile == "" {
		f.caFile = os.Getenv("AWS_CA_BUNDLE")
	}
	if f.caFile != "" {
		pem, err := readBounded(f.caFile, maxRootsBytes)
		if err != nil {
			return fmt.Errorf("reading the authorities: %w", err)
		}
		in.Roots = x509.NewCertPool()
		if !in.Roots.AppendCertsFromPEM(pem) {
			return fmt.Errorf("%s holds no certificate in PEM", f.caFile)
		}
	}
	// Only credentials that somebody has chosen: others would be looked for on the network.
	chosen := func(name string) bool { return os.Getenv(name) != "" }
	if f.client.profile != "" || slices.ContainsFunc([]string{"AWS_ACCESS_KEY_ID", "AWS_PROFILE", "AWS_SHARED_CREDENTIALS_FILE"}, chosen) {
		in.Clock = f.askClock
	}
	return nil
}

func (f *doctorFlags) askClock(ctx context.Context) (doctor.ServiceClock, error) {
	f.client.caFile = f.caFile
	c, err := f.client.connect(ctx, "")
	if err != nil {
		return doctor.ServiceClock{}, err
	}
	var resp api.GetClockResponse
	if err := c.call(ctx, "Keyturn.GetClock", &api.GetClockRequest{}, &resp); err != nil {
		return doctor.ServiceClock{}, c.explain(err)
	}
	return doctor.ServiceClock{Standing: string(resp.Standing.V), Mark: resp.HighWaterMark.V, Suspended: resp.SuspendedSince.V}, nil
}

// printResults prints what there is to do, and what was found well in one line.
func printResults(w io.Writer, results []doctor.Result, verbose bool) error {
	counts := map[doctor.Severity]int{}
	var b strings.Builder
	for _, r := range results {
		counts[r.Severity]++
		if !verbose && r.Severity < doctor.Warn {
			continue
		}
		fmt.Fprintf(&b, "%-4s  %s: %s\n      %s\n", r.Severity, r.ID, r.Title, printable(r.Why))
		if r.Fix != "" {
			fmt.Fprintf(&b, "      -> %s\n", printable(r.Fix))
		}
	}
	if b.Len() > 0 {
		b.WriteByte('\n')
	}
	fmt.Fprintf(&b, "%d failed, %d warnings, %d well, %d left out", counts[doctor.Fail], counts[doctor.Warn], counts[doctor.OK], counts[doctor.Skip])
	if !verbose {
		b.WriteString(" (--verbose lists them all)")
	}
	_, err := fmt.Fprintln(w, b.String())
	return err
}

// inspectConfig takes from a configuration what there is to check. A file that is not there at all is an error; anything else is a finding.
func inspectConfig(path string, in *probe.Input) error {
	facts := &doctor.ConfigFacts{Path: path}
	in.Config = facts
	c, err := loadConfig(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return withHint(err, "name the configuration of the server with --config")
	case errors.Is(err, fs.ErrPermission):
		return withHint(err, "run it as the user that the server runs as")
	case err != nil:
		noteProblem(facts, err)
		return nil
	}
	facts.Loaded, facts.Listen, facts.PlainHTTP = true, c.Listen, c.PlainHTTP
	facts.Tokens = c.KeyStores != nil && len(c.KeyStores.Clusters) > 0
	_, err = c.resolve(io.Discard, false)
	for _, err := range refusals(err) {
		noteProblem(facts, err)
	}
	named := c.variables()
	for _, name := range named {
		facts.Variables = append(facts.Variables, doctor.Variable{Name: name, Set: os.Getenv(name) != ""})
	}
	for _, entry := range os.Environ() {
		name, _, _ := strings.Cut(entry, "=")
		if strings.HasPrefix(name, "KEYTURN_") && !slices.Contains(named, name) {
			facts.Strangers = append(facts.Strangers, name)
		}
	}
	in.DataDir, in.SealKey, in.SealKeyTemp = c.DataDir, c.Seal.KeyFile, seal.KeyFileTemp
	if c.TLS != nil {
		in.TLSCert, in.TLSKey = c.TLS.Certificate, c.TLS.Key
	}
	in.Secrets, in.Policies = c.secretFiles(), c.policyFiles()
	others := append([]string{securityFile, securityFile + ".1", checkDir, censusFile, ownTemp(censusFile)}, boltstore.Leftovers(storeFile)...)
	in.Layout = probe.Layout{Lock: lockFile, Store: storeFile, Audit: auditDir, Others: others, Restoring: restoringDir, Reserved: seal.Reserved}
	in.Unseal = c.tryUnseal
	return nil
}

// noteProblem notes what the server would refuse. What its environment and its credentials are to bring has checks of its own.
func noteProblem(facts *doctor.ConfigFacts, err error) {
	if file := (*fs.PathError)(nil); errors.Is(err, errUnset) || errors.Is(err, fs.ErrNotExist) && errors.As(err, &file) && probe.IsCredential(file.Path) {
		return
	}
	if errors.Is(err, fs.ErrPermission) {
		facts.Unread = append(facts.Unread, err.Error())
	} else {
		facts.Problems = append(facts.Problems, err.Error())
	}
}

// secretRefs are all references to secrets.
func (c *serverConfig) secretRefs() (refs []secretRef) {
	for _, p := range []*sealProvider{&c.Seal.sealProvider, c.Seal.Previous} {
		if p != nil && p.KMS != nil && p.KMS.SecretAccessKey != nil {
			refs = append(refs, *p.KMS.SecretAccessKey)
		}
		if p != nil && p.Passphrase != nil {
			refs = append(refs, secretRef{File: p.Passphrase.File, Env: p.Passphrase.Env}) // neither: somebody types it
		}
	}
	for _, a := range c.Accounts {
		for _, k := range a.AccessKeys {
			refs = append(refs, k.Secret)
		}
	}
	if c.Metrics != nil && c.Metrics.Token != nil {
		refs = append(refs, *c.Metrics.Token)
	}
	if c.Tracing != nil && c.Tracing.Token != nil {
		refs = append(refs, *c.Tracing.Token)
	}
	if c.XKSProxy != nil {
		for _, k := range c.XKSProxy.Credentials {
			refs = append(refs, k.Secret)
		}
	}
	return refs
}

// variables are the names of variables that hold secrets, each once.
func (c *serverConfig) variables() (names []string) {
	for _, r := range c.secretRefs() {
		if r.Env != "" && !slices.Contains(names, r.Env) {
			names = append(names, r.Env)
		}
	}
	return names
}

func (c *serverConfig) secretFiles() (paths []string) {
	for _, r := range c.secretRefs() {
		if r.File != "" && !slices.Contains(paths, r.File) {
			paths = append(paths, r.File)
		}
	}
	return paths
}

func (c *serverConfig) policyFiles() (paths []string) {
	for _, a := range c.Accounts {
		for _, k := range a.AccessKeys {
			for _, p := range append(slices.Clone(k.Policies), k.Boundary) {
				if p != "" && !slices.Contains(paths, p) {
					paths = append(paths, p)
				}
			}
		}
	}
	return paths
}
