package authz

import (
	"fmt"
	"strings"
	"testing"
)

// TestConditionKeyExamples has the condition keys of pages conditions-kms, conditions-aws and conditions-nitro-enclaves, each as the guide
// uses it: a statement of an effect, and the values with which the request is allowed in the end. Where the effect is Deny, something else allows it.
func TestConditionKeyExamples(t *testing.T) {
	for _, tt := range []struct {
		key, effect, action, condition string
		allowed, refused               []values
	}{
		{"kms:BypassPolicyLockoutSafetyCheck", "Deny", "PutKeyPolicy", `"Bool":{"kms:BypassPolicyLockoutSafetyCheck":true}`,
			[]values{{"kms:bypasspolicylockoutsafetycheck": "false"}, nil}, []values{{"kms:bypasspolicylockoutsafetycheck": "true"}}},
		{"kms:CallerAccount", "Allow", "Decrypt", `"StringEquals":{"kms:CallerAccount":"111122223333"}`,
			[]values{{"kms:calleraccount": own}}, []values{{"kms:calleraccount": other}, nil}},
		{"kms:DataKeyPairSpec", "Allow", "GenerateDataKeyPair", `"StringLike":{"kms:DataKeyPairSpec":"RSA*"}`,
			[]values{{"kms:datakeypairspec": "RSA_2048"}}, []values{{"kms:datakeypairspec": "ECC_NIST_P256"}, nil}},
		{"kms:EncryptionAlgorithm", "Deny", "Encrypt", `"StringNotEquals":{"kms:EncryptionAlgorithm":"RSAES_OAEP_SHA_256"}`,
			[]values{{"kms:encryptionalgorithm": "RSAES_OAEP_SHA_256"}}, []values{{"kms:encryptionalgorithm": "RSAES_OAEP_SHA_1"}, nil}},
		// Names of pairs are compared without regard to case, values with it.
		{"kms:EncryptionContext:context-key", "Allow", "Decrypt", `"StringEquals":{"kms:EncryptionContext:AppName":"ExampleApp"}`,
			[]values{{"kms:encryptioncontext:appname": "ExampleApp"}}, []values{{"kms:encryptioncontext:appname": "exampleapp"}, {"kms:encryptioncontext:app": "ExampleApp"}, nil}},
		{"kms:EncryptionContext, two pairs", "Allow", "Decrypt", `"StringEquals":{"kms:EncryptionContext:AppName":"ExampleApp","kms:EncryptionContext:FilePath":"/a"}`,
			[]values{{"kms:encryptioncontext:appname": "ExampleApp", "kms:encryptioncontext:filepath": "/a"}},
			[]values{{"kms:encryptioncontext:appname": "ExampleApp"}, {"kms:encryptioncontext:filepath": "/a"}, nil}},
		// The warning of "Using set operators": ForAllValues is met where there are no pairs at all, so Null stands beside it.
		{"kms:EncryptionContextKeys, all", "Allow", "Encrypt", `"ForAllValues:StringEquals":{"kms:EncryptionContextKeys":["AppName","FilePath"]}`,
			[]values{{"kms:encryptioncontextkeys": "AppName"}, {"kms:encryptioncontextkeys": "AppName FilePath"}, nil}, []values{{"kms:encryptioncontextkeys": "AppName Other"}, {"kms:encryptioncontextkeys": "appname"}}},
		{"kms:EncryptionContextKeys, all and some", "Allow", "Encrypt", `"ForAllValues:StringEquals":{"kms:EncryptionContextKeys":"AppName"},"Null":{"kms:EncryptionContextKeys":false}`,
			[]values{{"kms:encryptioncontextkeys": "AppName"}}, []values{{"kms:encryptioncontextkeys": "AppName Other"}, nil}},
		{"kms:EncryptionContextKeys, any", "Allow", "Encrypt", `"ForAnyValue:StringEquals":{"kms:EncryptionContextKeys":"AppName"}`,
			[]values{{"kms:encryptioncontextkeys": "Other AppName"}}, []values{{"kms:encryptioncontextkeys": "Other"}, nil}},
		{"kms:EncryptionContextKeys, required", "Allow", "Encrypt", `"Null":{"kms:EncryptionContextKeys":false}`,
			[]values{{"kms:encryptioncontextkeys": "x"}}, []values{nil, {"kms:encryptioncontextkeys": ""}}},
		{"kms:ExpirationModel", "Allow", "ImportKeyMaterial", `"StringEquals":{"kms:ExpirationModel":"KEY_MATERIAL_EXPIRES"}`,
			[]values{{"kms:expirationmodel": "KEY_MATERIAL_EXPIRES"}}, []values{{"kms:expirationmodel": "KEY_MATERIAL_DOES_NOT_EXPIRE"}, nil}},
		{"kms:GrantConstraintType", "Allow", "CreateGrant", `"StringEquals":{"kms:GrantConstraintType":"EncryptionContextEquals"}`,
			[]values{{"kms:grantconstrainttype": "EncryptionContextEquals"}}, []values{{"kms:grantconstrainttype": "EncryptionContextSubset"}, nil}},
		{"kms:GrantOperations", "Allow", "CreateGrant", `"ForAllValues:StringEquals":{"kms:GrantOperations":["Encrypt","Decrypt"]}`,
			[]values{{"kms:grantoperations": "Decrypt"}, {"kms:grantoperations": "Encrypt Decrypt"}}, []values{{"kms:grantoperations": "Decrypt CreateGrant"}}},
		{"kms:GranteePrincipal", "Allow", "CreateGrant", `"StringEquals":{"kms:GranteePrincipal":"` + outsider + `"}`,
			[]values{{"kms:granteeprincipal": outsider}}, []values{{"kms:granteeprincipal": workerRole}, nil}},
		{"kms:RetiringPrincipal", "Allow", "CreateGrant", `"StringEquals":{"kms:RetiringPrincipal":"` + outsider + `"}`,
			[]values{{"kms:retiringprincipal": outsider}}, []values{{"kms:retiringprincipal": admin}, nil}},
		{"kms:KeyAgreementAlgorithm", "Allow", "DeriveSharedSecret", `"StringEquals":{"kms:KeyAgreementAlgorithm":"ECDH"}`, []values{{"kms:keyagreementalgorithm": "ECDH"}}, []values{nil}},
		{"kms:KeyOrigin", "Allow", "Encrypt", `"StringEquals":{"kms:KeyOrigin":"AWS_KMS"}`, []values{{"kms:keyorigin": "AWS_KMS"}}, []values{{"kms:keyorigin": "EXTERNAL"}, nil}},
		{"kms:KeySpec", "Deny", "Sign", `"StringNotEquals":{"kms:KeySpec":["RSA_3072","RSA_4096"]}`,
			[]values{{"kms:keyspec": "RSA_4096"}, {"kms:keyspec": "RSA_3072"}}, []values{{"kms:keyspec": "RSA_2048"}, nil}},
		{"kms:KeyUsage", "Allow", "DescribeKey", `"StringEquals":{"kms:KeyUsage":"SIGN_VERIFY"}`, []values{{"kms:keyusage": "SIGN_VERIFY"}}, []values{{"kms:keyusage": "ENCRYPT_DECRYPT"}}},
		{"kms:MacAlgorithm", "Allow", "GenerateMac", `"StringEquals":{"kms:MacAlgorithm":["HMAC_SHA_384","HMAC_SHA_512"]}`,
			[]values{{"kms:macalgorithm": "HMAC_SHA_512"}}, []values{{"kms:macalgorithm": "HMAC_SHA_256"}, nil}},
		{"kms:MessageType", "Allow", "Sign", `"StringEquals":{"kms:MessageType":"RAW"}`, []values{{"kms:messagetype": "RAW"}}, []values{{"kms:messagetype": "DIGEST"}}},
		{"kms:MultiRegion", "Allow", "CreateKey", `"Bool":{"kms:MultiRegion":false}`, []values{{"kms:multiregion": "false"}}, []values{{"kms:multiregion": "true"}, nil}},
		{"kms:MultiRegionKeyType", "Allow", "DescribeKey", `"StringEquals":{"kms:MultiRegionKeyType":"REPLICA"}`, []values{{"kms:multiregionkeytype": "REPLICA"}}, []values{{"kms:multiregionkeytype": "PRIMARY"}, nil}},
		{"kms:PrimaryRegion", "Allow", "UpdatePrimaryRegion", `"StringEquals":{"kms:PrimaryRegion":["us-west-2","eu-west-1"]}`, []values{{"kms:primaryregion": "eu-west-1"}}, []values{{"kms:primaryregion": "ap-south-1"}}},
		{"kms:ReplicaRegion", "Allow", "ReplicateKey", `"StringEquals":{"kms:ReplicaRegion":"us-west-2"}`, []values{{"kms:replicaregion": "us-west-2"}}, []values{{"kms:replicaregion": "us-east-1"}, nil}},
		{"kms:ReEncryptOnSameKey", "Deny", "ReEncryptFrom", `"Bool":{"kms:ReEncryptOnSameKey":false}`, []values{{"kms:reencryptonsamekey": "true"}, nil}, []values{{"kms:reencryptonsamekey": "false"}}},
		{"kms:RequestAlias", "Allow", "Encrypt", `"StringLike":{"kms:RequestAlias":"alias/*test*"}`, []values{{"kms:requestalias": "alias/my-test-1"}}, []values{{"kms:requestalias": "alias/prod"}, nil}},
		{"kms:RotationPeriodInDays", "Deny", "EnableKeyRotation", `"NumericGreaterThan":{"kms:RotationPeriodInDays":"180"}`,
			[]values{{"kms:rotationperiodindays": "180"}, {"kms:rotationperiodindays": "90"}}, []values{{"kms:rotationperiodindays": "181"}, {"kms:rotationperiodindays": "1000"}}},
		{"kms:ScheduleKeyDeletionPendingWindowInDays", "Deny", "ScheduleKeyDeletion", `"NumericLessThan":{"kms:ScheduleKeyDeletionPendingWindowInDays":"21"}`,
			[]values{{"kms:schedulekeydeletionpendingwindowindays": "21"}, {"kms:schedulekeydeletionpendingwindowindays": "30"}}, []values{{"kms:schedulekeydeletionpendingwindowindays": "7"}}},
		{"kms:SigningAlgorithm", "Allow", "Sign", `"StringLike":{"kms:SigningAlgorithm":"RSASSA_PSS*"}`, []values{{"kms:signingalgorithm": "RSASSA_PSS_SHA_256"}}, []values{{"kms:signingalgorithm": "RSASSA_PKCS1_V1_5_SHA_256"}}},
		{"kms:ValidTo", "Allow", "ImportKeyMaterial", `"NumericLessThanEquals":{"kms:ValidTo":"1546257599.0"}`, []values{{"kms:validto": "1546257599"}, {"kms:validto": "1546257598.5"}}, []values{{"kms:validto": "1546257600"}, nil}},
		{"kms:ViaService", "Deny", "Decrypt", `"StringEquals":{"kms:ViaService":"lambda.us-west-2.amazonaws.com"}`, []values{nil, {"kms:viaservice": "ec2.us-west-2.amazonaws.com"}}, []values{{"kms:viaservice": "lambda.us-west-2.amazonaws.com"}}},
		{"kms:WrappingAlgorithm", "Allow", "GetParametersForImport", `"StringEquals":{"kms:WrappingAlgorithm":"RSAES_OAEP_SHA_256"}`, []values{{"kms:wrappingalgorithm": "RSAES_OAEP_SHA_256"}}, []values{{"kms:wrappingalgorithm": "RSAES_OAEP_SHA_1"}}},
		{"kms:WrappingKeySpec", "Allow", "GetParametersForImport", `"StringEquals":{"kms:WrappingKeySpec":"RSA_4096"}`, []values{{"kms:wrappingkeyspec": "RSA_4096"}}, []values{{"kms:wrappingkeyspec": "RSA_2048"}}},

		// An enclave is told by its image; hexadecimal digits have no case.
		{"kms:RecipientAttestation:ImageSha384", "Allow", "Decrypt", `"StringEqualsIgnoreCase":{"kms:RecipientAttestation:ImageSha384":"9fedcba8ab"}`,
			[]values{{"kms:recipientattestation:imagesha384": "9FEDCBA8AB"}}, []values{{"kms:recipientattestation:imagesha384": "9fedcba8ac"}, nil}},
		{"kms:RecipientAttestation:PCR", "Allow", "Decrypt", `"StringEqualsIgnoreCase":{"kms:RecipientAttestation:PCR1":"ab","kms:RecipientAttestation:PCR8":"cd"}`,
			[]values{{"kms:recipientattestation:pcr1": "ab", "kms:recipientattestation:pcr8": "CD"}}, []values{{"kms:recipientattestation:pcr1": "ab"}}},

		// A VPC endpoint that all must come by: whoever comes otherwise has no aws:SourceVpce, and is denied.
		{"aws:SourceVpce", "Deny", "Decrypt", `"StringNotEquals":{"aws:SourceVpce":"vpce-1234"}`, []values{{"aws:sourcevpce": "vpce-1234"}}, []values{{"aws:sourcevpce": "vpce-12345"}, nil}},
		{"aws:SourceIp", "Allow", "Decrypt", `"IpAddress":{"aws:SourceIp":"192.0.2.0/24"}`, []values{{"aws:sourceip": "192.0.2.200"}}, []values{{"aws:sourceip": "192.0.3.1"}, nil}},
		{"aws:MultiFactorAuthPresent", "Deny", "ScheduleKeyDeletion", `"BoolIfExists":{"aws:MultiFactorAuthPresent":false}`, []values{{"aws:multifactorauthpresent": "true"}}, []values{{"aws:multifactorauthpresent": "false"}, nil}},
		{"aws:PrincipalTag", "Allow", "Decrypt", `"StringEquals":{"aws:PrincipalTag/project":"alpha"}`, []values{{"aws:principaltag/project": "alpha"}}, []values{{"aws:principaltag/project": "beta"}, nil}},
	} {
		t.Run(tt.key, func(t *testing.T) {
			statement := fmt.Sprintf(`{"Effect":%q,"Principal":{"AWS":%q},"Action":"kms:%s","Resource":"*","Condition":{%s}}`, tt.effect, ann, tt.action, tt.condition)
			if tt.effect == "Deny" {
				statement += "," + to(ann, `"Action":"kms:*","Resource":"*"`)
			}
			for want, list := range map[bool][]values{true: tt.allowed, false: tt.refused} {
				if len(list) == 0 {
					t.Fatal("nothing is asked")
				}
				for _, v := range list {
					f := fact{user, tt.action, v, "", want}
					f.check(t, statement)
				}
			}
		})
	}
}

// TestAttributeExamples has page abac: tags and aliases of the key, which only IAM policies may ask for.
func TestAttributeExamples(t *testing.T) {
	const allowed = `{"Effect":"Allow","Action":"kms:Decrypt","Resource":"arn:aws:kms:*:111122223333:key/*","Condition":{%s}}`
	for _, tt := range []struct {
		condition string
		values    values
		want      bool
	}{
		{`"StringEquals":{"aws:ResourceTag/Purpose":"Test"}`, values{"aws:resourcetag/purpose": "Test"}, true},
		{`"StringEquals":{"aws:ResourceTag/Purpose":"Test"}`, values{"aws:resourcetag/purpose": "Prod"}, false},
		{`"StringEquals":{"aws:ResourceTag/Purpose":"Test"}`, nil, false},
		{`"StringEquals":{"aws:ResourceTag/Project":"${aws:PrincipalTag/Project}"}`, values{"aws:resourcetag/project": "a", "aws:principaltag/project": "a"}, true},
		{`"StringEquals":{"aws:ResourceTag/Project":"${aws:PrincipalTag/Project}"}`, values{"aws:resourcetag/project": "a", "aws:principaltag/project": "b"}, false},
		{`"StringEquals":{"aws:ResourceTag/Project":"${aws:PrincipalTag/Project}"}`, values{"aws:resourcetag/project": "a"}, false},
		{`"ForAnyValue:StringLike":{"kms:ResourceAliases":"alias/test*"}`, values{"kms:resourcealiases": "alias/prod alias/test-1"}, true},
		{`"ForAnyValue:StringLike":{"kms:ResourceAliases":"alias/test*"}`, values{"kms:resourcealiases": "alias/prod"}, false},
		{`"ForAnyValue:StringLike":{"kms:ResourceAliases":"alias/test*"}`, nil, false},
	} {
		f := fact{user, "Decrypt", tt.values, strings.Replace(allowed, "%s", tt.condition, 1), tt.want}
		f.check(t, openAccount)
	}
}
