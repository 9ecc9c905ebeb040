// Apps that log in with a client certificate: the vendor's Go client with certificates in its TLS configuration.
package main

import (
	"crypto/ecdsa"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"math/big"
	"net/http"
	"time"

	"github.com/fortanix/sdkms-client-go/sdkms"
)

type issuing struct {
	der []byte
	key *ecdsa.PrivateKey
}

// A certificate of this authority for a client, with its chain as TLS sends it.
func (by issuing) issue(name string, chain ...[]byte) tls.Certificate {
	key := signingKey()
	parent, err := x509.ParseCertificate(by.der)
	must(err)
	template := x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()),
		Subject:      pkix.Name{CommonName: name},
		NotBefore:    time.Now().Add(-time.Hour),
		NotAfter:     time.Now().Add(time.Hour),
		KeyUsage:     x509.KeyUsageDigitalSignature,
		ExtKeyUsage:  []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	}
	der, err := x509.CreateCertificate(rand.Reader, &template, parent, &key.PublicKey, by.key)
	must(err)
	return tls.Certificate{Certificate: append([][]byte{der}, chain...), PrivateKey: key}
}

func showing(auth sdkms.Authorization, certificate tls.Certificate, version uint16) *sdkms.Client {
	made := client(auth)
	settings := made.HTTPClient.Transport.(*http.Transport).TLSClientConfig
	settings.Certificates = []tls.Certificate{certificate}
	settings.ClientSessionCache = tls.NewLRUClientSessionCache(4)
	settings.MaxVersion = version
	return made
}

// The handshake trusts what apps trust; the workers hear of a new app a moment after it was made.
func logsIn(app *sdkms.App, certificate tls.Certificate, version uint16) *sdkms.Client {
	var err error
	for range [50]int{} {
		made := showing(nil, certificate, version)
		if _, err = made.AuthenticateWithUserPass(ctx, app.AppID, ""); err == nil {
			return made
		}
		time.Sleep(20 * time.Millisecond)
	}
	panic(err)
}

func certificates() {
	step("log_in_with_a_pinned_certificate", func() error {
		key := signingKey()
		der := certified(key, false)
		pinned := tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
		created := appWith(&sdkms.AppCredential{Certificate: &der}, sdkms.AppAuthTypeCertificate)
		for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
			_, err := logsIn(created, pinned, version).ListSobjects(ctx, nil)
			must(err)
		}
		_, err := client(nil).AuthenticateWithUserPass(ctx, created.AppID, "")
		refused(401, "invalid credentials", err)
		return admin.DeleteApp(ctx, created.AppID)
	})
	step("a_session_is_bound_to_the_certificate_of_its_login", func() error {
		key := signingKey()
		authority := issuing{certified(key, true), key}
		created := appWith(&sdkms.AppCredential{TrustedCa: &sdkms.TrustAnchor{
			Subject: sdkms.TrustAnchorSubject{SubjectGeneral: &sdkms.SubjectGeneral{
				DirectoryName: &[][2]string{{"CN", "worker"}},
			}},
			CaCertificate: authority.der,
		}}, sdkms.AppAuthTypeTrustedCa)
		worker := logsIn(created, authority.issue("worker"), tls.VersionTLS13)
		for range [8]int{} { // on new connections, resumed where the worker is the same
			worker.HTTPClient.CloseIdleConnections()
			_, err := worker.ListSobjects(ctx, nil)
			must(err)
		}
		_, err := client(worker.Auth).ListSobjects(ctx, nil)
		refused(401, "certificate", err)
		_, err = showing(worker.Auth, authority.issue("worker"), tls.VersionTLS13).ListSobjects(ctx, nil)
		refused(401, "certificate", err)
		_, err = showing(nil, authority.issue("boss"), tls.VersionTLS13).AuthenticateWithUserPass(ctx, created.AppID, "")
		refused(401, "invalid credentials", err)
		must(admin.DeleteApp(ctx, created.AppID))
		_, err = worker.ListSobjects(ctx, nil)
		refused(401, "", err)
		return nil
	})
}
