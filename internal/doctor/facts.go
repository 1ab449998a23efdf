package doctor

import (
	"io/fs"
	"time"
)

// Fact is something that was looked for.
type Fact[T any] struct {
	V     T
	Known bool
	Why   string // where it is not known
}

// Got is a fact that was found.
func Got[T any](v T) Fact[T] { return Fact[T]{V: v, Known: true} }

// Unknown is one that was not.
func Unknown[T any](why string) Fact[T] { return Fact[T]{Why: why} }

// Facts are what the checks judge.
type Facts struct {
	Now      time.Time // by the machine's clock
	UID      int       // of who asks; -1 where there are none
	FIPS     bool      // this process is in FIPS 140-3 mode
	Config   *ConfigFacts
	Clock    ClockFacts
	Limits   LimitFacts
	Kernel   KernelFacts
	Endpoint *EndpointFacts
}

// ConfigFacts are those of a configuration and of what it names.
type ConfigFacts struct {
	Path   string
	Loaded bool
	// Problems are what the server would refuse, by section; Unread what could not be looked at by who asks.
	Problems, Unread []string
	Variables        []Variable // of the environment, which the configuration names
	Strangers        []string   // variables KEYTURN_... that nothing reads
	Listen           string     // HOST:PORT
	ListenErr        ListenError
	PlainHTTP        bool
	Tokens           bool // PKCS #11 modules are configured

	DataDir File
	Owner   string // of the data directory, by name if it has one; "": not known
	Inside  []File // files in the data directory that are the server's
	Unknown []string
	SealKey *File // nil: a passphrase
	// SealKeyTemps are files beside the seal key that making a key file left behind: keys, too.
	SealKeyTemps []string
	Secrets      []File
	TLSKey       *File
	Policies     []File
	Disks        []Disk
	Latency      Fact[time.Duration] // the median of a small write with its fsync in the data directory
	Pair         Fact[Certificate]   // what the TLS files hold
	Store        StoreFacts
	LastAudit    Fact[time.Time] // the date of the audit log's last line
	// AuditMissing: there is no segment, as far as who asks may look.
	AuditMissing bool
	AuditErr     string // what is wrong with the last segment
}

// Variable is one of the environment; never its value.
type Variable struct {
	Name string
	Set  bool
}

// ListenError says why the address cannot be listened on.
type ListenError uint8

const (
	ListenFree ListenError = iota
	ListenBusy
	ListenForbidden // a port below 1024
	ListenForeign   // no address of this machine
	ListenFailed
)

// File is a file or folder that the configuration leads to.
type File struct {
	What     string // "the seal key"
	Path     string
	Err      string // why it cannot be looked at, "" if it can
	Missing  bool
	Mode     fs.FileMode
	UID      int // -1: files have no owner here
	Device   uint64
	Modified time.Time
	// Credential: it is in the folder that systemd puts credentials into, where the mode is systemd's.
	Credential bool
}

// Disk is a file system that something of the server is on.
type Disk struct {
	What        string
	Path        string
	Err         string
	Kind        string // "ext4"; "" where it is not known
	Free, Total uint64 // bytes, for who is not root
	FreeInodes  uint64
	Inodes      uint64 // 0: the file system does not count them
	ReadOnly    bool
}

// Certificate is the one that the server shows.
type Certificate struct {
	Names    []string // DNS names and addresses
	Subject  string
	NotAfter time.Time
	NotYet   time.Time
	Weak     string // what is weak about its key, "" if nothing is
	Matches  func(host string) error
}

// StoreFacts are those of the data directory's store.
type StoreFacts struct {
	Err     string // why it would not open
	Unread  string // why who asks cannot look at it
	Missing bool
	// Data: it holds more than what the seal keeps there.
	Data bool
	// Restoring: a restore into the data directory is not finished.
	Restoring bool
	Locked    bool
	Audit     bool            // there is an audit log
	Holder    Fact[int]       // process that has the data directory, 0 if none has
	Size      int64           // of the store, bytes
	Newest    Fact[time.Time] // when the server's files were last written
	Seal      SealFacts
}

// SealFacts say whether the seal that is configured opens the store.
type SealFacts struct {
	Opens    bool
	Migrates bool   // seal.previous does, and the server will migrate it
	Err, Fix string // what the server says, and would say to do
	Unread   string // what who asks cannot read
	Why      string // why nobody has tried
	// Left is how many versions the keyring can still have, LeftOnDemand how many rotations on demand. Known if the seal opens the store.
	Left, LeftOnDemand int
}

// ClockFacts are what the operating system says of its clock.
type ClockFacts struct {
	Synchronized Fact[bool]
	Error        time.Duration // estimated, with Synchronized
}

// LimitFacts are resource limits: of the running server where it can be found, else of this process.
type LimitFacts struct {
	Of                                    string
	OpenFiles, Core, Locked, AddressSpace Fact[uint64] // Unlimited
}

// Unlimited is a limit that is none.
const Unlimited = ^uint64(0)

// KernelFacts are settings of the operating system.
type KernelFacts struct {
	Swap         Fact[[]string] // devices in use that are neither in memory nor known to be encrypted
	PtraceScope  Fact[int]
	CorePipe     Fact[bool] // core dumps go to a program
	SuidDumpable Fact[int]
	Seeded       Fact[bool] // the random number generator
}

// EndpointFacts are the server as a client sees it.
type EndpointFacts struct {
	URL, Host   string
	Err         string // it cannot be reached
	TLS         bool
	TLSErr      string // the certificate is not accepted
	TLSVersion  string
	Certificate Fact[Certificate]
	Health      string // "" if well
	Ready       string
	Sealed      bool                // it waits for keyturn unseal
	Note        string              // what /readyz says beside ok
	Skew        Fact[time.Duration] // the server's clock minus this one's
	Uncertainty time.Duration       // of Skew: what the request took, and a second
	Clock       Fact[ServiceClock]
}

// ServiceClock is what GetClock answers.
type ServiceClock struct {
	Standing  string
	Mark      time.Time
	Suspended time.Time
}
