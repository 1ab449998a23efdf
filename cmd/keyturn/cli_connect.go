package main

import (
	"bufio"
	"bytes"
	"context"
	"crypto/fips140"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"strings"
	"syscall"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/retry"
	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/credentials/ec2rolecreds"
	"github.com/aws/aws-sdk-go-v2/credentials/stscreds"
	"github.com/aws/aws-sdk-go-v2/feature/ec2/imds"
	"github.com/aws/aws-sdk-go-v2/service/kms"
	"github.com/aws/aws-sdk-go-v2/service/sts"
	"github.com/aws/smithy-go"
	"github.com/aws/smithy-go/logging"
	"github.com/spf13/pflag"
)

const (
	// devEndpoint is where keyturn dev listens unless told otherwise.
	devEndpoint = "http://127.0.0.1:" + devPort
	devPort     = "4599"
	// localAccessKey and localSecret are for loopback endpoints if there are no credentials: keyturn dev takes any.
	localAccessKey = "keyturn"
	localSecret    = "keyturn-needs-no-secret"
	localRegion    = "us-east-1"
	// minFIPSSecret is the length below which a signature's first HMAC key, "AWS4" and the secret, has less than the 112 bits
	// that SP 800-131A wants.
	minFIPSSecret = 10
	maxAnswerSize = 8 << 20 // bytes of one answer
	maxIdleConns  = 128     // to one host
)

// clientFlags say which service a command talks to, and how it prints.
type clientFlags struct {
	endpoint     string
	region       string
	profile      string
	insecureHTTP bool
	caFile       string
	output       outputFormat
}

func (f *clientFlags) register(fs *pflag.FlagSet) {
	f.registerEndpoint(fs)
	fs.StringVar(&f.region, "region", "", "AWS region (default: from the AWS environment)")
	addOutputFlag(fs, &f.output)
}

// registerEndpoint adds the flags that say where the service is and who asks.
func (f *clientFlags) registerEndpoint(fs *pflag.FlagSet) {
	fs.StringVar(&f.endpoint, "endpoint", "", "`URL` of the service (default: AWS_ENDPOINT_URL_KMS, AWS_ENDPOINT_URL, the AWS profile)")
	fs.StringVar(&f.profile, "profile", "", "profile of the AWS configuration files")
	fs.StringVar(&f.caFile, "ca-file", "", "PEM `FILE` of the authorities of the server's certificate (default: AWS_CA_BUNDLE, or those of the system)")
	fs.BoolVar(&f.insecureHTTP, "insecure-http", false, "allow http to other machines: anyone in between can read and change everything")
}

// connection is a KMS endpoint with what it takes to call it.
type connection struct {
	cfg      aws.Config
	endpoint string // the URL; "" for the endpoint of AWS
	kms      *kms.Client
}

// explain is the function explain for the connection's endpoint.
func (c *connection) explain(err error) error { return explain(err, c.endpoint) }

// connect finds endpoint, region and credentials; it calls nothing but what the credentials come from. Without an endpoint in
// flags and AWS environment it uses fallback, which if empty means the endpoint of AWS.
func (f *clientFlags) connect(ctx context.Context, fallback string) (*connection, error) {
	// The first time without the metadata service of EC2: for a loopback endpoint it must never be asked.
	authorities, err := f.authorities()
	if err != nil {
		return nil, err
	}
	cfg, err := f.load(ctx, imds.ClientDisabled, authorities)
	if err != nil {
		return nil, withHint(&plainError{fmt.Errorf("the AWS configuration cannot be used: %w", err)}, "check --profile and the AWS configuration files")
	}
	endpoint, err := f.chooseEndpoint(cfg, fallback)
	if err != nil {
		return nil, err
	}
	if loopbackEndpoint(endpoint) {
		if cfg.Region == "" {
			cfg.Region = localRegion
		}
		// The chain ends at EC2 if nothing else is configured.
		if aws.IsCredentialsProvider(cfg.Credentials, (*ec2rolecreds.Provider)(nil)) {
			cfg.Credentials = credentials.NewStaticCredentialsProvider(localAccessKey, localSecret, "")
		}
	} else {
		if cfg, err = f.load(ctx, imds.ClientDefaultEnableState, authorities); err != nil {
			return nil, &plainError{fmt.Errorf("the AWS configuration cannot be used: %w", err)}
		}
		if cfg.Region == "" {
			return nil, withHint(errors.New("no region is chosen"), "give --region or AWS_REGION; for keyturn on this machine: --endpoint "+devEndpoint)
		}
	}
	creds, err := cfg.Credentials.Retrieve(ctx)
	if err != nil {
		return nil, withHint(&plainError{fmt.Errorf("no credentials: %w", err)}, credentialsHint(err))
	}
	if fips140.Enforced() && len(creds.SecretAccessKey) < minFIPSSecret {
		return nil, withHint(errors.New("the secret access key is too short for FIPS 140-3 mode, in which HMAC keys have at least 112 bits"),
			fmt.Sprintf("use one of at least %d characters: towards keyturn dev any will do", minFIPSSecret))
	}
	c := &connection{cfg: cfg, endpoint: endpoint}
	c.kms = kms.NewFromConfig(cfg, func(o *kms.Options) {
		if endpoint != "" {
			o.BaseEndpoint = &endpoint // here and not in cfg, which STS and SSO use as well
		}
	})
	return c, nil
}

// credentialsHint says what to do where no credentials were got.
func credentialsHint(err error) string {
	var call *smithy.OperationError
	if errors.As(err, &call) && call.Service() == sts.ServiceID {
		return "the profile's role could not be assumed: look at its trust policy, and whether AWS_ENDPOINT_URL_STS names the STS that is meant"
	}
	return "give --profile, or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY; for keyturn on this machine: --endpoint " + devEndpoint
}

// askCode asks for the code of the MFA device that a profile names, as the AWS CLI does; on standard error, since the output may go elsewhere.
func askCode() (string, error) {
	fmt.Fprint(os.Stderr, "Code of the MFA device: ")
	line, err := bufio.NewReader(io.LimitReader(os.Stdin, 64)).ReadString('\n')
	if code := strings.TrimSpace(line); code != "" {
		return code, nil
	}
	return "", fmt.Errorf("the profile wants a code of its MFA device, and none was given: %w", err)
}

// authorities reads --ca-file, nil if it was not given.
func (f *clientFlags) authorities() ([]byte, error) {
	if f.caFile == "" {
		return nil, nil
	}
	pem, err := readBounded(f.caFile, maxRootsBytes)
	if err != nil {
		return nil, fmt.Errorf("--ca-file: %w", err)
	}
	if !x509.NewCertPool().AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("--ca-file: %s holds no certificate in PEM", f.caFile)
	}
	return pem, nil
}

func (f *clientFlags) load(ctx context.Context, state imds.ClientEnableState, authorities []byte) (aws.Config, error) {
	options := []func(*config.LoadOptions) error{
		config.WithEC2IMDSClientEnableState(state),
		config.WithRetryer(newRetryer),
		config.WithLogger(logging.Nop{}),
		config.WithAssumeRoleCredentialOptions(func(o *stscreds.AssumeRoleOptions) { o.TokenProvider = askCode }),
	}
	if f.region != "" {
		options = append(options, config.WithRegion(f.region))
	}
	if f.profile != "" {
		options = append(options, config.WithSharedConfigProfile(f.profile))
	}
	if authorities != nil {
		options = append(options, config.WithCustomCABundle(bytes.NewReader(authorities)))
	}
	cfg, err := config.LoadDefaultConfig(ctx, options...)
	if cfg.HTTPClient == nil { // there is one only with AWS_CA_BUNDLE
		cfg.HTTPClient = awshttp.NewBuildableClient()
	}
	if b, ok := cfg.HTTPClient.(*awshttp.BuildableClient); ok { // as many connections stay open as a check has calls at once
		cfg.HTTPClient = b.WithTransportOptions(func(t *http.Transport) { t.MaxIdleConnsPerHost = maxIdleConns })
	}
	cfg.HTTPClient = boundedClient{cfg.HTTPClient}
	return cfg, err
}

// newRetryer is the SDK's, but where nobody listens it does not ask again.
func newRetryer() aws.Retryer {
	return retry.NewStandard(func(o *retry.StandardOptions) {
		o.Retryables = append([]retry.IsErrorRetryable{notListening}, o.Retryables...)
	})
}

var notListening = retry.IsErrorRetryableFunc(func(err error) aws.Ternary {
	if errors.Is(err, syscall.ECONNREFUSED) || errors.Is(err, errWantsTLS) {
		return aws.FalseTernary
	}
	return aws.UnknownTernary
})

// once keeps a request from being sent twice: one whose answer got lost may have been done.
func once(o *kms.Options) { o.Retryer = aws.NopRetryer{} }

// chooseEndpoint returns the endpoint's URL, checked; "" for the endpoint of AWS.
func (f *clientFlags) chooseEndpoint(cfg aws.Config, fallback string) (string, error) {
	if f.endpoint != "" {
		if err := checkEndpoint(f.endpoint, f.insecureHTTP); err != nil {
			return "", endpointError("--endpoint", err, true)
		}
		return f.endpoint, nil
	}
	// The SDK knows the variables and the services section of the profile.
	if found := kms.NewFromConfig(cfg).Options().BaseEndpoint; found != nil && *found != "" {
		if err := checkEndpoint(*found, f.insecureHTTP); err != nil {
			return "", endpointError("the endpoint of the AWS environment", err, false)
		}
		return *found, nil
	}
	return fallback, nil
}

var (
	errNotURL    = errors.New("it is not an http or https URL, like https://kms.example.com")
	errPlainHTTP = errors.New("http to another machine is neither secret nor authentic")
)

func endpointError(what string, err error, usage bool) error {
	err = fmt.Errorf("%s: %w", what, err)
	if usage {
		err = usageError{err}
	}
	if errors.Is(err, errPlainHTTP) {
		return withHint(err, "use https, or allow it with --insecure-http")
	}
	return err
}

// checkEndpoint accepts https URLs, and http ones to this machine, or to any if insecure.
func checkEndpoint(s string, insecure bool) error {
	u, err := url.Parse(s)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Hostname() == "" || u.User != nil || u.RawQuery != "" || u.Fragment != "" {
		return errNotURL // without the URL, which may hold a password
	}
	if u.Scheme == "http" && !insecure && !loopbackEndpoint(s) {
		return errPlainHTTP
	}
	return nil
}

// loopbackEndpoint tells whether the URL's host is this machine by its name or address; no name is looked up.
func loopbackEndpoint(s string) bool {
	u, err := url.Parse(s)
	if err != nil {
		return false
	}
	host := u.Hostname()
	if strings.EqualFold(host, "localhost") {
		return true
	}
	ip := net.ParseIP(host)
	return ip != nil && ip.IsLoopback()
}

// boundedClient limits the size of every answer.
type boundedClient struct{ aws.HTTPClient }

// Do implements aws.HTTPClient.
func (c boundedClient) Do(r *http.Request) (*http.Response, error) {
	resp, err := sendOnce(c.HTTPClient, r)
	if resp != nil && resp.Body != nil {
		resp.Body = http.MaxBytesReader(nil, resp.Body, maxAnswerSize)
	}
	return resp, err
}

// errWantsTLS: a request in the clear came to a port that wants TLS.
var errWantsTLS = errors.New("the server there speaks TLS, and was asked without")

// plainRefusal is the beginning of what a server of Go's net/http answers then, before it closes the connection.
const plainRefusal = "Client sent an HTTP request to an HTTPS server"

// sendOnce sends a request. errWantsTLS if that is what the answer says.
func sendOnce(client aws.HTTPClient, r *http.Request) (*http.Response, error) {
	resp, err := client.Do(r)
	if err != nil || r.URL.Scheme != "http" || resp.StatusCode != http.StatusBadRequest {
		return resp, err
	}
	text := make([]byte, len(plainRefusal))
	n, err := io.ReadFull(resp.Body, text)
	if string(text[:n]) == plainRefusal {
		return nil, errors.Join(errWantsTLS, resp.Body.Close())
	}
	rest := io.Reader(resp.Body)
	if err != nil && !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) {
		rest = failingReader{err}
	}
	resp.Body = struct {
		io.Reader
		io.Closer
	}{io.MultiReader(bytes.NewReader(text[:n]), rest), resp.Body}
	return resp, nil
}

// failingReader is the rest of an answer that broke off.
type failingReader struct{ err error }

// Read implements io.Reader.
func (r failingReader) Read([]byte) (int, error) { return 0, r.err }
