package kms

import (
	"context"
	"errors"

	"github.com/keyturn/keyturn/internal/api"
	"github.com/keyturn/keyturn/internal/service"
)

// Fault says why a custom key store could not do what it was asked to.
type Fault uint8

const (
	FaultInternal Fault = iota // the token or proxy failed in a way that has no name
	FaultBusy                  // too many calls are under way already

	// Of tokens.
	FaultNoCluster   // no such cluster, or not for this account and region
	FaultInactive    // the token does not work or does not answer
	FaultNoToken     // the cluster's token is not there
	FaultModule      // the token's software cannot be loaded
	FaultPassword    // the password is wrong
	FaultLocked      // too many wrong passwords
	FaultNoUser      // nobody has a password yet
	FaultLoggedIn    // somebody else is logged in
	FaultTokenKey    // the token has no such key
	FaultTokenAnswer // the token's answer is not what was asked for

	// Of proxies.
	FaultTimeout        // no answer in time
	FaultUnreachable    // no connection
	FaultTLS            // no TLS
	FaultPath           // the proxy has nothing at the URI path
	FaultCredential     // the credential is wrong
	FaultDenied         // the proxy does not allow it
	FaultResponse       // an answer that is none
	FaultUnhealthy      // no key manager serves
	FaultManager        // the proxy cannot reach its key manager
	FaultThrottled      // too many requests for the proxy
	FaultUnsupported    // the proxy cannot do that
	FaultKeyNotFound    // no such external key
	FaultKeyDisabled    // the external key is disabled
	FaultKeyUsage       // the external key is for something else
	FaultCiphertext     // the proxy refuses the ciphertext or its additional data
	FaultInnerLayer     // what the proxy decrypted is not what it was given to encrypt
	FaultNoService      // no such VPC endpoint service
	FaultServiceInvalid // the VPC endpoint service does not lead to the proxy's endpoint
)

// StoreError is an error of a KeyStores. Err is for logs, and not shown to callers.
type StoreError struct {
	Fault Fault
	Err   error
}

// Error names the fault by what callers are told of it.
func (e *StoreError) Error() string {
	if e.Err != nil {
		return "kms: " + e.Fault.text().message + ": " + e.Err.Error()
	}
	return "kms: " + e.Fault.text().message
}

func (e *StoreError) Unwrap() error { return e.Err }

// faultText is what callers are told: a message, and under which name by what kind of operation.
type faultText struct {
	message string
	manage  api.ErrorCode               // when a custom key store is made or changed
	create  api.ErrorCode               // when a key is made in it
	use     api.ErrorCode               // when a key in it is used
	connect api.ConnectionErrorCodeType // when it is connected
}

const (
	timedOut = "The system timed out while trying to fulfill the request. You can retry the request."
	tooMany  = service.TooManyCalls
	rejected = "The external key store proxy rejected the request because "

	invalidStore = api.CustomKeyStoreInvalidStateException
	invalidKey   = api.KMSInvalidStateException
)

// faults has the words and names of AWS ("Troubleshooting external key stores" and "Monitoring external key stores" in the AWS KMS
// developer guide; the errors of the API's operations).
var faults = [...]faultText{
	FaultInternal: {"The custom key store failed.", api.KMSInternalException, api.KMSInternalException, api.KMSInternalException, api.ConnectionErrorCodeTypeInternalError},
	FaultBusy:     {tooMany, api.ThrottlingException, api.ThrottlingException, api.ThrottlingException, api.ConnectionErrorCodeTypeInternalError},

	FaultNoCluster: {"AWS KMS cannot find the CloudHSM cluster with the specified cluster ID.",
		api.CloudHsmClusterNotFoundException, invalidStore, invalidKey, api.ConnectionErrorCodeTypeClusterNotFound},
	FaultInactive: {"The CloudHSM cluster that is associated with the custom key store is not active.",
		api.CloudHsmClusterNotActiveException, api.DependencyTimeoutException, api.KeyUnavailableException, api.ConnectionErrorCodeTypeNetworkErrors},
	FaultNoToken: {"The CloudHSM cluster that is associated with the custom key store does not contain any active HSMs.",
		api.CloudHsmClusterInvalidConfigurationException, api.CloudHsmClusterInvalidConfigurationException, api.KeyUnavailableException,
		api.ConnectionErrorCodeTypeInsufficientCloudhsmHsms},
	FaultModule: {"The CloudHSM cluster that is associated with the custom key store cannot be used.",
		api.CloudHsmClusterInvalidConfigurationException, api.CloudHsmClusterInvalidConfigurationException, api.KeyUnavailableException,
		api.ConnectionErrorCodeTypeInternalError},
	FaultPassword: {"The KeyStorePassword of the custom key store does not match the current password of the crypto user in the CloudHSM cluster.",
		invalidStore, invalidStore, invalidKey, api.ConnectionErrorCodeTypeInvalidCredentials},
	FaultLocked: {"The crypto user is locked out of the CloudHSM cluster due to too many failed password attempts.",
		invalidStore, invalidStore, invalidKey, api.ConnectionErrorCodeTypeUserLockedOut},
	FaultNoUser: {"The CloudHSM cluster has no crypto user.",
		invalidStore, invalidStore, invalidKey, api.ConnectionErrorCodeTypeUserNotFound},
	FaultLoggedIn: {"The crypto user is logged in to the CloudHSM cluster.",
		invalidStore, invalidStore, invalidKey, api.ConnectionErrorCodeTypeUserLoggedIn},
	FaultTokenKey: {"The key material of the KMS key is not in the CloudHSM cluster.",
		api.KMSInternalException, api.KMSInternalException, invalidKey, api.ConnectionErrorCodeTypeInternalError},
	FaultTokenAnswer: {"The CloudHSM cluster's answer is not valid.",
		api.KMSInternalException, api.KMSInternalException, api.KMSInternalException, api.ConnectionErrorCodeTypeInternalError},

	FaultTimeout: {"AWS KMS rejected the request because the external key store proxy did not respond in time. Retry the request. If you see this error repeatedly, report it to your external key store proxy administrator.",
		api.XksProxyUriUnreachableException, invalidStore, invalidKey, api.ConnectionErrorCodeTypeXksProxyTimedOut},
	FaultUnreachable: {"AWS KMS cannot communicate with the external key store proxy. This might be a transient network issue. If you see this error repeatedly, verify that your external key store proxy is active and is connected to the network, and that its endpoint URI is correct in your external key store.",
		api.XksProxyUriUnreachableException, invalidStore, invalidKey, api.ConnectionErrorCodeTypeXksProxyNotReachable},
	FaultTLS: {"AWS KMS cannot establish a TLS connection to the external key store proxy. Verify the TLS configuration, including its certificate.",
		api.XksProxyInvalidConfigurationException, invalidStore, invalidKey, api.ConnectionErrorCodeTypeXksProxyInvalidTlsConfiguration},
	FaultPath: {rejected + "of an invalid URI path. Verify the URI path for your external key store and update if necessary.",
		api.XksProxyInvalidConfigurationException, invalidStore, invalidKey, api.ConnectionErrorCodeTypeXksProxyInvalidConfiguration},
	FaultCredential: {rejected + "it could not authenticate AWS KMS. Verify the credentials for your external key store and update if necessary.",
		api.XksProxyIncorrectAuthenticationCredentialException, invalidStore, invalidKey, api.ConnectionErrorCodeTypeInvalidCredentials},
	FaultDenied: {"The external key store proxy denied access to the operation. Verify that the user and the external key are both authorized for this operation, and try the request again.",
		api.XksProxyInvalidConfigurationException, invalidStore, invalidKey, api.ConnectionErrorCodeTypeXksProxyAccessDenied},
	FaultResponse: {"AWS KMS cannot interpret the response from the external key store proxy. If you see this error repeatedly, consult your external key store proxy administrator.",
		api.XksProxyInvalidResponseException, invalidStore, invalidKey, api.ConnectionErrorCodeTypeXksProxyInvalidResponse},
	FaultUnhealthy: {"The external key store proxy is in an unhealthy state. If you see this message repeatedly, notify your external key store proxy administrator.",
		api.XksProxyUriUnreachableException, invalidStore, invalidKey, api.ConnectionErrorCodeTypeXksProxyNotReachable},
	FaultManager: {rejected + "it cannot communicate with the external key manager. Verify that the external key store proxy configuration is correct and that the external key manager is available.",
		api.XksProxyInvalidResponseException, invalidStore, invalidKey, api.ConnectionErrorCodeTypeXksProxyNotReachable},
	FaultThrottled: {"The external key store proxy rejected the request due to a very high request rate. Reduce the frequency of your calls using KMS keys in this external key store.",
		api.XksProxyUriUnreachableException, invalidStore, invalidKey, api.ConnectionErrorCodeTypeXksProxyNotReachable},
	FaultUnsupported: {rejected + "it does not support the requested cryptographic operation.",
		api.XksProxyInvalidResponseException, api.UnsupportedOperationException, invalidKey, api.ConnectionErrorCodeTypeXksProxyInvalidResponse},
	FaultKeyNotFound: {rejected + "it could not find the external key.",
		api.XksProxyInvalidResponseException, api.XksKeyNotFoundException, invalidKey, api.ConnectionErrorCodeTypeXksProxyInvalidResponse},
	FaultKeyDisabled: {rejected + "the external key is not enabled in the external key manager.",
		api.XksProxyInvalidResponseException, api.XksKeyInvalidConfigurationException, invalidKey, api.ConnectionErrorCodeTypeXksProxyInvalidResponse},
	FaultKeyUsage: {rejected + "the external key does not support the requested operation.",
		api.XksProxyInvalidResponseException, api.XksKeyInvalidConfigurationException, invalidKey, api.ConnectionErrorCodeTypeXksProxyInvalidResponse},
	FaultCiphertext: {rejected + "the specified ciphertext or additional authenticated data is corrupted, missing, or otherwise invalid.",
		api.XksProxyInvalidResponseException, invalidStore, invalidKey, api.ConnectionErrorCodeTypeXksProxyInvalidResponse},
	FaultInnerLayer: {"The ciphertext that the external key store proxy submitted for decryption, or the encryption context, is corrupted, missing, or otherwise invalid.",
		api.XksProxyInvalidResponseException, invalidStore, invalidKey, api.ConnectionErrorCodeTypeXksProxyInvalidResponse},
	FaultNoService: {"AWS KMS cannot find the specified VPC endpoint service.",
		api.XksProxyVpcEndpointServiceNotFoundException, invalidStore, invalidKey, api.ConnectionErrorCodeTypeXksVpcEndpointServiceNotFound},
	FaultServiceInvalid: {"The private DNS name of the VPC endpoint service is not the one of the specified XksProxyUriEndpoint.",
		api.XksProxyVpcEndpointServiceInvalidConfigurationException, invalidStore, invalidKey,
		api.ConnectionErrorCodeTypeXksVpcEndpointServiceInvalidConfiguration},
}

func (f Fault) text() *faultText {
	if int(f) >= len(faults) {
		f = FaultInternal
	}
	return &faults[f]
}

// managing, creating and using turn an error of a KeyStores into what is answered where a custom key store is made or changed, where
// a key is made in it, and where that is used.
func managing(err error) error {
	return told(err, func(t *faultText) api.ErrorCode { return t.manage })
}
func creating(err error) error {
	return told(err, func(t *faultText) api.ErrorCode { return t.create })
}
func using(err error) error { return told(err, func(t *faultText) api.ErrorCode { return t.use }) }

// told keeps every other error as it is.
func told(err error, code func(*faultText) api.ErrorCode) error {
	if e := (*StoreError)(nil); errors.As(err, &e) {
		t := e.Fault.text()
		c, message := code(t), t.message
		if c == api.DependencyTimeoutException {
			message = timedOut
		}
		return &api.Error{Code: c, Message: message}
	}
	if errors.Is(err, context.DeadlineExceeded) {
		return &api.Error{Code: api.DependencyTimeoutException, Message: timedOut}
	}
	return err
}

// connectionError is the ConnectionErrorCode that an error stands for.
func connectionError(err error) api.ConnectionErrorCodeType {
	if e := (*StoreError)(nil); errors.As(err, &e) {
		return e.Fault.text().connect
	}
	if errors.Is(err, context.DeadlineExceeded) {
		return api.ConnectionErrorCodeTypeNetworkErrors
	}
	return api.ConnectionErrorCodeTypeInternalError
}
