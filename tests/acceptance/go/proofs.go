// How apps prove themselves, as the vendor's Go client sets it up and uses it.
package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/json"
	"math/big"
	"os"
	"time"

	"github.com/fortanix/sdkms-client-go/sdkms"
)

const issuer = "https://issuer.example"

func signingKey() *ecdsa.PrivateKey {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	must(err)
	return key
}

// A token as an issuer makes it (RFC 7515 appendix A.3): r and s side by side, no DER.
func signedToken(key *ecdsa.PrivateKey, subject string) string {
	encode := func(part any) string {
		content, err := json.Marshal(part)
		must(err)
		return base64.RawURLEncoding.EncodeToString(content)
	}
	now := time.Now().Unix()
	head := encode(map[string]any{"alg": "ES256", "kid": "go", "typ": "JWT"}) + "." + encode(map[string]any{
		"iss": issuer, "sub": subject, "aud": os.Getenv("STEPS_ORIGIN"), "iat": now, "exp": now + 300,
	})
	digest := sha256.Sum256([]byte(head))
	r, s, err := ecdsa.Sign(rand.Reader, key, digest[:])
	must(err)
	signature := append(r.FillBytes(make([]byte, 32)), s.FillBytes(make([]byte, 32))...)
	return head + "." + base64.RawURLEncoding.EncodeToString(signature)
}

func certified(key *ecdsa.PrivateKey, authority bool) []byte {
	template := x509.Certificate{
		SerialNumber:          big.NewInt(time.Now().UnixNano()),
		Subject:               pkix.Name{CommonName: "go"},
		NotBefore:             time.Now().Add(-time.Hour),
		NotAfter:              time.Now().Add(time.Hour),
		BasicConstraintsValid: true,
		IsCA:                  authority,
		KeyUsage:              x509.KeyUsageDigitalSignature,
	}
	if authority {
		template.KeyUsage = x509.KeyUsageCertSign
	}
	der, err := x509.CreateCertificate(rand.Reader, &template, &template, &key.PublicKey, key)
	must(err)
	return der
}

func appWith(credential *sdkms.AppCredential, kind sdkms.AppAuthType) *sdkms.App {
	created, err := admin.CreateApp(ctx, nil, sdkms.AppRequest{
		Name: unique("app"), AddGroups: &sdkms.AppGroups{group: nil}, DefaultGroup: &group, Credential: credential,
	})
	must(err)
	check(created.AuthType != nil && *created.AuthType == kind, "%+v", created)
	return created
}

func basic(name, secret string) sdkms.APIKey {
	return sdkms.APIKey(base64.StdEncoding.EncodeToString([]byte(name + ":" + secret)))
}

func proofs() {
	step("an_app_calls_with_a_token_that_its_issuer_signed", func() error {
		key := signingKey()
		public, err := x509.MarshalPKIXPublicKey(&key.PublicKey)
		must(err)
		created := appWith(&sdkms.AppCredential{SignedJwt: &sdkms.AppCredentialSignedJwt{
			ValidIssuers: []string{issuer},
			SigningKeys:  sdkms.JwtSigningKeys{Stored: &sdkms.JwtSigningKeysStored{Keys: map[string]sdkms.Blob{"go": public}}},
		}}, sdkms.AppAuthTypeSignedJwt)
		found, err := admin.GetAppCredential(ctx, created.AppID)
		must(err)
		check(string(found.Credential.SignedJwt.SigningKeys.Stored.Keys["go"]) == string(public), "%+v", found.Credential)
		token := signedToken(key, created.AppID)
		_, err = client(sdkms.BearerToken(token)).ListSobjects(ctx, nil)
		must(err)
		answer, err := client(nil).AuthenticateWithAPIKey(ctx, string(basic(created.AppID, token)))
		must(err)
		check(answer.EntityID == created.AppID, "%+v", answer)
		_, err = client(sdkms.BearerToken(signedToken(signingKey(), created.AppID))).ListSobjects(ctx, nil)
		refused(401, "invalid credentials", err)
		return admin.DeleteApp(ctx, created.AppID)
	})
	step("create_apps_by_certificate", func() error {
		pinned, trusted := certified(signingKey(), false), certified(signingKey(), true)
		created := appWith(&sdkms.AppCredential{Certificate: &pinned}, sdkms.AppAuthTypeCertificate)
		check(created.CertNotAfter != nil, "%+v", created)
		found, err := admin.GetAppCredential(ctx, created.AppID)
		must(err)
		check(string(*found.Credential.Certificate) == string(pinned), "%+v", found.Credential)
		must(admin.DeleteApp(ctx, created.AppID))
		anchor := sdkms.TrustAnchor{
			Subject:       sdkms.TrustAnchorSubject{Subject: &[][2]string{{"CN", "go"}}},
			CaCertificate: trusted,
		}
		created = appWith(&sdkms.AppCredential{TrustedCa: &anchor}, sdkms.AppAuthTypeTrustedCa)
		found, err = admin.GetAppCredential(ctx, created.AppID)
		must(err)
		check(string(found.Credential.TrustedCa.CaCertificate) == string(trusted), "%+v", found.Credential)
		check((*found.Credential.TrustedCa.Subject.Subject)[0] == [2]string{"CN", "go"}, "%+v", found.Credential)
		return admin.DeleteApp(ctx, created.AppID)
	})
	step("rotate_a_secret_with_a_migration_period", func() error {
		created := appWith(nil, sdkms.AppAuthTypeSecret)
		before, err := admin.GetAppCredential(ctx, created.AppID)
		must(err)
		_, err = admin.ResetAppSecret(ctx, created.AppID, nil, sdkms.AppResetSecretRequest{
			CredentialMigrationPeriod: sdkms.Some(uint32(600)),
		})
		must(err)
		after, err := admin.GetAppCredential(ctx, created.AppID)
		must(err)
		check(*after.PreviousCredential.Credential.Secret == *before.Credential.Secret, "%+v", after)
		for _, secret := range []string{*before.Credential.Secret, *after.Credential.Secret} {
			_, err = client(basic(created.AppID, secret)).ListSobjects(ctx, nil)
			must(err)
		}
		return admin.DeleteApp(ctx, created.AppID)
	})
	step("log_in_as_an_app_by_its_name", func() error {
		created := appWith(nil, sdkms.AppAuthTypeSecret)
		found, err := admin.GetAppCredential(ctx, created.AppID)
		must(err)
		request := sdkms.AuthRequestAuthByAppName{
			AcctID: created.AcctID, Name: created.Name, Password: *found.Credential.Secret,
		}
		answer, err := client(nil).Authenticate(ctx, sdkms.AuthRequest{AuthByAppName: &request})
		must(err)
		check(answer.EntityID == created.AppID, "%+v", answer)
		request.Password = "wrong"
		_, err = client(nil).Authenticate(ctx, sdkms.AuthRequest{AuthByAppName: &request})
		refused(401, "invalid credentials", err)
		return admin.DeleteApp(ctx, created.AppID)
	})
}
